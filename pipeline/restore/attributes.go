package restore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
)

// attributes is what a file has besides its name and its content. It shares no
// memory with the entry it comes from.
type attributes struct {
	mode         uint16
	uid, gid     uint32 // on this host
	mtime, atime archive.Time
	anyAtime     bool            // the archive has no atime; a new file gets the mtime
	xattrs       []archive.Xattr // none spilled
	acls         []fileattr.ACL  // whose numbers are those of this host
	flags        attr.Flags
	unknown      []attr.Tag // of attributes that this version cannot restore
	lost         bool       // an attribute is damaged in the archive, and counted
	partial      bool       // an attribute could not be had: what is missing here may be in the archive
}

// attributesOf takes over what e says, without the parts that are not wanted;
// spilled returns the bytes of a value that is stored in chunks.
func (r *run) attributesOf(e *archive.Entry, spilled func(*archive.Content) ([]byte, error)) attributes {
	a := attributes{mode: e.Mode, mtime: e.ModTime, atime: e.ModTime, anyAtime: !e.HasAccessTime}
	a.uid, a.gid = r.owners.resolve(&e.Owner)
	if e.HasAccessTime {
		a.atime = e.AccessTime
	}
	for i := range e.Xattrs {
		r.takeXattr(&a, e.Path, &e.Xattrs[i], spilled)
	}
	for _, x := range e.Attrs {
		r.takeAttr(&a, e.Path, attr.Tag(x.Tag), x.Value)
	}
	if r.o.Without&ACLs != 0 {
		a.dropACLs()
	}
	return a
}

func (r *run) takeXattr(a *attributes, path string, x *archive.Xattr, spilled func(*archive.Content) ([]byte, error)) {
	switch x.Name {
	case attr.LinuxAccessACL: // as older archives have them
		r.takePosix(a, path, x.Name, attr.AccessACL, x.Value, attr.PosixOfLinux)
		return
	case attr.LinuxDefaultACL:
		r.takePosix(a, path, x.Name, attr.DefaultACL, x.Value, attr.PosixOfLinux)
		return
	}
	if r.o.Without&Xattrs != 0 {
		return
	}
	value := bytes.Clone(x.Value)
	if x.Spilled != nil {
		var err error
		if value, err = spilled(x.Spilled); err != nil {
			r.spoiled(a, path, "extended attribute "+x.Name, err)
			return
		}
	}
	a.xattrs = append(a.xattrs, archive.Xattr{Name: strings.Clone(x.Name), Value: value})
}

func (r *run) takeAttr(a *attributes, path string, tag attr.Tag, value []byte) {
	switch tag {
	case attr.AccessACL, attr.DefaultACL:
		r.takePosix(a, path, tag.String(), tag, value, attr.DecodePosix)
	case attr.NFS4:
		acl, err := attr.DecodeNFS4(value)
		r.takeACL(a, path, fileattr.ACL{Tag: tag, ACL: acl}, err)
	case attr.Mac:
		acl, err := attr.DecodeMac(value)
		r.takeACL(a, path, fileattr.ACL{Tag: tag, ACL: acl}, err)
	case attr.FileFlags:
		if r.o.Without&Flags != 0 {
			return
		}
		var err error
		if a.flags, err = attr.DecodeFlags(value); err != nil {
			r.spoiled(a, path, tag.String(), err)
		}
	default:
		a.unknown = append(a.unknown, tag)
	}
}

func (r *run) takePosix(
	a *attributes, path, what string, tag attr.Tag, value []byte, decode func([]byte) (attr.PosixACL, error),
) {
	acl, err := decode(value)
	if err != nil {
		r.spoiled(a, path, what, err)
		return
	}
	r.takeACL(a, path, fileattr.ACL{Tag: tag, ACL: acl}, nil)
}

func (r *run) takeACL(a *attributes, path string, acl fileattr.ACL, err error) {
	if err != nil {
		r.spoiled(a, path, acl.Tag.String(), err)
		return
	}
	r.owners.complete(acl)
	a.acls = append(a.acls, acl)
}

// spoiled reports an attribute that the archive does not give.
func (r *run) spoiled(a *attributes, path, what string, err error) {
	r.warn(path, fmt.Errorf("read %s: %w", what, err))
	a.partial = true
	if !a.lost && !errors.Is(err, errSpilled) {
		a.lost = true
		r.damaged(err)
	}
}

// dropACLs forgets the ACLs. With an access ACL the mode shows its mask in the
// place of what the group may do: left so, the group would get more than it had.
func (a *attributes) dropACLs() {
	for _, acl := range a.acls {
		if acl.Tag == attr.AccessACL {
			a.mode = bareMode(a.mode, acl.ACL.(attr.PosixACL))
		}
	}
	a.acls = nil
}

// bareMode returns what mode is of a file that does not get its ACL.
func bareMode(mode uint16, acl attr.PosixACL) uint16 {
	mask, group := uint8(7), uint8(0)
	for _, e := range acl {
		switch e.Kind {
		case attr.Mask:
			mask = e.Perm
		case attr.GroupObj:
			group = e.Perm
		}
	}
	return mode&^0o070 | uint16(group&mask)<<3
}

// weight says how much memory a takes besides itself, bytes.
func (a *attributes) weight() int {
	n := 8 * len(a.unknown)
	for i := range a.xattrs {
		n += 64 + len(a.xattrs[i].Name) + len(a.xattrs[i].Value)
	}
	for _, acl := range a.acls {
		n += 64 + 2*len(acl.Append(nil))
	}
	return n
}
