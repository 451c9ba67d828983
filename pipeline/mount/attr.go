//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"cairn/objects/archive"
	"cairn/pipeline/fileattr"
)

// blockSize is what the kernel tells programs to read at a time, bytes.
const blockSize = 128 << 10

// describe fills in what stat shows of an entry.
func (s *shown) describe(e *archive.Entry, rank uint64, to *fuse.Attr) {
	to.Ino, to.Nlink = uint64(entryNumber(s.slot, rank)), 1
	if e.HasLink {
		to.Ino, to.Nlink = linkInode(s.slot, e.Link), s.members(e)
	}
	to.Mode = fileattr.Format(e.Type) | uint32(e.Mode)
	to.Owner = fuse.Owner{Uid: e.Owner.UID, Gid: e.Owner.GID}
	to.Size, to.Blocks = e.Size, blocks(e)
	if e.Type == archive.Symlink {
		to.Size = uint64(len(e.Target))
	}
	setTimes(to, e)
	setBlockSize(to)
	if e.Type == archive.CharDevice || e.Type == archive.BlockDevice {
		to.Rdev = device(e.Major, e.Minor)
	}
}

func setTimes(to *fuse.Attr, e *archive.Entry) {
	access := e.ModTime
	if e.HasAccessTime {
		access = e.AccessTime
	}
	to.Atime, to.Atimensec = uint64(access.Sec), access.Nsec
	to.Mtime, to.Mtimensec = uint64(e.ModTime.Sec), e.ModTime.Nsec
	to.Ctime, to.Ctimensec = uint64(e.ChangeTime.Sec), e.ChangeTime.Nsec
}

// blocks returns how many blocks of 512 bytes the data of a file take. Holes of
// a file with a long list of extents, which is not read for this, count as data.
func blocks(e *archive.Entry) uint64 {
	data := e.Size
	if e.Content.Level == 0 {
		for _, x := range e.Content.Extents {
			if x.Hole {
				data -= x.Len
			}
		}
	}
	return (data + 511) / 512
}
