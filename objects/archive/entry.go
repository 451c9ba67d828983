package archive

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Type says what an entry is.
type Type byte

const (
	File        Type = 'f'
	Dir         Type = 'd'
	Symlink     Type = 'l'
	CharDevice  Type = 'c'
	BlockDevice Type = 'b'
	Fifo        Type = 'p'
)

// String returns the type's name, for people.
func (t Type) String() string {
	switch t {
	case File:
		return "file"
	case Dir:
		return "directory"
	case Symlink:
		return "symlink"
	case CharDevice:
		return "character device"
	case BlockDevice:
		return "block device"
	case Fifo:
		return "fifo"
	}
	return fmt.Sprintf("type %#02x", byte(t))
}

// Valid reports whether t is one of the types.
func (t Type) Valid() bool {
	switch t {
	case File, Dir, Symlink, CharDevice, BlockDevice, Fifo:
		return true
	}
	return false
}

// Time is a point in time, of any year.
type Time struct {
	Sec  int64  // since 1970-01-01 UTC
	Nsec uint32 // below 10^9
}

// TimeOf returns t.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// Time returns t, in UTC.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// Owner is who an entry belongs to. Names are empty where there was none.
type Owner struct {
	UID, GID    uint32
	User, Group string
}

// Xattr is an extended attribute. A value above XattrMax bytes is Spilled into
// data chunks, and Value is nil.
type Xattr struct {
	Name    string
	Value   []byte
	Spilled *Content
}

// Attr is an attribute whose tag says what it is: an ACL, file flags, or
// something a later version knows.
type Attr struct {
	Tag   uint64
	Value []byte
}

// Link names a set of hard links: FORMAT.md §8.2.
type Link [16]byte

// Entry is a file, a directory, or what else has a path: FORMAT.md §8.2.
type Entry struct {
	Path  string
	Type  Type
	Mode  uint16 // permission bits, 0 to 07777
	Owner Owner

	ModTime, ChangeTime   Time
	AccessTime, BirthTime Time // where the next two say so
	HasAccessTime         bool
	HasBirthTime          bool

	HasLink bool // the entry is one of the set of hard links that Link names
	Racy    bool // changed too shortly before it was read: read it again next time
	Partial bool // the content was cut short by an interruption
	Changed bool // it changed while it was being read

	Inode        uint64  // 0: unknown
	Size         uint64  // bytes; files only
	Content      Content // of Size bytes; files only
	Target       string  // symlinks only
	Major, Minor uint32  // devices only
	Link         Link    // with HasLink

	Xattrs []Xattr // by rising name
	Attrs  []Attr  // by rising tag
}

// Equal reports whether e and o say the same about the same path.
func (e *Entry) Equal(o *Entry) bool {
	return e.Path == o.Path && bytes.Equal(e.append(nil, e.flags()), o.append(nil, o.flags())) && e.flags() == o.flags()
}

// Clone returns a copy that shares no memory with e.
func (e *Entry) Clone() *Entry {
	c := *e
	c.Path = strings.Clone(e.Path)
	c.Target = strings.Clone(e.Target)
	c.Content = e.Content.Clone()
	c.Xattrs = slices.Clone(e.Xattrs)
	for i := range c.Xattrs {
		x := &c.Xattrs[i]
		x.Value = bytes.Clone(x.Value)
		if x.Spilled != nil {
			spilled := x.Spilled.Clone()
			x.Spilled = &spilled
		}
	}
	c.Attrs = slices.Clone(e.Attrs)
	for i := range c.Attrs {
		c.Attrs[i].Value = bytes.Clone(c.Attrs[i].Value)
	}
	return &c
}

// Errors of entries.
var (
	errType      = errors.New("type is not known")
	errFlags     = errors.New("flags are not known")
	errMode      = errors.New("mode is above 07777")
	errTime      = errors.New("nanoseconds are not below 10^9")
	errForeign   = errors.New("entry has a field that its type does not have")
	errXattr     = errors.New("extended attributes are not by rising name")
	errXattrSize = errors.New("value of an extended attribute is not kept as its size asks for")
	errAttr      = errors.New("attributes are not by rising tag")
	errEntrySize = errors.New("entry is too large")
)

// check returns nil if e, its path aside, can be encoded and decodes to itself.
func (e *Entry) check() error {
	switch {
	case e.Mode > modeMax:
		return errMode
	case max(e.ModTime.Nsec, e.ChangeTime.Nsec, e.AccessTime.Nsec, e.BirthTime.Nsec) > nanosecondMax:
		return errTime
	}
	if err := e.checkType(); err != nil {
		return err
	}
	for i := range e.Xattrs {
		x := &e.Xattrs[i]
		if i > 0 && e.Xattrs[i-1].Name >= x.Name {
			return errXattr
		}
		if err := x.check(); err != nil {
			return err
		}
	}
	for i := 1; i < len(e.Attrs); i++ {
		if e.Attrs[i-1].Tag >= e.Attrs[i].Tag {
			return errAttr
		}
	}
	return nil
}

// checkType checks the fields that not every type has.
func (e *Entry) checkType() error {
	device := e.Type == CharDevice || e.Type == BlockDevice
	switch {
	case !e.Type.Valid():
		return errType
	case e.Type != Symlink && e.Target != "", !device && (e.Major != 0 || e.Minor != 0):
		return errForeign
	case e.Type == File:
		return e.Content.check(e.Size)
	case e.Size != 0 || !e.Content.isZero():
		return errForeign
	}
	return nil
}

func (x *Xattr) check() error {
	if x.Spilled == nil {
		if len(x.Value) > XattrMax {
			return errXattrSize
		}
		return nil
	}
	size := x.Spilled.Size()
	if size <= XattrMax || x.Value != nil {
		return errXattrSize
	}
	return x.Spilled.check(size)
}
