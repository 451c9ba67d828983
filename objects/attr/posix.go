package attr

import (
	"strings"

	"cairn/objects/wire"
)

// PosixKind says whom an entry of a PosixACL is about. The values are those of
// Linux and FreeBSD.
type PosixKind uint8

const (
	UserObj  PosixKind = 0x01 // the owner
	User     PosixKind = 0x02
	GroupObj PosixKind = 0x04 // the group
	Group    PosixKind = 0x08
	Mask     PosixKind = 0x10 // the most that User, GroupObj and Group get
	Other    PosixKind = 0x20
)

// PosixEntry is one entry of a PosixACL.
type PosixEntry struct {
	Kind PosixKind
	Perm uint8 // 4 read, 2 write, 1 execute
	Who  Who   // User and Group only
}

// PosixACL is an access or a default ACL of POSIX.1e, its entries by rising
// kind.
type PosixACL []PosixEntry

// Minimal reports whether the ACL says nothing that a mode could not.
func (a PosixACL) Minimal() bool { return len(a) == 3 }

// MinimalPosix returns the ACL that says what a mode does.
func MinimalPosix(mode uint16) PosixACL {
	return PosixACL{
		{Kind: UserObj, Perm: uint8(mode >> 6 & 7)}, {Kind: GroupObj, Perm: uint8(mode >> 3 & 7)}, {Kind: Other, Perm: uint8(mode & 7)},
	}
}

// named reports whether entries of the kind name somebody.
func (k PosixKind) named() bool { return k == User || k == Group }

// Append appends a, which is valid.
func (a PosixACL) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(a)))
	for _, e := range a {
		b = append(b, byte(e.Kind), e.Perm)
		if e.Kind.named() {
			b = e.Who.append(b)
		}
	}
	return b
}

// Named implements ACL.
func (a PosixACL) Named(user, group func(*Who)) {
	for i := range a {
		switch a[i].Kind {
		case User:
			user(&a[i].Who)
		case Group:
			group(&a[i].Who)
		}
	}
}

// DecodePosix reads what Append wrote.
func DecodePosix(p []byte) (PosixACL, error) {
	d := wire.NewDecoder(p)
	acl := PosixACL(readList(d, 2, func() PosixEntry {
		e := PosixEntry{Kind: PosixKind(d.U8()), Perm: d.U8()}
		if e.Kind.named() {
			e.Who = readWho(d)
		}
		return e
	}))
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return acl, acl.check()
}

// check holds a to what systems demand of an ACL.
func (a PosixACL) check() error {
	var seen [Other + 1]int
	for i, e := range a {
		switch e.Kind {
		case UserObj, User, GroupObj, Group, Mask, Other:
		default:
			return errKind
		}
		if e.Perm > 7 {
			return errBits
		}
		if i > 0 && e.Kind < a[i-1].Kind {
			return errOrder
		}
		seen[e.Kind]++
	}
	if seen[UserObj] != 1 || seen[GroupObj] != 1 || seen[Other] != 1 || seen[Mask] > 1 ||
		seen[User]+seen[Group] > 0 && seen[Mask] == 0 {
		return errSet
	}
	return nil
}

// String returns the short text form that getfacl and setfacl know.
func (a PosixACL) String() string {
	var b strings.Builder
	for i, e := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		switch e.Kind {
		case UserObj, User:
			b.WriteString("user:")
		case GroupObj, Group:
			b.WriteString("group:")
		case Mask:
			b.WriteString("mask:")
		case Other:
			b.WriteString("other:")
		}
		if e.Kind.named() {
			b.WriteString(e.Who.String())
		}
		b.WriteString(":" + letters(uint32(e.Perm), []uint32{4, 2, 1}, "rwx"))
	}
	return b.String()
}
