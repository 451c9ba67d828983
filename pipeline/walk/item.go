package walk

import "errors"

// ErrSkipped is the Err of an item that Options.Skip names.
var ErrSkipped = errors.New("belongs to cairn itself")

// ErrReplaced says that a directory is no longer the one that was listed, or a
// file no longer of the type that was stat'ed.
var ErrReplaced = errors.New("replaced while it was being read")

// Type says what an entry is. Its values are those of FORMAT.md §8.2; Socket,
// which archives do not hold, and the zero Type, nothing, are added.
type Type byte

const (
	File      Type = 'f'
	Directory Type = 'd'
	Symlink   Type = 'l'
	Char      Type = 'c'
	Block     Type = 'b'
	Fifo      Type = 'p'
	Socket    Type = 's'
)

// Time is a moment as file systems keep it. The zero Time is unknown where a
// field allows that.
type Time struct {
	Sec  int64
	Nsec uint32
}

// FileID tells the files of a running system apart. It changes at reboot and
// on snapshots: nothing stored may depend on it.
type FileID struct{ Dev, Inode uint64 }

// Stat is what the file system says about one entry, symbolic links not
// followed. The zero Stat says that nothing is known.
type Stat struct {
	ID     FileID
	Size   int64 // bytes
	Blocks int64 // allocated, in units of 512 bytes
	Links  uint64

	ModTime    Time
	ChangeTime Time
	AccessTime Time // before cairn opened it
	BirthTime  Time // zero: unknown

	UID, GID     uint32
	Major, Minor uint32 // of a device node
	Flags        uint32 // Linux: FS_*_FL immutable, append, nodump; else st_flags
	Mode         uint16 // 0…07777
	Type         Type
}

// NoDump reports whether the entry has the flag that asks backups to leave it
// out.
func (s *Stat) NoDump() bool { return s.Flags&flagNoDump != 0 }

// Item is one step of a walk. It is immutable and may be kept, but shares
// memory with its neighbours: clone the strings of what is kept for long.
//
// Err and Stat.Type together say what to do. No Err: all is well. Err and a
// Type: the entry stands, but its directory could not be listed, or not
// completely. Err and no Type: there is nothing to store (unreadable, vanished,
// or ErrSkipped, which leaves Stat.ID); Path says where.
type Item struct {
	Path    string // in the archive; empty only with Err, for a root that has no entry of its own
	Source  string // where it is, absolute
	Stat    Stat
	Err     error
	Implied bool // a directory above a root, not itself asked for

	dir *dir // holds it
}

// name returns what the item is called in its directory.
func (it *Item) name() string { return it.Source[it.dir.cut:] }
