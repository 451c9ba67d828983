package fileattr

import (
	"encoding/binary"
	"errors"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// aclRoom is enough for an ACL of 128 entries, which is the kernel's most, and
// what comes before it: bytes.
const aclRoom = 8 << 10

// Flags of entries that hand them down: KAUTH_ACE_FILE_INHERIT and
// _DIRECTORY_INHERIT of sys/kauth.h.
const inheritFlags = 1<<5 | 1<<6

// withFD calls do with a descriptor of f that is good for everything here. A
// symbolic link is opened itself. Other types are errForeign.
func (f File) withFD(do func(fd int) error) error {
	if f.FD >= 0 {
		return do(f.FD)
	}
	if f.Type != archive.Symlink {
		return errForeign // devices are never opened, nor fifos
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(f.Dir, f.Name, unix.O_RDONLY|unix.O_SYMLINK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}

// Read returns what f has. Every error is an *Error.
func (f File) Read(st Stat, labels Labels) (Set, []error) {
	s, problems := f.ReadAllButFlags(st.Mode, labels)
	s.Flags = attr.FlagsOfMac(st.Flags)
	return s, problems
}

// ReadAllButFlags is Read without the flags. Every error is an *Error.
func (f File) ReadAllButFlags(_ uint16, labels Labels) (s Set, problems []error) {
	err := f.withFD(func(fd int) error {
		problems = s.readXattrs(fd, labels)
		acl, ok, err := getACL(fd)
		if err != nil {
			problems = append(problems, &Error{"ACL", err})
		} else if ok {
			s.ACLs = append(s.ACLs, ACL{attr.Mac, acl})
		}
		return nil
	})
	if err != nil && !Unsupported(err) {
		problems = append(problems, &Error{"extended attributes", err})
	}
	return s, problems
}

func (s *Set) readXattrs(fd int, labels Labels) []error {
	text, err := growing(func(to []byte) (int, error) { return unix.Flistxattr(fd, to) })
	switch {
	case Unsupported(err):
		return nil
	case err != nil:
		return []error{&Error{"list of extended attributes", err}}
	case len(text) == 0:
		return nil
	}
	names := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	return s.collect(names, labels, func(name string) ([]byte, error) {
		return growing(func(to []byte) (int, error) { return unix.Fgetxattr(fd, name, to) })
	})
}

// security names the attribute that holds ACLs.
func security() *unix.Attrlist {
	return &unix.Attrlist{Bitmapcount: unix.ATTR_BIT_MAP_COUNT, Commonattr: unix.ATTR_CMN_EXTENDED_SECURITY}
}

// getACL returns the ACL of fd; ok is false if it has none.
func getACL(fd int) (acl attr.MacACL, ok bool, err error) {
	list, buf := security(), make([]byte, aclRoom)
	err = retry(func() error {
		_, _, errno := unix.Syscall6(unix.SYS_FGETATTRLIST, uintptr(fd), uintptr(unsafe.Pointer(list)),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
		return errnoOr(errno)
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || Unsupported(err) {
		return attr.MacACL{}, false, nil // no ACL, or a file system without
	}
	if err != nil {
		return attr.MacACL{}, false, err
	}
	// The length of it all u32, and a reference: where from itself on, i32, and
	// how long u32.
	at, n := int(int32(binary.LittleEndian.Uint32(buf[4:]))), int(binary.LittleEndian.Uint32(buf[8:]))
	if n == 0 {
		return attr.MacACL{}, false, nil
	}
	if at < 0 || 4+at > len(buf) || n > len(buf)-4-at {
		return attr.MacACL{}, false, errTooLarge
	}
	return attr.MacOfFilesec(buf[4+at : 4+at+n])
}

// setSecurity sets or takes away the ACL of fd.
func setSecurity(fd int, filesec []byte) error {
	list := security()
	buf := binary.LittleEndian.AppendUint32(nil, 8)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(filesec)))
	buf = append(buf, filesec...)
	return retry(func() error {
		_, _, errno := unix.Syscall6(unix.SYS_FSETATTRLIST, uintptr(fd), uintptr(unsafe.Pointer(list)),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
		return errnoOr(errno)
	})
}

func errnoOr(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// SetXattr sets one extended attribute.
func (f File) SetXattr(name string, value []byte) error {
	return f.withFD(func(fd int) error {
		return retry(func() error { return unix.Fsetxattr(fd, name, value, 0) })
	})
}

// removable: the system keeps its own book under this name, and lets nobody
// change some of it.
func removable(name string) bool { return !strings.HasPrefix(name, "com.apple.") }

// RemoveXattr takes away one extended attribute. If there is none, that is no
// error.
func (f File) RemoveXattr(name string) error {
	err := f.withFD(func(fd int) error {
		return retry(func() error { return unix.Fremovexattr(fd, name) })
	})
	if errors.Is(err, unix.ENOATTR) {
		return nil
	}
	return err
}

// SetACL gives f an ACL, whose entries go by their GUIDs.
func (f File) SetACL(acl ACL) error {
	mac, ok := acl.ACL.(attr.MacACL)
	if !ok {
		return errForeign
	}
	return f.withFD(func(fd int) error { return setSecurity(fd, mac.Filesec()) })
}

// Inherits reports whether what is made in the directory f gets an ACL from it.
func (f File) Inherits() bool {
	acl, _, err := getACL(f.FD)
	if err != nil {
		return false
	}
	for _, e := range acl.Entries {
		if e.Flags&inheritFlags != 0 {
			return true
		}
	}
	return false
}

// DropInherited takes away the ACL that something new got from its directory.
func (f File) DropInherited() error {
	if err := f.RemoveACL(attr.Mac); !Unsupported(err) {
		return err
	}
	return nil
}

// RemoveACL takes away the ACL with the tag, of which the mode is left. If there
// is none, that is no error.
func (f File) RemoveACL(tag attr.Tag) error {
	if tag != attr.Mac {
		return errForeign
	}
	return f.withFD(func(fd int) error { return setSecurity(fd, attr.MacNoACL()) })
}

// flagsOf and bitsOf translate between the flags of archives and of this system,
// which does not have all of them.
func flagsOf(bits uint32) attr.Flags                            { return attr.FlagsOfMac(bits) }
func bitsOf(flags attr.Flags) (bits uint32, foreign attr.Flags) { return flags.Mac() }

func (f File) chflags(bits uint32) error {
	if f.FD >= 0 {
		_, _, errno := unix.Syscall(unix.SYS_FCHFLAGS, uintptr(f.FD), uintptr(bits), 0)
		return errnoOr(errno)
	}
	name, err := unix.BytePtrFromString(f.Name)
	if err != nil {
		return err
	}
	list := unix.Attrlist{Bitmapcount: unix.ATTR_BIT_MAP_COUNT, Commonattr: unix.ATTR_CMN_FLAGS}
	_, _, errno := unix.Syscall6(unix.SYS_SETATTRLISTAT, uintptr(f.Dir), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&bits)), unsafe.Sizeof(bits), unix.FSOPT_NOFOLLOW)
	return errnoOr(errno)
}
