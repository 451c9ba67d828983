package restore_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
	"cairn/pipeline/restore"
)

// flagged returns the attribute of flags.
func flagged(f attr.Flags) []archive.Attr {
	return []archive.Attr{{Tag: uint64(attr.FileFlags), Value: f.Append(nil)}}
}

// opened opens a file or directory for its flags.
func opened(t *testing.T, path string) fileattr.File {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	f := fileattr.File{Type: archive.File}
	if info.IsDir() {
		f.Type = archive.Dir
	}
	f.FD, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(f.FD) })
	return f
}

func flagsOf(t *testing.T, path string) attr.Flags {
	t.Helper()
	flags, err := opened(t, path).Flags()
	must(t, err)
	return flags
}

// setFlags sets flags, and takes them away at the end of the test.
func setFlags(t *testing.T, path string, f attr.Flags) {
	t.Helper()
	file := opened(t, path)
	must(t, file.ChangeFlags(f, 0))
	t.Cleanup(func() { _ = file.ChangeFlags(0, f) })
}

// thaw takes the flags of everything in dir at the end of the test.
func thaw(t *testing.T, dir string) {
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() && !d.Type().IsRegular() {
				return nil
			}
			if fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				_ = fileattr.File{FD: fd, Type: archive.File}.ChangeFlags(0, attr.Protective)
				_ = unix.Close(fd)
			}
			return nil
		})
	})
}

// TestProtected holds that what is immutable or append-only is restored as such,
// all of its names and what is in it, and restored again over itself.
func TestProtected(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newStore(t)
	dir, link := t.TempDir(), attr.Immutable|attr.NoDump
	target := filepath.Join(dir, "target")
	thaw(t, dir)
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o755, Attrs: flagged(attr.Immutable)})
	s.add(archive.Entry{Path: "d/append", Content: s.content(noise(1, 300_000)), Attrs: flagged(attr.Append)})
	first := linked("d/first", 1, s.content(noise(2, 1000)))
	first.Attrs = flagged(link)
	s.add(first)
	s.add(archive.Entry{Path: "d/open", Content: s.content(nil)})
	s.add(archive.Entry{Path: "e", Type: archive.Dir, Mode: 0o755, Attrs: flagged(attr.Append)})
	second := linked("e/second", 1, s.content(noise(2, 1000)))
	second.Attrs = flagged(link)
	s.add(second)
	for range 2 {
		_, sum, w := run(t, s, restore.Options{Target: target})
		none(t, w)
		if len(sum.Lacks) > 0 || sum.Links != 1 {
			t.Errorf("got %+v", sum)
		}
		sameFile(t, target, "d/first", "e/second")
		for path, want := range map[string]attr.Flags{
			"d": attr.Immutable, "d/append": attr.Append, "d/first": link, "d/open": 0, "e": attr.Append,
		} {
			if got := flagsOf(t, filepath.Join(target, path)); got != want {
				t.Errorf("%s: got flags %q, want %q", path, got, want)
			}
		}
	}
	content(t, filepath.Join(target, "e/second"), noise(2, 1000))
}

// TestPassedThrough holds that a directory that is only on the way, and the
// target itself, are protected afterwards as they were before.
func TestPassedThrough(t *testing.T) {
	t.Parallel()
	needRoot(t)
	target := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(target, "d"), 0o755))
	s := newStore(t)
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o700})
	s.file("d/f", noise(1, 1000))
	s.file("d/lost", noise(2, 200_000))
	setFlags(t, filepath.Join(target, "d"), attr.Immutable)
	setFlags(t, target, attr.Append)
	options := restore.Options{Target: target, Select: func(path string, is archive.Type) restore.Choice {
		if is == archive.Dir {
			return restore.Look
		}
		return restore.Take
	}}
	_, _, w := run(t, s, options)
	none(t, w)
	content(t, filepath.Join(target, "d/f"), noise(1, 1000))
	if d, top := flagsOf(t, filepath.Join(target, "d")), flagsOf(t, target); d != attr.Immutable || top != attr.Append {
		t.Errorf("got flags %q of the directory and %q of the target", d, top)
	}
}

// TestOtherNamesStayProtected holds that a file which has a name outside the
// target keeps its flags when the one inside is replaced.
func TestOtherNamesStayProtected(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := t.TempDir()
	outside, target := filepath.Join(base, "outside"), filepath.Join(base, "target")
	must(t, os.WriteFile(outside, []byte("untouched"), 0o600), os.Mkdir(target, 0o755), os.Link(outside, filepath.Join(target, "f")))
	setFlags(t, outside, attr.Immutable)
	s := newStore(t)
	s.file("f", []byte("restored"))
	_, _, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	content(t, filepath.Join(target, "f"), []byte("restored"))
	content(t, outside, []byte("untouched"))
	if got := flagsOf(t, outside); got != attr.Immutable {
		t.Errorf("the file outside has flags %q", got)
	}
}

