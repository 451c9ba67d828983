package restore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	// granting lets nobody do more than the group, and all through its mask.
	granting = attr.PosixACL{
		{Kind: attr.UserObj, Perm: 7}, {Kind: attr.User, Perm: 7, Who: attr.Who{ID: 65534}},
		{Kind: attr.GroupObj}, {Kind: attr.Mask, Perm: 7}, {Kind: attr.Other},
	}.Linux()
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
		// What the archive does not have.
		{"closed", func(path string) error { return unix.Setxattr(path, "user.more", nil, 0) }},
		{"closed", func(path string) error { return unix.Setxattr(path, attr.LinuxAccessACL, granting, 0) }},
		{"closed", func(path string) error { return unix.Setxattr(path, attr.LinuxDefaultACL, granting, 0) }},
		{"closed/read", func(path string) error { return unix.Setxattr(path, "user.more", []byte("x"), 0) }},
		{"closed/read", func(path string) error { return unix.Setxattr(path, "security.capability", keptCaps, 0) }},
		{"closed/read", func(path string) error { return unix.Setxattr(path, attr.LinuxAccessACL, granting, 0) }},
		{"closed/shut", func(path string) error { return flags(path, attr.NoDump, 0) }},
		{"guarded", func(path string) error {
			return errors.Join(flags(path, 0, attr.Immutable), flags(path, attr.NoDump, 0), flags(path, attr.Immutable, 0))
		}},
		{"listed", func(path string) error { return flags(path, attr.NoDump|attr.NoAtime, 0) }},
		{"marked", func(path string) error { return flags(path, attr.Sync, 0) }},
		{"program", func(path string) error { return unix.Setxattr(path, attr.LinuxAccessACL, granting, 0) }},
		{"shared", func(path string) error { return unix.Setxattr(path, attr.LinuxAccessACL, granting, 0) }},
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

// extra gives a file or directory of everything that an ordinary user can.
func extra(t *testing.T, path string) {
	t.Helper()
	must(t, unix.Setxattr(path, attr.LinuxAccessACL, granting, 0), unix.Setxattr(path, "user.more", []byte("x"), 0),
		opened(t, path).ChangeFlags(attr.NoDump, 0))
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		must(t, unix.Setxattr(path, attr.LinuxDefaultACL, granting, 0))
	}
}

// TestExtraIsLeft holds that what is not to be restored is left alone, and so are
// attributes of which the archive may not know, and those of directories that
// are only on the way.
func TestExtraIsLeft(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o750})
	s.add(archive.Entry{Path: "d/f", Mode: 0o640, Content: s.content(noise(1, 10))})
	spoilt := archive.Attr{Tag: uint64(attr.AccessACL), Value: []byte("no ACL")}
	s.add(archive.Entry{Path: "spoilt", Mode: 0o640, Content: s.content(noise(1, 10)), Attrs: []archive.Attr{spoilt}})
	onlyFile := func(path string, _ archive.Type) restore.Choice {
		if path == "d" {
			return restore.Look
		}
		return restore.Take
	}
	const xattr, acl, flag = "user.more", "acl", "nodump"
	for _, c := range []struct {
		o    restore.Options
		d, f []string // what they have afterwards
	}{
		{o: restore.Options{}},
		{o: restore.Options{Without: restore.Xattrs}, d: []string{xattr}, f: []string{xattr}},
		{o: restore.Options{Without: restore.ACLs}, d: []string{acl, "default_acl"}, f: []string{acl}},
		{o: restore.Options{Without: restore.Flags}, d: []string{flag}, f: []string{flag}},
		{o: restore.Options{Without: restore.Xattrs | restore.ACLs}, d: []string{xattr, acl, "default_acl"}, f: []string{xattr, acl}},
		{o: restore.Options{Overwrite: restore.Never}, d: []string{xattr, acl, "default_acl", flag}, f: []string{xattr, acl, flag}},
		{o: restore.Options{Select: onlyFile}, d: []string{xattr, acl, "default_acl", flag}},
	} {
		target, _, _ := run(t, s, restore.Options{})
		for _, path := range []string{"d/f", "spoilt", "d"} {
			extra(t, filepath.Join(target, path))
		}
		c.o.Target = target
		_, sum, _ := run(t, s, c.o)
		spoilt := []string{xattr, acl, flag}
		for path, want := range map[string][]string{"d": c.d, "d/f": c.f, "spoilt": spoilt} {
			if got := names(t, filepath.Join(target, path)); !slices.Equal(got, want) || len(sum.Lacks) > 0 {
				t.Errorf("%+v: %s has %q, want %q (%+v)", c.o, path, got, want, sum.Lacks)
			}
		}
	}
}

// names returns what the file has besides what stat says.
func names(t *testing.T, path string) (all []string) {
	t.Helper()
	set, problems := opened(t, path).Read(fileattr.Stat{}, fileattr.KeepLabels)
	if len(problems) > 0 {
		t.Errorf("%s: %v", path, problems)
	}
	for _, x := range set.Xattrs {
		all = append(all, x.Name)
	}
	for _, acl := range set.ACLs {
		all = append(all, acl.Tag.String())
	}
	if set.Flags != 0 {
		all = append(all, set.Flags.String())
	}
	return all
}

// TestSystemsOwnIsLeft holds that a restore does not fight with what the system,
// or a file system above, writes to files.
func TestSystemsOwnIsLeft(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newStore(t)
	s.add(archive.Entry{Path: "f", Content: s.content(noise(1, 10))})
	target, _, _ := run(t, s, restore.Options{})
	path := filepath.Join(target, "f")
	own := []string{"security.selinux", "trusted.overlay.opaque"}
	for _, name := range own {
		must(t, unix.Setxattr(path, name, []byte("y"), 0))
	}
	before := stat(t, path)
	tick(t)
	_, sum, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	if got := names(t, path); !slices.Equal(got, own) || len(sum.Lacks) > 0 || stat(t, path).Ctim != before.Ctim {
		t.Errorf("got %q, %+v", got, sum)
	}
}

// TestHandedDownFlags holds that flags which a directory of the target hands down
// do not stay on what is restored, but for those about storage; they could have
// the next backup leave it out.
func TestHandedDownFlags(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o755})
	s.add(archive.Entry{Path: "d/f", Content: s.content(noise(1, 10))})
	s.add(archive.Entry{Path: "f", Content: s.content(noise(2, 300_000)), Attrs: flagged(attr.NoAtime)})
	target := t.TempDir()
	must(t, opened(t, target).ChangeFlags(attr.NoDump|attr.Sync|attr.Compress, 0))
	for range 2 { // what is there already the second time is not otherwise
		_, sum, w := run(t, s, restore.Options{Target: target})
		none(t, w)
		for path, want := range map[string]attr.Flags{"d": 0, "d/f": 0, "f": attr.NoAtime} {
			if got := flagsOf(t, filepath.Join(target, path)) &^ attr.Compress; got != want || len(sum.Lacks) > 0 {
				t.Errorf("%s: got flags %q, want %q (%+v)", path, got, want, sum.Lacks)
			}
		}
	}
	if flags := flagsOf(t, target); flags != attr.NoDump|attr.Sync|attr.Compress {
		t.Errorf("the target has flags %q now", flags)
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
