package fileattr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// File names a file to the system. Its methods may be called concurrently, and
// never follow a symbolic link unless Follow says so.
type File struct {
	Dir    int    // descriptor of the directory that holds it, or AT_FDCWD
	Name   string // in Dir
	FD     int    // of the file itself; −1: none
	ByName bool   // FD, if there is one, only names the file (O_PATH)
	Follow bool   // Name may be a symbolic link to the file
	Type   archive.Type
}

// opened reports whether FD is good for more than naming the file.
func (f File) opened() bool { return f.FD >= 0 && !f.ByName }

// Stat is what the stat of a file says that matters here.
type Stat struct {
	Mode  uint16
	Flags uint32 // st_flags; not looked at on Linux
}

// Labels says what to do with what the system itself writes to files, such as
// the labels of SELinux: on another system they are wrong, or refused.
type Labels uint8

const (
	LeaveLabels Labels = iota
	KeepLabels
)

// label reports whether the system itself writes the extended attribute.
func label(name string) bool {
	return name == "security.selinux" || name == "com.apple.provenance"
}

// Removable reports whether an extended attribute is one that people give to
// files and may take from them, so that an archive without it says that the file
// had none. All others are the system's (labels, security.ima, system.nfs4_acl)
// or those of a file system that lies above this one (trusted.overlay.opaque):
// an archive may lack them because it was made elsewhere, through that file
// system, or by somebody who cannot see them.
func Removable(name string) bool { return removable(name) }

// Xattr is an extended attribute, with the name the system gives it.
type Xattr struct {
	Name  string
	Value []byte
}

// ACL is an ACL and what kind it is. Its entries have no names.
type ACL struct {
	Tag attr.Tag
	attr.ACL
}

// Set is what a file has. The zero Set is nothing.
type Set struct {
	Xattrs []Xattr // by name
	ACLs   []ACL   // by tag
	Flags  attr.Flags
}

// xattrMax is how large the value of an extended attribute may be, bytes. Only
// macOS has larger ones than 64 KiB: resource forks.
const xattrMax = 16 << 20

var errTooLarge = errors.New("is too large")

// Error says that something about a file could not be read. That which is
// returned beside it is good.
type Error struct {
	What string // "extended attribute user.a"
	Err  error
}

func (e *Error) Error() string { return "read " + e.What + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Unsupported reports whether err says that the file system, or the system, has
// no such thing as was to be set.
func Unsupported(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.ENOTSUP, unix.ENOTTY, unix.ENOSYS, errForeign} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errForeign says that something belongs to another system.
var errForeign = errors.New("this system does not have it")

// collect fills in the extended attributes, with one call of read for the value
// of each.
func (s *Set) collect(names []string, labels Labels, read func(name string) ([]byte, error)) (problems []error) {
	for _, name := range names {
		if labels == LeaveLabels && label(name) {
			continue
		}
		value, err := read(name)
		if err == nil && len(value) > xattrMax {
			err = errTooLarge
		}
		if err != nil {
			problems = append(problems, &Error{"extended attribute " + name, err})
			continue
		}
		s.Xattrs = append(s.Xattrs, Xattr{Name: name, Value: value})
	}
	slices.SortFunc(s.Xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return problems
}

// foreignFlags is the error of flags that this system does not have.
func foreignFlags(f attr.Flags) error {
	if f == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", f, errForeign)
}

// retry calls a system call until no signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// growing calls read with room for all that it gives. Room that is exactly
// filled may have been too little: FreeBSD cuts short and does not say so.
func growing(read func(to []byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := read(buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && n < len(buf):
			return buf[:n:n], nil
		case err != nil && !errors.Is(err, unix.ERANGE):
			return nil, err
		case len(buf) > xattrMax:
			return nil, errTooLarge
		}
		buf = make([]byte, 4*len(buf))
	}
}

// Format returns the bits of st_mode that say what a file is.
func Format(t archive.Type) uint32 {
	switch t {
	case archive.Dir:
		return unix.S_IFDIR
	case archive.Symlink:
		return unix.S_IFLNK
	case archive.CharDevice:
		return unix.S_IFCHR
	case archive.BlockDevice:
		return unix.S_IFBLK
	case archive.Fifo:
		return unix.S_IFIFO
	}
	return unix.S_IFREG
}
