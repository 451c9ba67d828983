package restore_test

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

func TestModesAndTimes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	me := archive.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	old := archive.Time{Sec: -1_000_000_000, Nsec: 1}
	late := archive.Time{Sec: 2_000_000_000, Nsec: 999_999_999}
	entries := []archive.Entry{
		{Path: "d", Type: archive.Dir, Mode: 0o1777, ModTime: old},
		{Path: "d/closed", Type: archive.Dir, Mode: 0o111, ModTime: old},
		{Path: "d/closed/f", Mode: 0o400, ModTime: late, AccessTime: old, HasAccessTime: true, Content: s.content(noise(1, 10))},
		{Path: "d/closed/large", Mode: 0o444, ModTime: late, Content: s.content(noise(2, 3_000_000))},
		{Path: "d/s", Mode: 0o6755, ModTime: late, Content: s.content(noise(3, 1000))},
		{Path: "d/l", Type: archive.Symlink, Mode: 0o777, ModTime: old, Target: "no/where"},
		{Path: "d/p", Type: archive.Fifo, Mode: 0o4622, ModTime: old},
		{Path: "d/none", Mode: 0, ModTime: old},
	}
	for _, e := range entries {
		e.Owner = me
		s.add(e)
	}
	s.entries[len(s.entries)-1].Mode = 0
	target, _, w := run(t, s, restore.Options{})
	none(t, w)
	for _, e := range entries {
		st := stat(t, filepath.Join(target, e.Path))
		if e.Type != archive.Symlink && st.Mode&0o7777 != uint32(e.Mode) {
			t.Errorf("%s: got mode %o, want %o", e.Path, st.Mode, e.Mode)
		}
		if st.Mtim.Nano() != e.ModTime.Sec*1e9+int64(e.ModTime.Nsec) {
			t.Errorf("%s: got mtime %v, want %v", e.Path, st.Mtim, e.ModTime)
		}
		if e.HasAccessTime && st.Atim.Nano() != e.AccessTime.Sec*1e9+int64(e.AccessTime.Nsec) {
			t.Errorf("%s: got atime %v, want %v", e.Path, st.Atim, e.AccessTime)
		}
	}
	must(t, os.Chmod(filepath.Join(target, "d/closed"), 0o700)) // for the end of the test
}

func TestXattrs(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	caps := []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	// user::rw- user:1:r-- group::r-- mask::r-- other::---
	acl := []byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x01\x00\x00\x00" +
		"\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff")
	large := noise(9, 5000) // above what an entry holds; ext4 takes it only with ea_inode or larger blocks
	id := s.put(large)
	spilled := archive.Content{Form: archive.Chunk, Extents: []archive.Extent{{Len: 5000, ID: id}}}
	plain := []archive.Xattr{{Name: "user.a", Value: []byte("one")}, {Name: "user.empty"}}
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o500, Xattrs: plain})
	s.add(archive.Entry{Path: "d/f", Mode: 0o400, Content: s.content(noise(1, 500)), Xattrs: plain})
	s.add(archive.Entry{Path: "d/large", Mode: 0o400, Content: s.content(noise(2, 500_000)), Xattrs: plain})
	s.add(archive.Entry{Path: "spilled", Content: s.content(nil), Xattrs: []archive.Xattr{{Name: "user.s", Spilled: &spilled}}})
	s.add(archive.Entry{Path: "bad", Content: s.content(nil), Xattrs: []archive.Xattr{{Name: "nonsense.x", Value: []byte("y")}}})
	s.add(archive.Entry{Path: "tagged", Content: s.content(nil), Attrs: []archive.Attr{{Tag: 99, Value: []byte("y")}}})
	if os.Geteuid() == 0 {
		s.add(archive.Entry{Path: "caps", Mode: 0o755, Owner: archive.Owner{UID: 12, GID: 34}, Content: s.content(noise(3, 500)),
			Xattrs: []archive.Xattr{{Name: "security.capability", Value: caps}, {Name: "trusted.t", Value: []byte("t")}}})
		s.add(archive.Entry{Path: "link", Type: archive.Symlink, Target: "x", Xattrs: []archive.Xattr{{Name: "trusted.l", Value: []byte("l")}}})
		s.add(archive.Entry{Path: "acl", Mode: 0o640, Content: s.content(noise(3, 500)), Xattrs: []archive.Xattr{{Name: "system.posix_acl_access", Value: acl}}})
	}
	target, sum, w := run(t, s, restore.Options{})
	told := make(map[string]bool)
	for _, path := range w.paths {
		told[path] = true
	}
	delete(told, "spilled") // the file system decides
	lacks := []restore.Lack{
		{Why: restore.Unknown, Count: 1, Path: "tagged", Detail: "attribute 99"},
		{Part: restore.Xattrs, Why: restore.Unsupported, Count: 1, Path: "bad", Detail: "extended attribute nonsense.x"},
	}
	if len(told) != 0 || !slices.Equal(sum.Lacks, lacks) || sum.Failed != 0 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	check := func(path, name string, want []byte) {
		t.Helper()
		got := make([]byte, 8192)
		n, err := unix.Lgetxattr(filepath.Join(target, path), name, got)
		if err != nil || string(got[:n]) != string(want) {
			t.Errorf("%s %s: got %q, %v", path, name, got[:max(n, 0)], err)
		}
	}
	for _, path := range []string{"d", "d/f", "d/large"} {
		check(path, "user.a", []byte("one"))
		check(path, "user.empty", nil)
	}
	if os.Geteuid() == 0 {
		check("caps", "security.capability", caps)
		check("caps", "trusted.t", []byte("t"))
		check("link", "trusted.l", []byte("l"))
		check("acl", "system.posix_acl_access", acl)
	}
}