// TestWithout holds that parts that are not wanted are left out, and that this
// gives nobody more than he had.
func TestWithout(t *testing.T) {
	t.Parallel()
	needRoot(t)
	acl := attr.PosixACL{
		{Kind: attr.UserObj, Perm: 6}, {Kind: attr.User, Perm: 7, Who: attr.Who{ID: 4242, Name: "nobody"}},
		{Kind: attr.GroupObj, Perm: 4}, {Kind: attr.Mask, Perm: 7}, {Kind: attr.Other},
	}
	s := newStore(t)
	s.add(archive.Entry{
		Path: "f", Mode: 0o4670, Owner: archive.Owner{UID: 4242, GID: 4343}, Content: s.content(nil),
		Xattrs: []archive.Xattr{{Name: "user.a", Value: []byte("x")}},
		Attrs:  append([]archive.Attr{{Tag: uint64(attr.AccessACL), Value: acl.Append(nil)}}, flagged(attr.NoDump)...),
	})
	type got struct {
		mode, uid   uint32
		acl, xattrs string
		flags       attr.Flags
	}
	const named, numbered = "user::rw-,user:65534:rwx,group::r--,mask::rwx,other::---", "user::rw-,user:4242:rwx,group::r--,mask::rwx,other::---"
	for _, c := range []struct {
		o    restore.Options
		want got
	}{
		{restore.Options{}, got{0o4670, 4242, named, "user.a", attr.NoDump}},
		{restore.Options{NumericOwners: true}, got{0o4670, 4242, numbered, "user.a", attr.NoDump}},
		{restore.Options{Without: restore.Owners}, got{0o670, 0, named, "user.a", attr.NoDump}},
		{restore.Options{Without: restore.Xattrs}, got{0o4670, 4242, named, "", attr.NoDump}},
		{restore.Options{Without: restore.ACLs}, got{0o4640, 4242, "", "user.a", attr.NoDump}},
		{restore.Options{Without: restore.Flags}, got{0o4670, 4242, named, "user.a", 0}},
	} {
		target, sum, w := run(t, s, c.o)
		none(t, w)
		path := filepath.Join(target, "f")
		set, problems := opened(t, path).Read(fileattr.Stat{}, fileattr.LeaveLabels)
		st := stat(t, path)
		is := got{mode: uint32(st.Mode) & 0o7777, uid: st.Uid, flags: set.Flags}
		for _, x := range set.Xattrs {
			is.xattrs += x.Name
		}
		for _, a := range set.ACLs {
			is.acl += a.ACL.(attr.PosixACL).String()
		}
		if is != c.want || len(problems) > 0 || len(sum.Lacks) > 0 {
			t.Errorf("without %d, numeric %t: got %+v, want %+v (%v, %+v)", c.o.Without, c.o.NumericOwners, is, c.want, problems, sum.Lacks)
		}
	}
}

// TestDamagedAttribute holds that an ACL or flags that cannot be read cost the
// file nothing else, and are told as damage.
func TestDamagedAttribute(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.add(archive.Entry{Path: "a", Content: s.content([]byte("whole")), Attrs: []archive.Attr{{Tag: uint64(attr.AccessACL), Value: []byte("no ACL")}}})
	s.add(archive.Entry{Path: "f", Content: s.content([]byte("whole")), Attrs: []archive.Attr{{Tag: uint64(attr.FileFlags)}}})
	s.add(archive.Entry{Path: "x", Content: s.content([]byte("whole")), Xattrs: []archive.Xattr{{Name: attr.LinuxAccessACL, Value: []byte("no ACL")}}})
	target, sum, w := run(t, s, restore.Options{})
	if sum.Damaged != 3 || sum.Failed != 0 || len(w.paths) != 3 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	for _, path := range []string{"a", "f", "x"} {
		content(t, filepath.Join(target, path), []byte("whole"))
	}
}

// TestForeign holds that what another system has is one line, whatever the
// number of files.
func TestForeign(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	nfs4 := attr.TrivialNFS4(0o640)
	for _, path := range []string{"a", "b", "c"} {
		s.add(archive.Entry{Path: path, Content: s.content(nil), Attrs: []archive.Attr{
			{Tag: uint64(attr.NFS4), Value: nfs4.Append(nil)}, {Tag: uint64(attr.Mac), Value: attr.MacACL{}.Append(nil)},
			{Tag: uint64(attr.FileFlags), Value: (attr.Opaque | attr.NoDump).Append(nil)},
		}})
	}
	target, sum, w := run(t, s, restore.Options{})
	none(t, w)
	counts := map[restore.Part]uint64{}
	for _, l := range sum.Lacks {
		if l.Why != restore.Unsupported {
			t.Errorf("got %+v", l)
		}
		counts[l.Part] = l.Count
	}
	if len(counts) != 2 || counts[restore.ACLs] != 6 || counts[restore.Flags] != 3 {
		t.Errorf("got %+v", sum.Lacks)
	}
	if got := flagsOf(t, filepath.Join(target, "a")); got != attr.NoDump {
		t.Errorf("got flags %q: one that is here must not be lost with one that is not", got)
	}
}
