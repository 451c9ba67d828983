package attr

import (
	"fmt"
	"strings"

	"cairn/objects/wire"
)

// Flags are what chattr and chflags set. A bit means the same on every system
// that has it. Bits that this version does not know are kept.
type Flags uint64

// Flags of FORMAT.md §8.7.
const (
	NoDump Flags = 1 << iota
	Immutable
	Append
	UserImmutable
	UserAppend
	NoUnlink
	UserNoUnlink
	Opaque
	Hidden
	System
	ReadOnly
	NoAtime
	Sync
	DirSync
	Compress
	NoCompress
	NoCow
	JournalData
	NoTail
	TopDir
	SecureDelete
	Undelete
	Dax

	flagsEnd
)

// Protective are the flags that keep a file, or what is in a directory, from
// being changed, removed or replaced.
const Protective = Immutable | Append | UserImmutable | UserAppend | NoUnlink | UserNoUnlink

// Storage are the flags that say how content is stored: they have to be set
// before there is any.
const Storage = Compress | NoCompress | NoCow

// Linux, FreeBSD and macOS are the flags that the system has and cairn keeps.
const (
	linuxFlags = NoDump | Immutable | Append | NoAtime | Sync | DirSync | Compress | NoCompress | NoCow |
		JournalData | NoTail | TopDir | SecureDelete | Undelete | Dax
	freebsdFlags = NoDump | Immutable | Append | UserImmutable | UserAppend | NoUnlink | UserNoUnlink |
		Opaque | Hidden | System | ReadOnly
	macFlags = NoDump | Immutable | Append | UserImmutable | UserAppend | NoUnlink | Opaque | Hidden
)

// flagsOf says what one bit of Flags is called and which bit it is on each
// system; 0: none.
type flagsOf struct {
	name                string
	linux, freebsd, mac uint32
}

// table returns the table of FORMAT.md §8.7, by bit.
func table() [23]flagsOf {
	return [...]flagsOf{
		{"nodump", 0x40, 0x1, 0x1},
		{"immutable", 0x10, 0x20000, 0x20000},
		{"append", 0x20, 0x40000, 0x40000},
		{"user-immutable", 0, 0x2, 0x2},
		{"user-append", 0, 0x4, 0x4},
		{"nounlink", 0, 0x100000, 0x100000},
		{"user-nounlink", 0, 0x10, 0},
		{"opaque", 0, 0x8, 0x8},
		{"hidden", 0, 0x8000, 0x8000},
		{"system", 0, 0x80, 0},
		{"readonly", 0, 0x1000, 0},
		{"noatime", 0x80, 0, 0},
		{"sync", 0x8, 0, 0},
		{"dirsync", 0x10000, 0, 0},
		{"compress", 0x4, 0, 0},
		{"nocompress", 0x400, 0, 0},
		{"nocow", 0x800000, 0, 0},
		{"journal-data", 0x4000, 0, 0},
		{"notail", 0x8000, 0, 0},
		{"topdir", 0x20000, 0, 0},
		{"secure-delete", 0x1, 0, 0},
		{"undelete", 0x2, 0, 0},
		{"dax", 0x2000000, 0, 0},
	}
}

// Append appends f, which is not zero.
func (f Flags) Append(b []byte) []byte { return wire.AppendUvarint(b, uint64(f)) }

// DecodeFlags reads what Append wrote.
func DecodeFlags(p []byte) (Flags, error) {
	d := wire.NewDecoder(p)
	f := Flags(d.Uvarint())
	if err := d.Finish(); err != nil {
		return 0, err
	}
	if f == 0 {
		return 0, errEmpty
	}
	return f, nil
}

// String returns the names of the flags, with commas between them.
func (f Flags) String() string {
	var names []string
	for i, known := range table() {
		if f&(1<<i) != 0 {
			names = append(names, known.name)
		}
	}
	if later := f &^ (flagsEnd - 1); later != 0 {
		names = append(names, fmt.Sprintf("%#x", uint64(later)))
	}
	return strings.Join(names, ",")
}

// FlagsOfLinux returns those of the FS_*_FL bits that cairn keeps.
func FlagsOfLinux(bits uint32) Flags {
	return from(bits, func(f flagsOf) uint32 { return f.linux })
}

// FlagsOfFreeBSD returns those of the bits of st_flags that cairn keeps.
func FlagsOfFreeBSD(bits uint32) Flags {
	return from(bits, func(f flagsOf) uint32 { return f.freebsd })
}

// FlagsOfMac returns those of the bits of st_flags that cairn keeps.
func FlagsOfMac(bits uint32) Flags {
	return from(bits, func(f flagsOf) uint32 { return f.mac })
}

// Linux returns f as FS_*_FL bits, and the flags that Linux does not have.
func (f Flags) Linux() (bits uint32, foreign Flags) {
	return f.to(func(f flagsOf) uint32 { return f.linux }), f &^ linuxFlags
}

// FreeBSD returns f as bits of st_flags, and the flags that FreeBSD does not
// have.
func (f Flags) FreeBSD() (bits uint32, foreign Flags) {
	return f.to(func(f flagsOf) uint32 { return f.freebsd }), f &^ freebsdFlags
}

// Mac returns f as bits of st_flags, and the flags that macOS does not have.
func (f Flags) Mac() (bits uint32, foreign Flags) {
	return f.to(func(f flagsOf) uint32 { return f.mac }), f &^ macFlags
}

func from(bits uint32, on func(flagsOf) uint32) Flags {
	var f Flags
	for i, known := range table() {
		if bits&on(known) != 0 {
			f |= 1 << i
		}
	}
	return f
}

func (f Flags) to(on func(flagsOf) uint32) uint32 {
	var bits uint32
	for i, known := range table() {
		if f&(1<<i) != 0 {
			bits |= on(known)
		}
	}
	return bits
}
