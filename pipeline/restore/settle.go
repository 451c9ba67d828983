package restore

import (
	"errors"
	"fmt"
	"iter"

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
	has    *present   // what it has of them; nil: nothing that is known, as of something new
	handed attr.Flags // what something new may have got from its directory
}

// settle gives s its attributes, all but the flags that protect it. What cannot
// be had is a warning or a Lack: the content is worth more than the attributes.
// What s has already is not set again, and what it has besides is taken away.
//
// The order matters. Changing the owner takes setuid bits and capabilities
// away; everything may change the times; a flag may forbid everything else.
func (r *run) settle(s subject, a *attributes, path func() string) {
	mode := a.mode &^ r.chown(s, a, path)
	if !r.owners.root {
		// A file that may not be written takes extended attributes from root only.
		r.setXattrs(s, a, path)
	}
	r.removeACLs(s, path)
	r.chmod(s, mode, path)
	r.setACLs(s, a, mode, path)
	if r.owners.root {
		r.setXattrs(s, a, path)
	}
	r.setTimes(s, a, path)
	r.setFlags(s, a.flags&^attr.Protective, r.extraFlags(s, a), path)
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

// setXattrs gives s its extended attributes and takes others away.
func (r *run) setXattrs(s subject, a *attributes, path func() string) {
	if s.has != nil {
		for _, name := range s.has.extraXattrs {
			s.has.xattrsChanged()
			if err := s.RemoveXattr(name); err != nil {
				r.refused(Xattrs, "removal of extended attribute "+name, err, path)
			}
		}
	}
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

// removeACLs takes away the ACLs that s should not have. It must get its mode
// afterwards.
func (r *run) removeACLs(s subject, path func() string) {
	if s.has == nil {
		return
	}
	for _, tag := range s.has.extraACLs {
		if mode := s.has.mode; mode >= 0 && mode&0o070 != 0 {
			// Without the ACL what was its mask is what the group may do.
			s.has.modeChanged()
			_ = retry(func() error { return s.chmod(uint32(mode &^ 0o070)) })
		}
		if err := s.RemoveACL(tag); err != nil {
			r.refused(ACLs, "removal of "+tag.String(), err, path)
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

// extraFlags returns the flags that s has, or may have, and should not have.
func (r *run) extraFlags(s subject, a *attributes) attr.Flags {
	switch {
	case s.has != nil:
		return s.has.extraFlags
	case a.partial || r.o.Without&Flags != 0:
		return 0
	}
	return beyond(s.handed, a)
}

// setFlags adds flags to those that s has and takes others away, as many as it
// lets.
func (r *run) setFlags(s subject, set, clear attr.Flags, path func() string) {
	if set|clear == 0 || s.ChangeFlags(set, clear) == nil {
		return
	}
	for one := range each(clear) {
		if err := s.ChangeFlags(0, one); err != nil {
			r.refused(Flags, "removal of flag "+one.String(), err, path)
		}
	}
	for _, some := range []attr.Flags{set &^ attr.Protective, set & attr.Protective} {
		for one := range each(some) {
			if err := s.ChangeFlags(one, 0); err != nil {
				r.refused(Flags, "flag "+one.String(), err, path)
			}
		}
	}
}

// each yields the flags one by one.
func each(flags attr.Flags) iter.Seq[attr.Flags] {
	return func(yield func(attr.Flags) bool) {
		for ; flags != 0; flags &= flags - 1 {
			if !yield(flags & -flags) {
				return
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
