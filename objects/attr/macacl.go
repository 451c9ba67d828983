package attr

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"cairn/objects/wire"
)

// GUID names a user or a group to macOS.
type GUID [16]byte

// String returns g as macOS prints it.
func (g GUID) String() string {
	text := strings.ToUpper(hex.EncodeToString(g[:]))
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

// MacKind says whom a GUID stands for.
type MacKind uint8

const (
	MacUnknown MacKind = iota // whoever a directory service says
	MacUser
	MacGroup
)

// MacEntry is one entry of a MacACL. Flags and Rights have the bits of macOS,
// which are those of KAUTH_ACE_* and KAUTH_VNODE_*.
type MacEntry struct {
	GUID          GUID
	Flags, Rights uint32
	Kind          MacKind
	Who           Who // not with MacUnknown
}

// MacACL is an extended ACL of macOS. The order of its entries matters.
type MacACL struct {
	Flags   uint32 // KAUTH_ACL_*
	Entries []MacEntry
}

// Append appends a, which is valid.
func (a MacACL) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(a.Flags))
	b = wire.AppendUvarint(b, uint64(len(a.Entries)))
	for _, e := range a.Entries {
		b = append(b, e.GUID[:]...)
		b = wire.AppendUvarint(wire.AppendUvarint(b, uint64(e.Flags)), uint64(e.Rights))
		b = append(b, byte(e.Kind))
		if e.Kind != MacUnknown {
			b = e.Who.append(b)
		}
	}
	return b
}

// Named implements ACL. Nobody can be named whose GUID is not made of a number.
func (a MacACL) Named(user, group func(*Who)) {
	for i := range a.Entries {
		e := &a.Entries[i]
		switch e.Kind {
		case MacUser:
			user(&e.Who)
		case MacGroup:
			group(&e.Who)
		default:
			continue
		}
		e.GUID = MacGUID(e.Kind, e.Who.ID)
	}
}

// DecodeMac reads what Append wrote.
func DecodeMac(p []byte) (MacACL, error) {
	d := wire.NewDecoder(p)
	a := MacACL{Flags: uint32(d.UvarintMax(1<<32 - 1))}
	a.Entries = readList(d, 19, func() (e MacEntry) {
		d.Fill(e.GUID[:])
		e.Flags, e.Rights = uint32(d.UvarintMax(1<<32-1)), uint32(d.UvarintMax(1<<32-1))
		if e.Kind = MacKind(d.U8()); e.Kind > MacGroup {
			d.Fail(errKind)
		}
		if e.Kind != MacUnknown {
			e.Who = readWho(d)
		}
		return e
	})
	return a, d.Finish()
}

// String returns the entries as ls -le prints them, with commas between them
// and plus signs between what an entry gives.
func (a MacACL) String() string {
	entries := make([]string, 0, len(a.Entries))
	for _, e := range a.Entries {
		who := e.GUID.String()
		switch e.Kind {
		case MacUser:
			who = "user:" + e.Who.String()
		case MacGroup:
			who = "group:" + e.Who.String()
		}
		does := "allow"
		switch e.Flags & 0xf {
		case 2:
			does = "deny"
		case 3:
			does = "audit"
		case 4:
			does = "alarm"
		}
		entries = append(entries, who+" "+does+" "+strings.Join(e.gives(), "+"))
	}
	return strings.Join(entries, ",")
}

// gives returns the names of the rights and of the ways of inheriting them.
func (e MacEntry) gives() []string {
	var names []string
	rights := [...]string{1: "read", "write", "execute", "delete", "append", "delete_child", "readattr", "writeattr",
		"readextattr", "writeextattr", "readsecurity", "writesecurity", "chown", 20: "synchronize"}
	for bit, name := range rights {
		if e.Rights>>bit&1 != 0 && name != "" {
			names = append(names, name)
		}
	}
	flags := [...]string{4: "inherited", "file_inherit", "directory_inherit", "limit_inherit", "only_inherit"}
	for bit, name := range flags {
		if e.Flags>>bit&1 != 0 && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// macOS hands out an ACL as a kauth_filesec, in the byte order of the machine,
// which is little-endian: a magic number u32, the GUIDs of the owner and of the
// group, how many entries there are u32, flags u32, and entries of GUID, flags
// u32 and rights u32.
const (
	macMagic = 0x012cc16d
	macHead  = 44
	macEntry = 24
	macNone  = 1<<32 - 1 // entries, if there is no ACL
)

// MacOfFilesec reads a kauth_filesec; ok is false if it holds no ACL. Entries
// whose GUID is made of a number are about a user or a group, without a name.
func MacOfFilesec(p []byte) (a MacACL, ok bool, err error) {
	d := wire.NewDecoder(p)
	if d.U32() != macMagic {
		return MacACL{}, false, errKind
	}
	d.Raw(32)
	n := d.U32()
	a.Flags = d.U32()
	if d.Err() == nil && n == macNone {
		return MacACL{}, false, nil
	}
	if d.Err() != nil || uint64(n)*macEntry > uint64(d.Len()) {
		return MacACL{}, false, errSize
	}
	a.Entries = make([]MacEntry, n)
	for i := range a.Entries {
		e := &a.Entries[i]
		d.Fill(e.GUID[:])
		e.Flags, e.Rights = d.U32(), d.U32()
		e.Kind, e.Who.ID = e.GUID.who()
	}
	return a, true, d.Err()
}

// Filesec returns a kauth_filesec that gives a file the ACL and leaves its
// owner alone.
func (a MacACL) Filesec() []byte {
	b := make([]byte, macHead, macHead+macEntry*len(a.Entries))
	binary.LittleEndian.PutUint32(b, macMagic)
	binary.LittleEndian.PutUint32(b[36:], uint32(len(a.Entries)))
	binary.LittleEndian.PutUint32(b[40:], a.Flags)
	for _, e := range a.Entries {
		b = append(b, e.GUID[:]...)
		b = wire.AppendU32(wire.AppendU32(b, e.Flags), e.Rights)
	}
	return b
}

// MacNoACL returns a kauth_filesec that takes a file's ACL away.
func MacNoACL() []byte {
	b := MacACL{}.Filesec()
	binary.LittleEndian.PutUint32(b[36:], macNone)
	return b
}

// macUser and macGroup begin the GUIDs that macOS makes of a number, big-endian,
// where no directory service has given another one.
const (
	macUser  = "\xff\xff\xee\xee\xdd\xdd\xcc\xcc\xbb\xbb\xaa\xaa"
	macGroup = "\xab\xcd\xef\xab\xcd\xef\xab\xcd\xef\xab\xcd\xef"
)

func (g GUID) who() (MacKind, uint32) {
	switch string(g[:12]) {
	case macUser:
		return MacUser, binary.BigEndian.Uint32(g[12:])
	case macGroup:
		return MacGroup, binary.BigEndian.Uint32(g[12:])
	}
	return MacUnknown, 0
}

// MacGUID returns the GUID that macOS makes of a number.
func MacGUID(kind MacKind, id uint32) GUID {
	prefix := macUser
	if kind == MacGroup {
		prefix = macGroup
	}
	return GUID(binary.BigEndian.AppendUint32([]byte(prefix), id))
}
