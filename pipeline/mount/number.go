//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"encoding/binary"
	"strings"

	"cairn/objects/archive"
)

// number names a node to the kernel, and is its inode: the slot of an archive
// and, above 0, one more than the rank of an entry. 0 is the archive itself. In
// slot 0 are the directories above the archives.
type number uint64

const (
	rankBits = 44
	slotsMax = 1 << 19 // the highest bit is set in no number
)

func entryNumber(slot uint32, rank uint64) number {
	return number(uint64(slot)<<rankBits | (rank + 1))
}

func archiveNumber(slot uint32) number { return number(uint64(slot) << rankBits) }

func (n number) slot() uint32 { return uint32(n >> rankBits) }
func (n number) low() uint64  { return uint64(n) & (1<<rankBits - 1) }

// linkInode returns the inode that all members of a set of hard links have. It
// is no number: the highest bit is set. That two sets get the same is as likely
// as that 63 bits of a hash are.
func linkInode(slot uint32, link archive.Link) uint64 {
	hash := binary.LittleEndian.Uint64(link[:8]) ^ binary.LittleEndian.Uint64(link[8:])
	return (hash ^ uint64(slot)*0x9e3779b97f4a7c15) | 1<<63
}

// lastName returns the last component of a path.
func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
