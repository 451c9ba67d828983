package fileattr

import (
	"errors"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// What the headers of FreeBSD say and x/sys does not.
const (
	oPath        = 0x400000 // O_PATH, sys/fcntl.h
	pcACLs       = 59       // _PC_ACL_EXTENDED, sys/unistd.h
	pcNFS4ACLs   = 64       // _PC_ACL_NFS4
	typeAccess   = 2        // ACL_TYPE_ACCESS, sys/acl.h
	typeDefault  = 3        // ACL_TYPE_DEFAULT
	typeNFS4     = 4        // ACL_TYPE_NFS4
	inheritFlags = 0x1 | 0x2
)

// namespaces are those of extended attributes, with what their names begin with.
func namespaces() [2]struct {
	id     int
	prefix string
} {
	return [...]struct {
		id     int
		prefix string
	}{{unix.EXTATTR_NAMESPACE_USER, "user."}, {unix.EXTATTR_NAMESPACE_SYSTEM, "system."}}
}

// hidden reports whether the extended attribute is where UFS keeps an ACL.
func hidden(name string) bool {
	return name == "system.posix1e.acl_access" || name == "system.posix1e.acl_default" || name == "system.nfs4.acl"
}

// Read returns what f has. Every error is an *Error.
func (f File) Read(st Stat, labels Labels) (Set, []error) {
	s, problems := f.ReadAllButFlags(st.Mode, labels)
	s.Flags = attr.FlagsOfFreeBSD(st.Flags)
	return s, problems
}

// ReadAllButFlags is Read without the flags. Every error is an *Error.
func (f File) ReadAllButFlags(mode uint16, labels Labels) (s Set, problems []error) {
	fd := f.FD
	if fd < 0 {
		flags := oPath | unix.O_CLOEXEC
		if !f.Follow {
			flags |= unix.O_NOFOLLOW
		}
		err := retry(func() (err error) {
			fd, err = unix.Openat(f.Dir, f.Name, flags, 0)
			return err
		})
		if err != nil {
			return s, []error{&Error{"extended attributes", err}}
		}
		defer unix.Close(fd)
	}
	names, err := listXattrs(fd)
	if err != nil {
		return s, []error{&Error{"list of extended attributes", err}}
	}
	problems = s.collect(names, labels, func(name string) ([]byte, error) { return getXattr(fd, name) })
	if err := s.readACLs(fd, mode, f.Type); err != nil {
		problems = append(problems, &Error{"ACL", err})
	}
	return s, problems
}

// listXattrs returns the names of all namespaces that we may see.
func listXattrs(fd int) ([]string, error) {
	var names []string
	for _, space := range namespaces() {
		text, err := growing(func(to []byte) (int, error) {
			return unix.ExtattrListFd(fd, space.id, pointer(to), len(to))
		})
		switch {
		case err == nil:
		case Unsupported(err), space.id == unix.EXTATTR_NAMESPACE_SYSTEM && errors.Is(err, unix.EPERM):
			continue
		default:
			return nil, err
		}
		for len(text) > 0 { // a length, and as many bytes
			n := min(int(text[0]), len(text)-1)
			if name := space.prefix + string(text[1:1+n]); !hidden(name) {
				names = append(names, name)
			}
			text = text[1+n:]
		}
	}
	return names, nil
}

func getXattr(fd int, name string) ([]byte, error) {
	space, rest, err := split(name)
	if err != nil {
		return nil, err
	}
	return growing(func(to []byte) (int, error) { return unix.ExtattrGetFd(fd, space, rest, pointer(to), len(to)) })
}

func pointer(to []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(to))) }

// split returns the namespace of an extended attribute and its name in it.
func split(name string) (space int, rest string, err error) {
	for _, s := range namespaces() {
		if len(name) > len(s.prefix) && name[:len(s.prefix)] == s.prefix {
			return s.id, name[len(s.prefix):], nil
		}
	}
	return 0, "", errForeign
}

// readACLs reads the ACLs that say more than a mode.
func (s *Set) readACLs(fd int, mode uint16, is archive.Type) error {
	if pathconf(fd, pcNFS4ACLs) {
		p, err := getACL(fd, typeNFS4)
		if err != nil {
			return absent(err)
		}
		acl, err := attr.NFS4OfFreeBSD(p)
		if err == nil && !acl.Trivial(mode) {
			s.ACLs = append(s.ACLs, ACL{attr.NFS4, acl})
		}
		return err
	}
	if is == archive.Symlink || !pathconf(fd, pcACLs) {
		return nil
	}
	for kind := uintptr(typeAccess); kind <= typeDefault; kind++ {
		tag := attr.AccessACL
		if kind == typeDefault {
			if tag = attr.DefaultACL; is != archive.Dir {
				break
			}
		}
		p, err := getACL(fd, kind)
		if err != nil {
			return absent(err)
		}
		acl, err := attr.PosixOfFreeBSD(p)
		if err != nil {
			return err
		}
		if len(acl) > 0 && (tag == attr.DefaultACL || !acl.Minimal()) {
			s.ACLs = append(s.ACLs, ACL{tag, acl})
		}
	}
	return nil
}

