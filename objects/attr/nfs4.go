package attr

import (
	"slices"
	"strings"

	"cairn/objects/wire"
)

// NFS4Type says what an entry of an NFS4ACL does.
type NFS4Type uint8

const (
	Allow NFS4Type = 1 + iota
	Deny
	Audit
	Alarm
)

// NFS4Kind says whom an entry of an NFS4ACL is about.
type NFS4Kind uint8

const (
	OwnerAt    NFS4Kind = 1 + iota // owner@
	GroupAt                        // group@
	EveryoneAt                     // everyone@
	NFS4User
	NFS4Group
)

// NFS4Entry is one entry of an NFS4ACL. Flags and Perm have the bits of RFC
// 7530 §6.2.1.
type NFS4Entry struct {
	Type        NFS4Type
	Kind        NFS4Kind
	Flags, Perm uint32
	Who         Who // NFS4User and NFS4Group only
}

// NFS4ACL is an ACL of NFSv4, as ZFS and UFS of FreeBSD have it. The order of
// its entries matters.
type NFS4ACL []NFS4Entry

// Bits of RFC 7530 §6.2.1: permissions, and flags without "identifier is a
// group", which Who says.
const (
	nfs4Perms = 0x1f01ff
	nfs4Flags = 0xbf
)

func (k NFS4Kind) named() bool { return k == NFS4User || k == NFS4Group }

// Append appends a, which is valid.
func (a NFS4ACL) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(a)))
	for _, e := range a {
		b = append(b, byte(e.Type), byte(e.Kind))
		b = wire.AppendUvarint(wire.AppendUvarint(b, uint64(e.Flags)), uint64(e.Perm))
		if e.Kind.named() {
			b = e.Who.append(b)
		}
	}
	return b
}

// Named implements ACL.
func (a NFS4ACL) Named(user, group func(*Who)) {
	for i := range a {
		switch a[i].Kind {
		case NFS4User:
			user(&a[i].Who)
		case NFS4Group:
			group(&a[i].Who)
		}
	}
}

// DecodeNFS4 reads what Append wrote.
func DecodeNFS4(p []byte) (NFS4ACL, error) {
	d := wire.NewDecoder(p)
	acl := NFS4ACL(readList(d, 4, func() NFS4Entry {
		e := NFS4Entry{Type: NFS4Type(d.U8()), Kind: NFS4Kind(d.U8())}
		e.Flags, e.Perm = uint32(d.UvarintMax(1<<32-1)), uint32(d.UvarintMax(1<<32-1))
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

func (a NFS4ACL) check() error {
	if len(a) == 0 {
		return errEmpty
	}
	for _, e := range a {
		if e.Type < Allow || e.Type > Alarm || e.Kind < OwnerAt || e.Kind > NFS4Group {
			return errKind
		}
		if e.Flags&^nfs4Flags != 0 || e.Perm&^nfs4Perms != 0 {
			return errBits
		}
	}
	return nil
}

// String returns the compact text form that getfacl and setfacl of FreeBSD
// know, with commas between the entries.
func (a NFS4ACL) String() string {
	var b strings.Builder
	for i, e := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		switch e.Kind {
		case OwnerAt:
			b.WriteString("owner@")
		case GroupAt:
			b.WriteString("group@")
		case EveryoneAt:
			b.WriteString("everyone@")
		case NFS4User:
			b.WriteString("user:" + e.Who.String())
		case NFS4Group:
			b.WriteString("group:" + e.Who.String())
		}
		perms := []uint32{0x1, 0x2, 0x20, 0x4, 0x10000, 0x40, 0x80, 0x100, 0x8, 0x10, 0x20000, 0x40000, 0x80000, 0x100000}
		b.WriteString(":" + letters(e.Perm, perms, "rwxpdDaARWcCos"))
		b.WriteString(":" + letters(e.Flags, []uint32{0x1, 0x2, 0x8, 0x4, 0x10, 0x20, 0x80}, "fdinSFI"))
		b.WriteString(":" + [...]string{Allow: "allow", Deny: "deny", Audit: "audit", Alarm: "alarm"}[e.Type])
	}
	return b.String()
}

// Trivial reports whether the ACL is the one that a file of this mode has when
// nobody has given it another one (PSARC/2010/029, which FreeBSD follows).
func (a NFS4ACL) Trivial(mode uint16) bool { return slices.Equal(a, TrivialNFS4(mode)) }

// TrivialNFS4 returns the ACL that is Trivial for a mode.
func TrivialNFS4(mode uint16) NFS4ACL {
	const (
		read, write, execute = 0x1, 0x2 | 0x4, 0x20
		all                  = 0x8 | 0x80 | 0x20000 | 0x100000  // read named attributes, attributes, ACL; synchronize
		owns                 = 0x10 | 0x100 | 0x40000 | 0x80000 // write those; write owner
	)
	class := func(shift int) uint32 {
		perm := uint32(all)
		for i, gives := range [...]uint32{execute, write, read} {
			if mode>>(shift+i)&1 != 0 {
				perm |= gives
			}
		}
		return perm
	}
	owner, group, other := class(6)|owns, class(3), class(0)
	denyOwner := (group | other) &^ owner
	denyGroup := other &^ group
	var acl NFS4ACL
	add := func(typ NFS4Type, kind NFS4Kind, perm uint32) {
		if perm != 0 {
			acl = append(acl, NFS4Entry{Type: typ, Kind: kind, Perm: perm})
		}
	}
	add(Allow, OwnerAt, denyGroup&owner) // or what group@ is denied would be denied to an owner in the group
	add(Deny, OwnerAt, denyOwner)
	add(Deny, GroupAt, denyGroup)
	add(Allow, OwnerAt, owner)
	add(Allow, GroupAt, group)
	add(Allow, EveryoneAt, other)
	return acl
}
