package fileattr

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// opened makes a file or directory and returns it open.
func opened(t *testing.T, is archive.Type) (File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if is == archive.Dir {
		must(t, os.Mkdir(path, 0o755))
	} else {
		must(t, os.WriteFile(path, []byte("content"), 0o640))
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return File{Dir: unix.AT_FDCWD, Name: path, FD: fd, Type: is}, path
}

// acl is u::rw-, user 1000 r--, g::r--, m::r--, o::---
func acl() attr.PosixACL {
	return attr.PosixACL{
		{Kind: attr.UserObj, Perm: 6}, {Kind: attr.User, Perm: 4, Who: attr.Who{ID: 1000}}, {Kind: attr.GroupObj, Perm: 4},
		{Kind: attr.Mask, Perm: 4}, {Kind: attr.Other},
	}
}

// TestReadBack holds that what is set is read, through a descriptor, one that
// only names the file, and a path.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for _, is := range []archive.Type{archive.File, archive.Dir} {
		f, path := opened(t, is)
		long := bytes.Repeat([]byte{1}, 900)
		tag := attr.AccessACL
		if is == archive.Dir {
			tag = attr.DefaultACL
		}
		must(t, f.SetXattr("user.b", long), f.SetXattr("user.a", nil), f.SetACL(ACL{tag, acl()}),
			f.ChangeFlags(attr.NoDump|attr.NoAtime, 0))
		named, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { _ = unix.Close(named) })
		byName, byPath := f, f
		byName.FD, byName.ByName = named, true
		byPath.FD = -1
		for i, g := range []File{f, byName, byPath} {
			s, problems := g.Read(Stat{}, LeaveLabels)
			if len(problems) > 0 || len(s.Xattrs) != 2 || s.Xattrs[0].Name != "user.a" || !bytes.Equal(s.Xattrs[1].Value, long) {
				t.Errorf("%s, way %d: got %q, %v", is, i, s.Xattrs, problems)
			}
			if len(s.ACLs) != 1 || s.ACLs[0].Tag != tag || s.ACLs[0].ACL.(attr.PosixACL).String() != acl().String() {
				t.Errorf("%s, way %d: got %v", is, i, s.ACLs)
			}
			if want := attr.NoDump | attr.NoAtime; i == 0 && s.Flags != want || i > 0 && s.Flags != 0 {
				t.Errorf("%s, way %d: got flags %s", is, i, s.Flags)
			}
		}
		must(t, f.DropInherited())
		if s, _ := f.Read(Stat{}, LeaveLabels); len(s.ACLs) != 0 {
			t.Errorf("%s: ACLs left: %v", is, s.ACLs)
		}
	}
}

// TestChangeFlags holds that other flags, the file system's own among them, stay
// as they are.
func TestChangeFlags(t *testing.T) {
	t.Parallel()
	f, _ := opened(t, archive.File)
	before, err := f.bits()
	must(t, err, f.ChangeFlags(attr.NoDump|attr.Sync, 0), f.ChangeFlags(attr.NoAtime, attr.NoDump))
	after, err := f.bits()
	must(t, err)
	if want := before | 0x8 | 0x80; after != want {
		t.Errorf("got flags %#x, want %#x", after, want)
	}
	if err := f.ChangeFlags(attr.NoDump|attr.Opaque, 0); !Unsupported(err) {
		t.Errorf("a flag of another system: got %v", err)
	}
	if flags, err := f.Flags(); err != nil || flags != attr.NoDump|attr.Sync|attr.NoAtime {
		t.Errorf("got %s, %v", flags, err)
	}
}

// TestNothingThere holds that a file system without flags, and files that have
// none, are no problem, and that a device is not opened.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	fd, err := unix.Open("/proc/self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	for _, f := range []File{
		{FD: fd, Type: archive.File},
		{Dir: unix.AT_FDCWD, Name: "/dev/tty", FD: -1, Type: archive.CharDevice},
	} {
		s, problems := f.Read(Stat{}, LeaveLabels)
		if len(problems) > 0 || s.Flags != 0 || len(s.ACLs) > 0 {
			t.Errorf("%+v: got %+v, %v", f, s, problems)
		}
	}
	device := File{Dir: unix.AT_FDCWD, Name: "/dev/tty", FD: -1, Type: archive.CharDevice}
	if err := device.ChangeFlags(attr.NoDump, 0); !Unsupported(err) {
		t.Errorf("flags of a device: got %v", err)
	}
	if err := device.SetACL(ACL{attr.Mac, attr.MacACL{}}); !Unsupported(err) {
		t.Errorf("an ACL of another system: got %v", err)
	}
	gone := File{Dir: unix.AT_FDCWD, Name: filepath.Join(t.TempDir(), "gone"), FD: -1, Type: archive.File}
	if _, problems := gone.Read(Stat{}, LeaveLabels); len(problems) != 1 || !errors.Is(problems[0], unix.ENOENT) {
		t.Errorf("what is gone: got %v", problems)
	}
}