// TestInheritedACL holds that what a directory of the target hands down does
// not stay on what is restored.
func TestInheritedACL(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	// user::rwx user:1:rwx group::r-x mask::rwx other::r-x
	acl := []byte("\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x01\x00\x00\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff")
	if err := unix.Setxattr(target, "system.posix_acl_default", acl, 0); err != nil {
		t.Skipf("no ACLs here: %v", err)
	}
	s := newStore(t)
	s.file("f", noise(1, 1000))
	s.file("d/f", noise(2, 1_000_000))
	s.add(archive.Entry{Path: "p", Type: archive.Fifo, Mode: 0o660, Owner: archive.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}})
	_, _, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	for _, path := range []string{"f", "d", "d/f", "p"} {
		for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
			if n, err := unix.Getxattr(filepath.Join(target, path), name, nil); err == nil {
				t.Errorf("%s has %s of %d bytes", path, name, n)
			}
		}
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newStore(t)
	nobody, err := user.Lookup("nobody")
	must(t, err)
	uid, err := strconv.Atoi(nobody.Uid)
	must(t, err)
	byNumber := archive.Owner{UID: 4242, GID: 4343, User: "no such user", Group: ""}
	byName := archive.Owner{UID: 4242, GID: 4343, User: "nobody", Group: "root"}
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o755, Owner: byNumber})
	s.add(archive.Entry{Path: "d/f", Owner: byNumber, Mode: 0o6711, Content: s.content(noise(1, 1000))})
	s.add(archive.Entry{Path: "d/l", Type: archive.Symlink, Target: "x", Owner: byNumber})
	s.add(archive.Entry{Path: "d/null", Type: archive.CharDevice, Major: 1, Minor: 3, Mode: 0o666, Owner: byNumber})
	s.add(archive.Entry{Path: "d/loop", Type: archive.BlockDevice, Major: 7, Minor: 300, Mode: 0o660, Owner: byNumber})
	s.add(archive.Entry{Path: "named", Owner: byName, Content: s.content(noise(1, 1000))})
	target, _, w := run(t, s, restore.Options{})
	none(t, w)
	for _, path := range []string{"d", "d/f", "d/l", "d/null", "d/loop"} {
		if st := stat(t, filepath.Join(target, path)); st.Uid != 4242 || st.Gid != 4343 {
			t.Errorf("%s: got owner %d:%d", path, st.Uid, st.Gid)
		}
	}
	if st := stat(t, filepath.Join(target, "d/f")); st.Mode&0o7777 != 0o6711 {
		t.Errorf("got mode %o", st.Mode)
	}
	if st := stat(t, filepath.Join(target, "d/loop")); st.Rdev != unix.Mkdev(7, 300) || st.Mode != unix.S_IFBLK|0o660 {
		t.Errorf("got device %x, mode %o", st.Rdev, st.Mode)
	}
	if st := stat(t, filepath.Join(target, "named")); int(st.Uid) != uid || st.Gid != 0 {
		t.Errorf("by name: got owner %d:%d", st.Uid, st.Gid)
	}
	target, _, _ = run(t, s, restore.Options{NumericOwners: true})
	if st := stat(t, filepath.Join(target, "named")); st.Uid != 4242 || st.Gid != 4343 {
		t.Errorf("by number: got owner %d:%d", st.Uid, st.Gid)
	}
}
