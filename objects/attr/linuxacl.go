package attr

import (
	"encoding/binary"

	"cairn/objects/wire"
)

// Names of the extended attributes that Linux keeps ACLs in.
const (
	LinuxAccessACL  = "system.posix_acl_access"
	LinuxDefaultACL = "system.posix_acl_default"
)

// Linux writes an ACL as a version, u32, and entries of kind u16, permissions
// u16 and ID u32, all little-endian. Whoever has no ID has all ones.
const (
	linuxVersion = 2
	linuxEntry   = 8
	linuxNobody  = 1<<32 - 1
)

// PosixOfLinux reads the value of an extended attribute of Linux. The entries
// have no names.
func PosixOfLinux(value []byte) (PosixACL, error) {
	if len(value) < 4 || (len(value)-4)%linuxEntry != 0 {
		return nil, errSize
	}
	d := wire.NewDecoder(value)
	if d.U32() != linuxVersion {
		return nil, errKind
	}
	acl := make(PosixACL, 0, d.Len()/linuxEntry)
	for d.Len() > 0 {
		kind, perm, id := d.U16(), d.U16(), d.U32()
		if kind > 0xff || perm > 0xff {
			return nil, errBits
		}
		e := PosixEntry{Kind: PosixKind(kind), Perm: uint8(perm)}
		if e.Kind.named() {
			e.Who.ID = id
		}
		acl = append(acl, e)
	}
	return acl, acl.check()
}

// Linux returns the value of an extended attribute of Linux.
func (a PosixACL) Linux() []byte {
	b := binary.LittleEndian.AppendUint32(nil, linuxVersion)
	for _, e := range a {
		id := uint32(linuxNobody)
		if e.Kind.named() {
			id = e.Who.ID
		}
		b = wire.AppendU16(wire.AppendU16(b, uint16(e.Kind)), uint16(e.Perm))
		b = wire.AppendU32(b, id)
	}
	return b
}
