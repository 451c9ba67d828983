package attr

import (
	"encoding/binary"

	"cairn/objects/wire"
)

// FreeBSD hands out an ACL as a struct acl, in the byte order of the machine,
// which is little-endian on every one that cairn is built for: how many entries
// there may be u32, how many there are u32, 16 bytes unused, and room for 254
// entries of 16 bytes: kind u32, ID u32, permissions u32, type u16, flags u16.
const (
	freebsdMax    = 254
	freebsdHead   = 24
	freebsdEntry  = 16
	freebsdNobody = 1<<32 - 1

	// FreeBSDSize is the size of a struct acl, bytes.
	FreeBSDSize = freebsdHead + freebsdMax*freebsdEntry
)

// Kind of an NFSv4 entry about everyone; the others are those of PosixKind.
const freebsdEveryone = 0x40

// freebsdPerms returns FreeBSD's bit of every permission of RFC 7530 §6.2.1.
func freebsdPerms() [14]struct{ rfc, freebsd uint32 } {
	return [...]struct{ rfc, freebsd uint32 }{
		{0x1, 0x8}, {0x2, 0x10}, {0x4, 0x20}, {0x8, 0x40}, {0x10, 0x80}, {0x20, 0x1}, {0x40, 0x100},
		{0x80, 0x200}, {0x100, 0x400}, {0x10000, 0x800}, {0x20000, 0x1000}, {0x40000, 0x2000},
		{0x80000, 0x4000}, {0x100000, 0x8000},
	}
}

// freebsdACE is an entry of a struct acl.
type freebsdACE struct {
	kind, id, perm uint32
	typ, flags     uint16
}

// PosixOfFreeBSD reads a struct acl of type ACL_TYPE_ACCESS or _DEFAULT. The
// entries have no names. No entries, as directories without a default ACL have
// it, are nil.
func PosixOfFreeBSD(p []byte) (PosixACL, error) {
	entries, err := freebsdEntries(p)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	acl := make(PosixACL, 0, len(entries))
	for _, x := range entries {
		if x.kind > 0xff || x.perm > 0xff {
			return nil, errBits
		}
		e := PosixEntry{Kind: PosixKind(x.kind), Perm: uint8(x.perm)}
		if e.Kind.named() {
			e.Who.ID = x.id
		}
		acl = append(acl, e)
	}
	return acl, acl.check()
}

// FreeBSD returns a struct acl, or an error if there are too many entries.
func (a PosixACL) FreeBSD() ([]byte, error) {
	entries := make([]freebsdACE, 0, len(a))
	for _, e := range a {
		x := freebsdACE{kind: uint32(e.Kind), id: freebsdNobody, perm: uint32(e.Perm)}
		if e.Kind.named() {
			x.id = e.Who.ID
		}
		entries = append(entries, x)
	}
	return freebsdStruct(entries)
}

// NFS4OfFreeBSD reads a struct acl of type ACL_TYPE_NFS4. The entries have no
// names.
func NFS4OfFreeBSD(p []byte) (NFS4ACL, error) {
	entries, err := freebsdEntries(p)
	if err != nil {
		return nil, err
	}
	acl := make(NFS4ACL, 0, len(entries))
	for _, x := range entries {
		e := NFS4Entry{Flags: uint32(x.flags)}
		for i, t := range freebsdTypes() {
			if x.typ == t {
				e.Type = Allow + NFS4Type(i)
			}
		}
		for i, k := range freebsdKinds() {
			if x.kind == k {
				e.Kind = OwnerAt + NFS4Kind(i)
			}
		}
		for _, bit := range freebsdPerms() {
			if x.perm&bit.freebsd != 0 {
				e.Perm |= bit.rfc
				x.perm &^= bit.freebsd
			}
		}
		if x.perm != 0 {
			return nil, errBits
		}
		if e.Kind.named() {
			e.Who.ID = x.id
		}
		acl = append(acl, e)
	}
	return acl, acl.check()
}

// FreeBSD returns a struct acl, or an error if there are too many entries.
func (a NFS4ACL) FreeBSD() ([]byte, error) {
	entries := make([]freebsdACE, 0, len(a))
	for _, e := range a {
		x := freebsdACE{
			kind: freebsdKinds()[e.Kind-OwnerAt], id: freebsdNobody,
			typ: freebsdTypes()[e.Type-Allow], flags: uint16(e.Flags),
		}
		for _, bit := range freebsdPerms() {
			if e.Perm&bit.rfc != 0 {
				x.perm |= bit.freebsd
			}
		}
		if e.Kind.named() {
			x.id = e.Who.ID
		}
		entries = append(entries, x)
	}
	return freebsdStruct(entries)
}

// freebsdTypes returns FreeBSD's value of every NFS4Type.
func freebsdTypes() [4]uint16 { return [...]uint16{0x100, 0x200, 0x400, 0x800} }

// freebsdKinds returns FreeBSD's value of every NFS4Kind.
func freebsdKinds() [5]uint32 {
	return [...]uint32{uint32(UserObj), uint32(GroupObj), freebsdEveryone, uint32(User), uint32(Group)}
}

func freebsdEntries(p []byte) ([]freebsdACE, error) {
	d := wire.NewDecoder(p)
	d.U32()
	n := d.U32()
	d.Raw(16)
	if n > freebsdMax || d.Len() < int(n)*freebsdEntry {
		return nil, errSize
	}
	entries := make([]freebsdACE, n)
	for i := range entries {
		entries[i] = freebsdACE{kind: d.U32(), id: d.U32(), perm: d.U32(), typ: d.U16(), flags: d.U16()}
	}
	return entries, d.Err()
}

func freebsdStruct(entries []freebsdACE) ([]byte, error) {
	if len(entries) > freebsdMax {
		return nil, errSize
	}
	b := make([]byte, freebsdHead, FreeBSDSize)
	binary.LittleEndian.PutUint32(b, freebsdMax)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(entries)))
	for _, e := range entries {
		b = wire.AppendU32(wire.AppendU32(wire.AppendU32(b, e.kind), e.id), e.perm)
		b = wire.AppendU16(wire.AppendU16(b, e.typ), e.flags)
	}
	return b[:FreeBSDSize], nil
}
