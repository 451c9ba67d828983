package restore_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
	"cairn/pipeline/restore"
)

var (
	keptACL = attr.PosixACL{
		{Kind: attr.UserObj, Perm: 6}, {Kind: attr.User, Perm: 4, Who: attr.Who{ID: 65534, Name: "nobody"}},
		{Kind: attr.GroupObj, Perm: 4}, {Kind: attr.Mask, Perm: 4}, {Kind: attr.Other},
	}
	keptCaps = []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
)

// keptArchive is a tree of everything that a restore gives files and
// directories, as far as its owner may.
func keptArchive(t *testing.T) *store {
	t.Helper()
	s := newStore(t)
	root := os.Geteuid() == 0
	owner := archive.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	xattrs := []archive.Xattr{{Name: "user.a", Value: []byte("one")}, {Name: "user.empty"}}
	access := archive.Attr{Tag: uint64(attr.AccessACL), Value: keptACL.Append(nil)}
	inherit := archive.Attr{Tag: uint64(attr.DefaultACL), Value: keptACL.Append(nil)}
	atime := archive.Time{Sec: 1_400_000_000, Nsec: 7}
	program := archive.Entry{Path: "program", Mode: 0o6755, Content: s.content(noise(1, 1000))}
	guarded, shut := []archive.Attr(nil), uint16(0o600)
	if root {
		owner = archive.Owner{UID: 4242, GID: 4343}
		program.Xattrs = []archive.Xattr{{Name: "security.capability", Value: keptCaps}}
		guarded, shut = flagged(attr.Immutable), 0
	}
	for _, e := range []archive.Entry{
		{Path: "closed", Type: archive.Dir, Mode: 0o555},
		{Path: "closed/read", Mode: 0o444, Content: s.content(noise(2, 200_000)), Xattrs: xattrs},
		{Path: "closed/shut", Mode: shut, Content: s.content(noise(3, 10))},
		{Path: "guarded", Type: archive.Dir, Mode: 0o755, Attrs: guarded},
		{Path: "guarded/f", Mode: 0o644, Content: s.content(noise(4, 10)), Attrs: guarded},
		{Path: "listed", Mode: 0o640, Content: s.content(noise(5, 10)), Attrs: []archive.Attr{access}},
		{Path: "marked", Mode: 0o644, Content: s.content(noise(6, 10)), Attrs: flagged(attr.NoDump)},
		program,
		{Path: "shared", Type: archive.Dir, Mode: 0o3770, Xattrs: xattrs, Attrs: []archive.Attr{inherit}},
		{Path: "timed", Mode: 0o600, AccessTime: atime, HasAccessTime: true, Content: s.content(noise(7, 10))},
	} {
		e.Owner = owner
		s.add(e)
		s.entries[len(s.entries)-1].Mode = e.Mode // add has an opinion about 0
	}
	return s
}

// states returns what stat says of everything below dir.
func states(t *testing.T, dir string) map[string]unix.Stat_t {
	t.Helper()
	all := make(map[string]unix.Stat_t)
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all[path[len(dir):]] = stat(t, path)
		return err
	}))
	return all
}

// tick returns when what is changed from now on gets another ctime.
func tick(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, nil, 0o600))
	for first := stat(t, path).Ctim; stat(t, path).Ctim == first; time.Sleep(time.Millisecond) {
		must(t, os.Chmod(path, 0o600))
	}
}

// TestKeptIsNotTouched holds that what is as it should be stays as it is, ctime
// included: else the next backup would read it all.
func TestKeptIsNotTouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		thaw(t, dir)
	}
	keptIsNotTouched(t, filepath.Join(dir, "target"))
}

func keptIsNotTouched(t *testing.T, target string) {
	t.Helper()
	s := keptArchive(t)
	_, _, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	before := states(t, target)
	tick(t)
	_, sum, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	if sum.Kept != 7 || sum.Fetched != 0 || len(sum.Lacks) != 0 {
		t.Errorf("got %+v", sum)
	}
	for path, is := range states(t, target) {
		was := before[path]
		was.Atim, is.Atim = unix.Timespec{}, unix.Timespec{} // looking for it may change it
		if is != was {
			t.Errorf("%s: got %+v, was %+v", path, is, was)
		}
	}
	must(t, os.Chmod(filepath.Join(target, "closed"), 0o700)) // so that it can be removed
}

// TestKeptGetsWhatDiffers holds that whatever somebody has changed is put right,
// and all that goes with it, and that nothing else is touched.
func TestKeptGetsWhatDiffers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	thaw(t, dir)
	target := filepath.Join(dir, "target")
	s := keptArchive(t)
	_, _, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	want := described(t, target)
	flags := func(path string, set, clear attr.Flags) error { return opened(t, path).ChangeFlags(set, clear) }
	for _, c := range []struct {
		path  string
		spoil func(path string) error
	}{
		{"closed/read", func(path string) error { return os.Chmod(path, 0o400) }},
		{"closed/read", func(path string) error { return unix.Setxattr(path, "user.a", []byte("two"), 0) }},
		{"closed/read", func(path string) error { return unix.Removexattr(path, "user.empty") }},
		{"closed/shut", func(path string) error { return os.Chmod(path, 0o4777) }},
		{"guarded/f", func(path string) error { return flags(path, 0, attr.Immutable) }},
		{"guarded", func(path string) error { return flags(path, attr.Append, attr.Immutable) }},
		{"listed", func(path string) error { return unix.Removexattr(path, attr.LinuxAccessACL) }},
		{"listed", func(path string) error { return os.Chmod(path, 0o660) }}, // the mask
		{"marked", func(path string) error { return flags(path, 0, attr.NoDump) }},
		{"marked", func(path string) error { return flags(path, attr.Immutable, 0) }},
		{"program", func(path string) error { return os.Chown(path, 0, 0) }}, // and with it setuid, setgid, capabilities
		{"program", func(path string) error { return unix.Removexattr(path, "security.capability") }},
		{"program", func(path string) error { return os.Chmod(path, 0o755) }},
		{"shared", func(path string) error { return os.Chown(path, 0, -1) }},
		{"shared", func(path string) error { return unix.Removexattr(path, attr.LinuxDefaultACL) }},
		{"shared", func(path string) error { return os.Chtimes(path, old, old) }},
		{"timed", func(path string) error { return os.Chtimes(path, old, time.Time{}) }},
	} {
		must(t, c.spoil(filepath.Join(target, c.path)))
		before := states(t, target)
		tick(t)
		_, _, w := run(t, s, restore.Options{Target: target})
		none(t, w)
		for path, is := range described(t, target) {
			if is != want[path] {
				t.Errorf("%s spoilt: %s is %s, want %s", c.path, path, is, want[path])
			}
		}
		for path, is := range states(t, target) {
			if touched := is.Ctim != before[path].Ctim; touched != (path == "/"+c.path) {
				t.Errorf("%s spoilt: %q touched: %t", c.path, path, touched)
			}
		}
	}
}

// described returns what there is to say of everything below dir, but for the
// atimes that the archive does not have.
func described(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for path, st := range states(t, dir) {
		if path == "" {
			continue
		}
		f := opened(t, dir+path)
		set, problems := f.Read(fileattr.Stat{}, fileattr.LeaveLabels)
		if len(problems) > 0 {
			t.Errorf("%s: %v", path, problems)
		}
		atime := unix.Timespec{}
		if path == "/timed" {
			atime = st.Atim
		}
		all[path] = fmt.Sprintf("%o %d:%d %v %v %q", st.Mode, st.Uid, st.Gid, st.Mtim, atime, set)
	}
	return all
}
