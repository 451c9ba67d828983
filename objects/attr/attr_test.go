package attr

import (
	"testing"
)

// TestFlagBits holds the flags of each system to the names of its own tools.
func TestFlagBits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		of        func(uint32) Flags
		to        func(Flags) (uint32, Flags)
		all, kept uint32
		has       Flags
	}{
		// lsattr: EXT4_FL_USER_VISIBLE and _MODIFIABLE, and of btrfs nocompress and nocow.
		{"linux", FlagsOfLinux, Flags.Linux, 0xffffffff, 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x400 | 0x4000 |
			0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x2000000, linuxFlags},
		{"freebsd", FlagsOfFreeBSD, Flags.FreeBSD, 0xffffffff, 0x1f | 0x80 | 0x1000 | 0x8000 | 0x20000 | 0x40000 | 0x100000, freebsdFlags},
		{"macos", FlagsOfMac, Flags.Mac, 0xffffffff, 0xf | 0x8000 | 0x20000 | 0x40000 | 0x100000, macFlags},
	} {
		f := c.of(c.all)
		if f != c.has {
			t.Errorf("%s: got %s, want %s", c.name, f, c.has)
		}
		if bits, foreign := c.to(f); bits != c.kept || foreign != 0 {
			t.Errorf("%s: got bits %#x and foreign %s, want %#x", c.name, bits, foreign, c.kept)
		}
		if bits, foreign := c.to(flagsEnd | (flagsEnd - 1)); bits != c.kept || foreign != (flagsEnd|(flagsEnd-1))&^c.has {
			t.Errorf("%s: got bits %#x and foreign %s of all flags", c.name, bits, foreign)
		}
	}
}

// TestTrivial holds what mode 0640 is on ZFS, as FreeBSD's setfacl(1) and
// acl(7) describe it, and that nothing else is taken for it.
func TestTrivial(t *testing.T) {
	t.Parallel()
	for mode, want := range map[uint16]string{
		0o640: "owner@:rw-p--aARWcCos:-------:allow,group@:r-----a-R-c--s:-------:allow,everyone@:------a-R-c--s:-------:allow",
		0o604: "owner@:r-------------:-------:allow,group@:r-------------:-------:deny,owner@:rw-p--aARWcCos:-------:allow," +
			"group@:------a-R-c--s:-------:allow,everyone@:r-----a-R-c--s:-------:allow",
		0o060: "owner@:rw-p----------:-------:deny,owner@:------aARWcCos:-------:allow,group@:rw-p--a-R-c--s:-------:allow," +
			"everyone@:------a-R-c--s:-------:allow",
	} {
		if got := TrivialNFS4(mode).String(); got != want {
			t.Errorf("mode %04o: got %s, want %s", mode, got, want)
		}
		if a := TrivialNFS4(mode); !a.Trivial(mode) || a.Trivial(mode^1) || a[1:].Trivial(mode) {
			t.Errorf("mode %04o: it is not told apart", mode)
		}
	}
}

// TestNamed holds that users and groups are told apart, and that a GUID follows
// its number.
func TestNamed(t *testing.T) {
	t.Parallel()
	for _, acl := range []ACL{
		PosixACL{{UserObj, 7, Who{}}, {User, 7, Who{ID: 1}}, {GroupObj, 0, Who{}}, {Group, 0, Who{ID: 2}}, {Mask, 0, Who{}}, {Other, 0, Who{}}},
		NFS4ACL{{Kind: OwnerAt}, {Kind: NFS4User, Who: Who{ID: 1}}, {Kind: NFS4Group, Who: Who{ID: 2}}},
		MacACL{Entries: []MacEntry{{}, {Kind: MacUser, Who: Who{ID: 1}}, {Kind: MacGroup, Who: Who{ID: 2}}}},
	} {
		users, groups := 0, 0
		acl.Named(func(w *Who) { users += int(w.ID); w.ID = 501 }, func(w *Who) { groups += int(w.ID); w.ID = 12 })
		if users != 1 || groups != 2 {
			t.Errorf("%T: got user %d and group %d", acl, users, groups)
		}
		if mac, ok := acl.(MacACL); ok {
			got := mac.Entries[0].GUID.String() + " " + mac.Entries[1].GUID.String() + " " + mac.Entries[2].GUID.String()
			if want := "00000000-0000-0000-0000-000000000000 FFFFEEEE-DDDD-CCCC-BBBB-AAAA000001F5 ABCDEFAB-CDEF-ABCD-EFAB-CDEF0000000C"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}
