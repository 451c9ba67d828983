package restore

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
)

// present is what a file or a directory that is there has already. That is not
// set again: it would change the ctime and nothing else, and have the next
// backup read the file. Of a nil present nothing is known, and all is set.
//
// What it has and should not have is extra, and is taken away: an ACL may let in
// those whom the archive does not let in.
type present struct {
	uid, gid     uint32
	mode         int // −1: not known any more
	mtime, atime archive.Time
	set          fileattr.Set
	flags        attr.Flags
	flagsErr     error // they are not known

	extraXattrs []string
	extraACLs   []attr.Tag
	extraFlags  attr.Flags // none that protect: whatever is changed loses those first
}

// lookAt finds out what s, which is open and has the stat, has already of what
// it is to have, and what besides. What cannot be read counts as absent, and
// is told: it may be extra.
func (r *run) lookAt(s *subject, st *unix.Stat_t, a *attributes, path func() string) {
	p := &present{
		uid: st.Uid, gid: st.Gid, mode: int(st.Mode & 0o7777),
		mtime: timeOf(st.Mtim), atime: timeOf(st.Atim),
	}
	s.has = p
	if r.o.Without&(Xattrs|ACLs) != Xattrs|ACLs {
		var problems []error
		p.set, problems = s.ReadAllButFlags(uint16(st.Mode), fileattr.KeepLabels)
		for _, err := range problems {
			r.warn(path(), fmt.Errorf("look at what is there: %w", err))
		}
	}
	p.flags, p.flagsErr = s.Flags()
	if a.partial {
		return // what looks extra may be what could not be read
	}
	if r.o.Without&Xattrs == 0 {
		p.findXattrs(a)
	}
	if r.o.Without&ACLs == 0 {
		p.findACLs(a)
	}
	if r.o.Without&Flags == 0 {
		p.extraFlags = beyond(p.flags, a)
	}
}

func (p *present) findXattrs(a *attributes) {
	for _, is := range p.set.Xattrs {
		wanted := func(x archive.Xattr) bool { return x.Name == is.Name }
		if fileattr.Removable(is.Name) && !slices.ContainsFunc(a.xattrs, wanted) {
			p.extraXattrs = append(p.extraXattrs, is.Name)
		}
	}
}

func (p *present) findACLs(a *attributes) {
	for _, is := range p.set.ACLs {
		wanted := func(acl fileattr.ACL) bool { return acl.Tag == is.Tag }
		if !slices.ContainsFunc(a.acls, wanted) {
			p.extraACLs = append(p.extraACLs, is.Tag)
		}
	}
}

// beyond returns what of flags is to be taken away. How a file system stores
// the content is its own affair, and can mostly not be changed any more.
func beyond(flags attr.Flags, a *attributes) attr.Flags {
	return flags &^ (a.flags | attr.Storage | attr.Protective)
}

// exact reports that there is nothing extra.
func (p *present) exact() bool {
	return len(p.extraXattrs)+len(p.extraACLs) == 0 && p.extraFlags == 0
}

func (p *present) hasOwner(a *attributes) bool { return p != nil && p.uid == a.uid && p.gid == a.gid }

func (p *present) hasMode(mode uint16) bool { return p != nil && p.mode == int(mode) }

// hasTimes takes any atime for right where the archive has none.
func (p *present) hasTimes(a *attributes) bool {
	return p != nil && p.mtime == a.mtime && (a.anyAtime || p.atime == a.atime)
}

func (p *present) hasXattr(x archive.Xattr) bool {
	if p == nil {
		return false
	}
	for _, is := range p.set.Xattrs {
		if is.Name == x.Name {
			return bytes.Equal(is.Value, x.Value)
		}
	}
	return false
}

func (p *present) hasACL(acl fileattr.ACL) bool {
	if p == nil {
		return false
	}
	for _, is := range p.set.ACLs {
		if is.Tag == acl.Tag {
			return bytes.Equal(is.Append(nil), acl.Append(nil)) // neither has names
		}
	}
	return false
}

// hasFlags reports whether flags are set, and none that protect besides.
func (p *present) hasFlags(flags attr.Flags) bool {
	return p.flagsErr == nil && p.flags&flags == flags && (p.flags^flags)&attr.Protective == 0
}

// ownerChanged forgets what goes with the owner: setuid bits and capabilities.
func (p *present) ownerChanged() {
	if p != nil {
		p.mode, p.set.Xattrs = -1, nil
	}
}

// modeChanged forgets what goes with the mode: it is a part of the access ACL.
func (p *present) modeChanged() {
	if p != nil {
		p.mode, p.set.ACLs = -1, nil
	}
}

// xattrsChanged forgets what may go with an extended attribute: writing some
// is writing the file.
func (p *present) xattrsChanged() {
	if p != nil {
		p.mtime = archive.Time{Nsec: 1e9} // which no file has
	}
}

// complete reports whether s, of which all is known, has everything that settle
// would give it.
func (r *run) complete(s subject, a *attributes) bool {
	mode := a.mode
	if !s.has.hasOwner(a) {
		if r.givesOwners() {
			return false
		}
		mode &^= dropped(s, r.owners.foreign(a))
	}
	for _, x := range a.xattrs {
		if !s.has.hasXattr(x) {
			return false
		}
	}
	for _, acl := range a.acls {
		if !s.has.hasACL(acl) {
			return false
		}
	}
	return s.has.exact() && s.has.hasMode(mode) && s.has.hasTimes(a) && (r.o.Without&Flags != 0 || s.has.hasFlags(a.flags))
}
