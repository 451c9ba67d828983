package restore

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
)

const (
	setuid = 0o4000
	setgid = 0o2000
)

// subject is what attributes are given to.
type subject struct {
	fileattr.File
	has *present // what it has of them; nil: nothing that is known, as of something new
}

// settle gives s its attributes, all but the flags that protect it. What cannot
// be had is a warning or a Lack: the content is worth more than the attributes.
// What s has already is not set again.
//
// The order matters. Changing the owner takes setuid bits and capabilities
// away; everything may change the times; a flag may forbid everything else.
func (r *run) settle(s subject, a *attributes, path func() string) {
	mode := a.mode &^ r.chown(s, a, path)
	if !r.owners.root {
		// A file that may not be written takes extended attributes from root only.
		r.setXattrs(s, a, path)
	}
	r.chmod(s, mode, path)
	r.setACLs(s, a, mode, path)
	if r.owners.root {
		r.setXattrs(s, a, path)
	}
	r.setTimes(s, a, path)
	r.setFlags(s, a.flags&^attr.Protective, path)
	for _, tag := range a.unknown {
		r.lack(Part(0), Unknown, path(), tag.String())
	}
}

// givesOwners reports whether files are given to the owners that they had.
func (r *run) givesOwners() bool { return r.owners.root && r.o.Without&Owners == 0 }

// chown gives s its owner and returns the mode bits that must not be set: a
// program is setuid only for the owner it had.
func (r *run) chown(s subject, a *attributes, path func() string) (drop uint16) {
	if s.has.hasOwner(a) {
		return 0
	}
	switch {
	case r.o.Without&Owners != 0:
		drop = r.owners.foreign(a)
	case !r.owners.root:
		if drop = r.owners.foreign(a); drop != 0 {
			r.lack(Owners, Forbidden, path(), "")
		}
	default:
		err := retry(func() error { return s.chown(int(a.uid), int(a.gid)) })
		s.has.ownerChanged()
		if err != nil {
			drop = setuid | setgid
			r.refused(Owners, fmt.Sprintf("owner %d:%d", a.uid, a.gid), err, path)
		}
	}
	return dropped(s, drop)
}

// dropped returns those of the bits that s must not have.
func dropped(s subject, bits uint16) uint16 {
	if s.Type == archive.Dir {
		return 0 // there they give nobody any right
	}
	return bits
}

func (r *run) chmod(s subject, mode uint16, path func() string) {
	if s.Type == archive.Symlink || s.has.hasMode(mode) {
		return // which has none, or this one
	}
	s.has.modeChanged()
	if err := retry(func() error { return s.chmod(uint32(mode)) }); err != nil {
		r.warn(path(), fmt.Errorf("set mode %04o: %w", mode, err))
	}
}

func (r *run) setXattrs(s subject, a *attributes, path func() string) {
	for _, x := range a.xattrs {
		if s.has.hasXattr(x) {
			continue
		}
		s.has.xattrsChanged()
		if err := s.SetXattr(x.Name, x.Value); err != nil {
			r.refused(Xattrs, "extended attribute "+x.Name, err, path)
		}
	}
}

// setACLs gives s its ACLs. Where it cannot have the one that the mode is part
// of, the group gets no more than it had.
func (r *run) setACLs(s subject, a *attributes, mode uint16, path func() string) {
	for _, acl := range a.acls {
		if s.has.hasACL(acl) {
			continue
		}
		err := s.SetACL(acl)
		if err == nil {
			continue
		}
		r.refused(ACLs, acl.Tag.String(), err, path)
		if acl.Tag == attr.AccessACL {
			r.chmod(s, bareMode(mode, acl.ACL.(attr.PosixACL)), path)
		}
	}
}

// setFlags adds flags to those that s has, as many as it takes.
func (r *run) setFlags(s subject, flags attr.Flags, path func() string) {
	if flags == 0 || s.ChangeFlags(flags, 0) == nil {
		return
	}
	for _, some := range []attr.Flags{flags &^ attr.Protective, flags & attr.Protective} {
		for some != 0 {
			one := attr.Flags(1) << bits.TrailingZeros64(uint64(some))
			some &^= one
			if err := s.ChangeFlags(one, 0); err != nil {
				r.refused(Flags, "flag "+one.String(), err, path)
			}
		}
	}
}

// refused notes a part that was refused: as a Lack if others will be, too.
func (r *run) refused(part Part, what string, err error, path func() string) {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		r.lack(part, Forbidden, path(), what)
	case fileattr.Unsupported(err):
		r.lack(part, Unsupported, path(), what)
	default:
		r.warn(path(), fmt.Errorf("set %s: %w", what, err))
	}
}

func (r *run) setTimes(s subject, a *attributes, path func() string) {
	if s.has.hasTimes(a) {
		return
	}
	var times [2]unix.Timespec
	var err error
	for i, t := range [2]archive.Time{a.atime, a.mtime} {
		if times[i], err = unix.TimeToTimespec(t.Time()); err != nil {
			break // a year that this system does not have
		}
	}
	if err == nil {
		err = retry(func() error { return s.utimes(times[:]) })
	}
	if err != nil {
		r.warn(path(), fmt.Errorf("set times: %w", err))
	}
}

// utimesByName is how times are set where it cannot be done by descriptor.
func (s subject) utimesByName(times []unix.Timespec) error {
	return unix.UtimesNanoAt(s.Dir, s.Name, times, unix.AT_SYMLINK_NOFOLLOW)
}
