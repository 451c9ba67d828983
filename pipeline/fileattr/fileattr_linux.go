package fileattr

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// path returns a name of the file for system calls that take no directory, and
// whether it ends in a link that is to be followed.
func (f File) path() (path string, follow bool) {
	switch {
	case f.FD >= 0:
		return "/proc/self/fd/" + strconv.Itoa(f.FD), true // which leads to the file and no further
	case f.Dir == unix.AT_FDCWD:
		return f.Name, f.Follow
	}
	return "/proc/self/fd/" + strconv.Itoa(f.Dir) + "/" + f.Name, f.Follow
}

// Read returns what f has. Every error is an *Error.
func (f File) Read(st Stat, labels Labels) (Set, []error) {
	s, problems := f.ReadAllButFlags(st.Mode, labels)
	if f.opened() && (f.Type == archive.File || f.Type == archive.Dir) {
		var err error
		if s.Flags, err = f.Flags(); err != nil {
			problems = append(problems, &Error{"flags", err})
		}
	}
	return s, problems
}

// ReadAllButFlags is Read without the flags. Every error is an *Error.
func (f File) ReadAllButFlags(_ uint16, labels Labels) (Set, []error) {
	list, get := f.calls()
	var s Set
	names, err := growing(list)
	if err != nil && !Unsupported(err) {
		return s, []error{&Error{"list of extended attributes", err}}
	}
	var problems []error
	if len(names) > 0 {
		rest := strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00")
		problems = s.collect(rest, labels, func(name string) ([]byte, error) {
			return growing(func(to []byte) (int, error) { return get(name, to) })
		})
		s.takeACL(attr.LinuxAccessACL, attr.AccessACL)
		s.takeACL(attr.LinuxDefaultACL, attr.DefaultACL)
	}
	return s, problems
}

// calls returns the system calls that list the extended attributes of f and
// read one.
func (f File) calls() (list func(to []byte) (int, error), get func(name string, to []byte) (int, error)) {
	if f.opened() {
		return func(to []byte) (int, error) { return unix.Flistxattr(f.FD, to) },
			func(name string, to []byte) (int, error) { return unix.Fgetxattr(f.FD, name, to) }
	}
	path, follow := f.path()
	if follow {
		return func(to []byte) (int, error) { return unix.Listxattr(path, to) },
			func(name string, to []byte) (int, error) { return unix.Getxattr(path, name, to) }
	}
	return func(to []byte) (int, error) { return unix.Llistxattr(path, to) },
		func(name string, to []byte) (int, error) { return unix.Lgetxattr(path, name, to) }
}

// takeACL makes an ACL of an extended attribute. One that cannot be read stays
// as it is.
func (s *Set) takeACL(name string, tag attr.Tag) {
	for i := range s.Xattrs {
		if s.Xattrs[i].Name != name {
			continue
		}
		if acl, err := attr.PosixOfLinux(s.Xattrs[i].Value); err == nil {
			s.ACLs = append(s.ACLs, ACL{tag, acl})
			s.Xattrs = append(s.Xattrs[:i], s.Xattrs[i+1:]...)
		}
		return
	}
}

// SetXattr sets one extended attribute.
func (f File) SetXattr(name string, value []byte) error {
	return retry(func() error {
		if f.opened() {
			return unix.Fsetxattr(f.FD, name, value, 0)
		}
		path, follow := f.path()
		if follow {
			return unix.Setxattr(path, name, value, 0)
		}
		return unix.Lsetxattr(path, name, value, 0)
	})
}

// removable: capabilities are the one attribute of the system's that people set.
func removable(name string) bool {
	return strings.HasPrefix(name, "user.") || name == "security.capability"
}

// RemoveXattr takes away one extended attribute. If there is none, that is no
// error.
func (f File) RemoveXattr(name string) error {
	err := retry(func() error {
		if f.opened() {
			return unix.Fremovexattr(f.FD, name)
		}
		path, follow := f.path()
		if follow {
			return unix.Removexattr(path, name)
		}
		return unix.Lremovexattr(path, name)
	})
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	return err
}

// SetACL gives f an ACL, whose entries go by their numbers.
func (f File) SetACL(acl ACL) error {
	posix, ok := acl.ACL.(attr.PosixACL)
	switch {
	case ok && acl.Tag == attr.AccessACL:
		return f.SetXattr(attr.LinuxAccessACL, posix.Linux())
	case ok && acl.Tag == attr.DefaultACL:
		return f.SetXattr(attr.LinuxDefaultACL, posix.Linux())
	}
	return errForeign
}

// RemoveACL takes away the ACL with the tag, of which the mode is left. If there
// is none, that is no error.
func (f File) RemoveACL(tag attr.Tag) error {
	switch tag {
	case attr.AccessACL:
		return f.RemoveXattr(attr.LinuxAccessACL)
	case attr.DefaultACL:
		return f.RemoveXattr(attr.LinuxDefaultACL)
	}
	return errForeign
}

// Inherits reports whether what is made in the directory f gets an ACL from it.
func (f File) Inherits() bool {
	n, err := unix.Fgetxattr(f.FD, attr.LinuxDefaultACL, nil)
	return err == nil && n > 0
}

// DropInherited takes away the ACLs that something new got from its directory.
func (f File) DropInherited() error {
	for _, tag := range []attr.Tag{attr.AccessACL, attr.DefaultACL} {
		if err := f.RemoveACL(tag); err != nil && !errors.Is(err, unix.EACCES) && !Unsupported(err) {
			return err
		}
	}
	return nil
}

// Flags returns the flags of f, which is open. A file system without flags has
// none.
func (f File) Flags() (attr.Flags, error) {
	if !f.opened() {
		return 0, nil // devices are never opened for this
	}
	bits, err := f.bits()
	return attr.FlagsOfLinux(bits), err
}

func (f File) bits() (bits uint32, err error) {
	err = retry(func() error {
		bits, err = unix.IoctlGetUint32(f.FD, unix.FS_IOC_GETFLAGS)
		return err
	})
	// Every file system has its own way to say that it has none.
	if Unsupported(err) || errors.Is(err, unix.EINVAL) {
		return 0, nil
	}
	return bits, err
}

// ChangeFlags sets some flags of f, takes others away, and leaves the rest.
// Flags that this system does not have are Unsupported, and the others are set.
func (f File) ChangeFlags(set, clear attr.Flags) error {
	if !f.opened() || f.Type != archive.File && f.Type != archive.Dir {
		return errForeign
	}
	on, foreign := set.Linux()
	off, _ := clear.Linux()
	before, err := f.bits()
	if err != nil {
		return err
	}
	if after := before&^off | on; after != before {
		err := retry(func() error { return unix.IoctlSetPointerInt(f.FD, unix.FS_IOC_SETFLAGS, int(int32(after))) })
		if err != nil {
			return err
		}
	}
	return foreignFlags(foreign)
}
