package tarball

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// nobody owns what has no owner that a system could have.
const nobody = 65534

// keySELinux is how GNU tar writes the label of SELinux.
const keySELinux = "RHT.security.selinux"

// Errors of what a member has and an entry cannot.
var (
	errKind         = errors.New("is left out: nobody knows members of this kind")
	errDeviceNumber = errors.New("is left out: it is a device with a number that no system has")
	errOwner        = errors.New("its owner has a number that no system has, and is nobody now")
	errForeignACL   = errors.New("an ACL that is not one of POSIX is left out")
)

// typeOf returns what a member becomes.
func typeOf(h *tar.Header) (archive.Type, error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse, '\x00':
		return archive.File, nil
	case tar.TypeDir, typeDump:
		return archive.Dir, nil
	case tar.TypeSymlink:
		if h.Linkname == "" {
			return 0, errNoTarget
		}
		return archive.Symlink, nil
	case tar.TypeChar, tar.TypeBlock:
		if h.Devmajor < 0 || h.Devminor < 0 || h.Devmajor > math.MaxUint32 || h.Devminor > math.MaxUint32 {
			return 0, errDeviceNumber
		}
		if h.Typeflag == tar.TypeChar {
			return archive.CharDevice, nil
		}
		return archive.BlockDevice, nil
	case tar.TypeFifo:
		return archive.Fifo, nil
	}
	return 0, fmt.Errorf("%w: %q", errKind, h.Typeflag)
}

// Types of members that archive/tar has no name for.
const (
	typeDump  = 'D' // a directory in an incremental dump of GNU tar, and what is in it
	typeLabel = 'V' // the name of the whole
)

// isSparse reports whether a member was written with its holes left out.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// entry returns what a header says, without content and attributes.
func (i *importer) entry(path string, t archive.Type, h *tar.Header) *archive.Entry {
	e := &archive.Entry{
		Path: path, Type: t, Mode: uint16(h.Mode & 0o7777),
		Owner:   archive.Owner{UID: i.number(h.Uid), GID: i.number(h.Gid), User: i.intern(h.Uname), Group: i.intern(h.Gname)},
		ModTime: archive.TimeOf(h.ModTime), ChangeTime: archive.TimeOf(h.ModTime),
	}
	if !h.ChangeTime.IsZero() {
		e.ChangeTime = archive.TimeOf(h.ChangeTime)
	}
	if !h.AccessTime.IsZero() {
		e.AccessTime, e.HasAccessTime = archive.TimeOf(h.AccessTime), true
	}
	switch t {
	case archive.Symlink:
		e.Target = h.Linkname
	case archive.CharDevice, archive.BlockDevice:
		e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	}
	return e
}

// number returns the number of a user or a group. All ones stand for nobody to
// every system.
func (i *importer) number(id int) uint32 {
	if id < 0 || int64(id) >= math.MaxUint32 {
		i.warn(i.name, errOwner)
		return nobody
	}
	return uint32(id)
}

// intern returns a string that all entries share: few have another owner than
// the one before.
func (i *importer) intern(name string) string {
	if kept, ok := i.names[name]; ok {
		return kept
	}
	i.names[name] = name
	return name
}

// attributes fills in the extended attributes and the ACLs.
func (i *importer) attributes(ctx context.Context, e *archive.Entry, h *tar.Header) error {
	values := map[string]string{}
	acls := map[attr.Tag]attr.PosixACL{}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) { // the text of an ACL before what Linux makes of it
		value := h.PAXRecords[key]
		name, isXattr := xattrOf(key)
		tag := aclTag(key)
		if isXattr {
			tag = aclOf(name)
		}
		switch {
		case tag != 0 && acls[tag] == nil:
			acl, err := i.acl(value, isXattr)
			if err != nil {
				i.warn(i.name, fmt.Errorf("%s is left out: %w", tag, err))
				continue
			}
			acls[tag] = acl
		case tag != 0: // said twice
		case isXattr:
			values[name] = value
		case strings.HasPrefix(key, keyACL):
			i.warn(i.name, errForeignACL)
		}
	}
	e.Attrs = aclAttrs(e.Type, acls)
	return i.xattrs(ctx, e, values)
}

// acl reads an ACL, text or as Linux has it.
func (i *importer) acl(value string, linux bool) (attr.PosixACL, error) {
	if linux {
		return attr.PosixOfLinux([]byte(value))
	}
	return parseACL(value, i.ids)
}

// aclAttrs returns the ACLs that say more than the mode does.
func aclAttrs(t archive.Type, acls map[attr.Tag]attr.PosixACL) []archive.Attr {
	var attrs []archive.Attr
	if acl := acls[attr.AccessACL]; acl != nil && !acl.Minimal() && t != archive.Symlink {
		attrs = append(attrs, archive.Attr{Tag: uint64(attr.AccessACL), Value: acl.Append(nil)})
	}
	if acl := acls[attr.DefaultACL]; acl != nil && t == archive.Dir {
		attrs = append(attrs, archive.Attr{Tag: uint64(attr.DefaultACL), Value: acl.Append(nil)})
	}
	return attrs
}

func (i *importer) xattrs(ctx context.Context, e *archive.Entry, values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		x := archive.Xattr{Name: name}
		if value := values[name]; len(value) <= archive.XattrMax {
			x.Value = []byte(value)
		} else {
			var err error
			if x.Spilled, err = i.store.value(ctx, value); err != nil {
				return err
			}
		}
		e.Xattrs = append(e.Xattrs, x)
	}
	return nil
}
