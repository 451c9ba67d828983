package tarball

import (
	"strconv"
	"strings"

	"cairn/objects/attr"
)

// Keys of pax records that star introduced, and GNU tar and libarchive use.
const (
	keyXattr      = "SCHILY.xattr."
	keyACL        = "SCHILY.acl."
	keyAccessACL  = "SCHILY.acl.access"
	keyDefaultACL = "SCHILY.acl.default"
)

// xattrKey returns the key of an extended attribute: a key ends at the first
// equals sign.
func xattrKey(name string) string {
	return keyXattr + strings.NewReplacer("%", "%25", "=", "%3D").Replace(name)
}

// xattrOf returns the name of the extended attribute that a record has, if it
// has one.
func xattrOf(key string) (name string, ok bool) {
	if key == keySELinux {
		return "security.selinux", true
	}
	name, ok = strings.CutPrefix(key, keyXattr)
	return strings.NewReplacer("%3D", "=", "%3d", "=", "%25", "%").Replace(name), ok && name != ""
}

// aclTag returns the tag of an ACL that a record has, or 0.
func aclTag(key string) attr.Tag {
	switch key {
	case keyAccessACL:
		return attr.AccessACL
	case keyDefaultACL:
		return attr.DefaultACL
	}
	return 0
}

// aclKey returns the key of an ACL, or nothing for what tar files do not have.
func aclKey(tag attr.Tag) string {
	switch tag {
	case attr.AccessACL:
		return keyAccessACL
	case attr.DefaultACL:
		return keyDefaultACL
	}
	return ""
}

// aclOf returns the tag of an extended attribute that is an ACL to Linux, as
// archives of earlier versions have it, or 0.
func aclOf(xattr string) attr.Tag {
	switch xattr {
	case attr.LinuxAccessACL:
		return attr.AccessACL
	case attr.LinuxDefaultACL:
		return attr.DefaultACL
	}
	return 0
}

// aclText returns the text form of an ACL: that of getfacl, with the number
// behind each name, for those who do not have the name.
func aclText(acl attr.PosixACL) string {
	entries := make([]string, len(acl))
	for i := range acl {
		entries[i] = acl[i : i+1].String()
		if who := acl[i].Who; who.Name != "" {
			entries[i] += ":" + strconv.FormatUint(uint64(who.ID), 10)
		}
	}
	return strings.Join(entries, ",")
}