// absent is what an error means where a file system or a type of file may have
// no ACLs.
func absent(err error) error {
	if Unsupported(err) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

func pathconf(fd, what int) bool {
	v, err := unix.Fpathconf(fd, what)
	return err == nil && v > 0
}

func getACL(fd int, kind uintptr) ([]byte, error) {
	empty, err := attr.PosixACL(nil).FreeBSD() // the kernel looks at how much room it has
	if err != nil {
		return nil, err
	}
	err = retry(func() error {
		_, _, errno := unix.Syscall(unix.SYS___ACL_GET_FD, uintptr(fd), kind, uintptr(unsafe.Pointer(&empty[0])))
		return errnoOr(errno)
	})
	return empty, err
}

func errnoOr(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// SetXattr sets one extended attribute.
func (f File) SetXattr(name string, value []byte) error {
	space, rest, err := split(name)
	if err != nil {
		return err
	}
	if !f.opened() {
		return errForeign
	}
	return retry(func() error {
		_, err := unix.ExtattrSetFd(f.FD, space, rest, pointer(value), len(value))
		return err
	})
}

// removable: what the namespace system has is not for people.
func removable(name string) bool { return strings.HasPrefix(name, "user.") }

// RemoveXattr takes away one extended attribute. If there is none, that is no
// error.
func (f File) RemoveXattr(name string) error {
	space, rest, err := split(name)
	if err != nil {
		return err
	}
	if !f.opened() {
		return errForeign
	}
	err = retry(func() error { return unix.ExtattrDeleteFd(f.FD, space, rest) })
	if errors.Is(err, unix.ENOATTR) {
		return nil
	}
	return err
}

// SetACL gives f an ACL, whose entries go by their numbers.
func (f File) SetACL(acl ACL) error {
	if !f.opened() {
		return errForeign
	}
	var p []byte
	var err error
	kind := uintptr(typeNFS4)
	switch a := acl.ACL.(type) {
	case attr.PosixACL:
		kind = typeAccess
		if acl.Tag == attr.DefaultACL {
			kind = typeDefault
		}
		p, err = a.FreeBSD()
	case attr.NFS4ACL:
		p, err = a.FreeBSD()
	default:
		return errForeign
	}
	if err != nil {
		return err
	}
	err = setACL(f.FD, kind, p)
	if errors.Is(err, unix.EINVAL) && pathconf(f.FD, pcNFS4ACLs) != (kind == typeNFS4) {
		return errForeign // the file system has the other kind
	}
	return err
}

func setACL(fd int, kind uintptr, p []byte) error {
	return retry(func() error {
		_, _, errno := unix.Syscall(unix.SYS___ACL_SET_FD, uintptr(fd), kind, uintptr(unsafe.Pointer(&p[0])))
		return errnoOr(errno)
	})
}

// Inherits reports whether what is made in the directory f gets an ACL from it.
func (f File) Inherits() bool {
	var s Set
	if s.readACLs(f.FD, 0, archive.Dir) != nil {
		return false
	}
	for _, acl := range s.ACLs {
		if acl.Tag == attr.DefaultACL {
			return true
		}
		if nfs4, ok := acl.ACL.(attr.NFS4ACL); ok {
			for _, e := range nfs4 {
				if e.Flags&inheritFlags != 0 {
					return true
				}
			}
		}
	}
	return false
}

// DropInherited takes away the ACLs that something new got from its directory.
func (f File) DropInherited() error {
	switch {
	case !f.opened():
		return nil // nothing could be set either
	case pathconf(f.FD, pcNFS4ACLs):
		return f.RemoveACL(attr.NFS4)
	case !pathconf(f.FD, pcACLs):
		return nil
	}
	if err := f.RemoveACL(attr.AccessACL); err != nil || f.Type != archive.Dir {
		return err
	}
	return f.RemoveACL(attr.DefaultACL)
}

// RemoveACL takes away the ACL with the tag, of which the mode is left. If there
// is none, that is no error.
func (f File) RemoveACL(tag attr.Tag) error {
	if !f.opened() {
		return errForeign
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.FD, &st) }); err != nil {
		return err
	}
	kind, acl := uintptr(typeNFS4), attr.TrivialNFS4(uint16(st.Mode&0o777)).FreeBSD
	switch tag {
	case attr.NFS4:
	case attr.AccessACL:
		kind, acl = typeAccess, attr.MinimalPosix(uint16(st.Mode&0o777)).FreeBSD
	case attr.DefaultACL:
		return retry(func() error {
			_, _, errno := unix.Syscall(unix.SYS___ACL_DELETE_FD, uintptr(f.FD), typeDefault, 0)
			return errnoOr(errno)
		})
	default:
		return errForeign
	}
	p, err := acl()
	if err != nil {
		return err
	}
	return setACL(f.FD, kind, p)
}

// flagsOf and bitsOf translate between the flags of archives and of this system,
// which does not have all of them.
func flagsOf(bits uint32) attr.Flags                            { return attr.FlagsOfFreeBSD(bits) }
func bitsOf(flags attr.Flags) (bits uint32, foreign attr.Flags) { return flags.FreeBSD() }

func (f File) chflags(bits uint32) error {
	if f.opened() {
		_, _, errno := unix.Syscall(unix.SYS_FCHFLAGS, uintptr(f.FD), uintptr(bits), 0)
		return errnoOr(errno)
	}
	name, err := unix.BytePtrFromString(f.Name)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall6(unix.SYS_CHFLAGSAT, uintptr(f.Dir), uintptr(unsafe.Pointer(name)), uintptr(bits), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	return errnoOr(errno)
}
