package restore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/restore"
)

// needRoot skips what only root can do.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

const asNobody = "CAIRN_TEST_AS_NOBODY" // the directory of the child's test

// TestWithoutRoot runs itself once more as somebody who may not give files
// away.
func TestWithoutRoot(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(asNobody); dir != "" {
		withoutRoot(t, dir)
		return
	}
	needRoot(t)
	base, err := os.MkdirTemp("", "cairn-nobody-") // t.TempDir is closed to others
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	binary := filepath.Join(base, "test")
	p, err := os.ReadFile("/proc/self/exe")
	must(t, err, os.WriteFile(binary, p, 0o755), os.Chmod(base, 0o777))
	cmd := exec.Command(binary, "-test.run=^TestWithoutRoot$")
	cmd.Dir = base
	cmd.Env = append(os.Environ(), asNobody+"="+base, "TMPDIR="+base)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func withoutRoot(t *testing.T, dir string) {
	s := newStore(t)
	mine := archive.Owner{UID: 65534, GID: 65534}
	other := archive.Owner{UID: 0, GID: 65534, User: "root"}
	xattrs := []archive.Xattr{{Name: "trusted.t", Value: []byte("x")}, {Name: "user.a", Value: []byte("x")}}
	flags := []archive.Attr{{Tag: uint64(attr.FileFlags), Value: (attr.NoDump | attr.Immutable).Append(nil)}}
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o555, Owner: mine})
	s.add(archive.Entry{Path: "d/mine", Mode: 0o6444, Owner: mine, Content: s.content(noise(1, 1000)), Xattrs: xattrs, Attrs: flags})
	s.add(archive.Entry{Path: "d/other", Mode: 0o6755, Owner: other, Content: s.content(noise(2, 1000))})
	s.add(archive.Entry{Path: "d/null", Type: archive.CharDevice, Major: 1, Minor: 3, Mode: 0o666, Owner: mine})
	s.add(archive.Entry{Path: "e", Type: archive.Dir, Mode: 0o555, Owner: mine}) // nothing is made in it
	target := filepath.Join(dir, "target")
	for range 2 { // d is closed the second time
		_, sum, w := run(t, s, restore.Options{Target: target})
		lacks := []restore.Lack{
			{Part: restore.Owners, Why: restore.Forbidden, Count: 1, Path: "d/other"},
			{Part: restore.Xattrs, Why: restore.Forbidden, Count: 1, Path: "d/mine", Detail: "extended attribute trusted.t"},
			{Part: restore.Flags, Why: restore.Forbidden, Count: 1, Path: "d/mine", Detail: "flag immutable"},
			{Part: restore.Nodes, Why: restore.Forbidden, Count: 1, Path: "d/null", Detail: "character device"},
		}
		if !slices.Equal(sum.Lacks, lacks) || sum.Failed != 1 || len(w.paths) != 0 {
			t.Errorf("got %+v and\n%s", sum, w)
		}
		for path, mode := range map[string]uint32{"d": 0o555, "d/mine": 0o6444, "d/other": 0o2755} {
			if st := stat(t, filepath.Join(target, path)); uint32(st.Mode)&0o7777 != mode || st.Uid != 65534 {
				t.Errorf("%s: got mode %o, owner %d", path, st.Mode, st.Uid)
			}
		}
	}
	for _, path := range []string{"d/mine", "d", "e"} {
		mode := stat(t, filepath.Join(target, path)).Mode & 0o7777
		must(t, os.Chmod(filepath.Join(target, path), 0o700))
		extra(t, filepath.Join(target, path))
		must(t, os.Chmod(filepath.Join(target, path), os.FileMode(mode&0o777)))
	}
	run(t, s, restore.Options{Target: target})
	for path, want := range map[string][]string{"d": nil, "e": nil, "d/mine": {"user.a", "nodump"}} {
		if got := names(t, filepath.Join(target, path)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	must(t, os.Chmod(filepath.Join(target, "d"), 0o700)) // so that it can be removed
	keptIsNotTouched(t, filepath.Join(dir, "kept"))
}
