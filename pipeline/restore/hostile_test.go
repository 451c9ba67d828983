package restore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// must ends the test at an error of its own preparations.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingOutsideTarget(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	target, outside := filepath.Join(base, "target"), filepath.Join(base, "outside")
	secret := filepath.Join(outside, "secret")
	must(t,
		os.MkdirAll(filepath.Join(target, "real"), 0o700), os.Mkdir(outside, 0o755),
		os.WriteFile(secret, []byte("untouched"), 0o640),
		os.Symlink(outside, filepath.Join(target, "dir")),                // where a directory must go
		os.Symlink(outside, filepath.Join(target, "real", "deep")),       // further down
		os.Symlink(secret, filepath.Join(target, "file")),                // where a file must go
		os.Symlink(secret, filepath.Join(target, "link")),                // where a link must go
		os.Link(secret, filepath.Join(target, "hard")),                   // another name of it
		os.Symlink("../../../outside", filepath.Join(target, "hanging"))) // from the archive's own links

	s := newStore(t)
	p := noise(1, 3000)
	for _, path := range []string{"dir/secret", "real/deep/secret", "file", "hard"} {
		s.file(path, p)
	}
	s.add(archive.Entry{Path: "link", Type: archive.Symlink, Target: outside})
	s.add(archive.Entry{Path: "hanging", Type: archive.Symlink, Target: "/etc"})
	before := stat(t, outside)
	_, _, w := run(t, s, restore.Options{Target: target})
	none(t, w)

	content(t, secret, []byte("untouched"))
	if st := stat(t, secret); st.Mode&0o777 != 0o640 {
		t.Errorf("the file outside has mode %o now", st.Mode)
	}
	if after := stat(t, outside); after.Mtim != before.Mtim || after.Mode != before.Mode {
		t.Error("the directory outside was changed")
	}
	for _, path := range []string{"dir/secret", "real/deep/secret", "file", "hard"} {
		path = filepath.Join(target, path)
		content(t, path, p)
		if st := stat(t, path); st.Mode&unix.S_IFMT != unix.S_IFREG {
			t.Errorf("%s has mode %o", path, st.Mode)
		}
	}
	if to, err := os.Readlink(filepath.Join(target, "link")); to != outside || err != nil {
		t.Errorf("got %q, %v", to, err)
	}
}

// TestSwappedMeanwhile swaps directories that the restore is working in for
// links that lead out, between two reads.
func TestSwappedMeanwhile(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	target, outside := filepath.Join(base, "target"), filepath.Join(base, "outside")
	must(t, os.Mkdir(outside, 0o755))
	s := newStore(t)
	for i := range uint64(300) { // more directories than are held open
		s.file(fmt.Sprintf("top/d%03d/f", i), noise(i, 200))
	}
	swapped := false
	s.onRead = func(objects.ID, int) error {
		if !swapped {
			swapped = true
			must(t, os.Rename(filepath.Join(target, "top"), filepath.Join(target, "moved")),
				os.Symlink(outside, filepath.Join(target, "top")))
		}
		return nil
	}
	_, _, _, err := try(t, s, restore.Options{Target: target, Workers: 1})
	must(t, err)
	if names, err := os.ReadDir(outside); len(names) > 0 || err != nil {
		t.Errorf("written outside: %v, %v", names, err)
	}
	if to, err := os.Readlink(filepath.Join(target, "top")); to != outside || err != nil {
		t.Errorf("the link is gone: %q, %v", to, err)
	}
}

func TestInTheWay(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	must(t,
		os.MkdirAll(filepath.Join(target, "file", "full"), 0o755),
		os.WriteFile(filepath.Join(target, "dir"), []byte("in the way"), 0o600),
		os.MkdirAll(filepath.Join(target, "kept", "mine"), 0o755),
		os.WriteFile(filepath.Join(target, "kept", "old"), []byte("old"), 0o600),
		os.Chmod(filepath.Join(target, "kept"), 0o500))
	s := newStore(t)
	s.file("file", noise(1, 3000))
	s.file("dir/x", noise(2, 3000))
	s.add(archive.Entry{Path: "kept", Type: archive.Dir, Mode: 0o711})
	s.file("kept/new", noise(3, 3000))
	s.file("kept/old", noise(4, 3000))
	_, sum, w := run(t, s, restore.Options{Target: target})
	if sum.Failed != 1 || len(w.paths) != 1 || w.paths[0] != "file" {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	content(t, filepath.Join(target, "dir/x"), noise(2, 3000))
	content(t, filepath.Join(target, "kept/new"), noise(3, 3000))
	content(t, filepath.Join(target, "kept/old"), noise(4, 3000))
	if st := stat(t, filepath.Join(target, "kept/mine")); st.Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Error("what was there is gone")
	}
	if st := stat(t, filepath.Join(target, "kept")); st.Mode&0o7777 != 0o711 {
		t.Errorf("kept has mode %o", st.Mode)
	}
}

// TestLinkAtParent holds that a link is not replaced for a directory that
// nobody asked for.
func TestLinkAtParent(t *testing.T) {
	t.Parallel()
	target, elsewhere := t.TempDir(), t.TempDir()
	must(t, os.Symlink(elsewhere, filepath.Join(target, "home")))
	s := newStore(t)
	s.file("home/me/f", noise(1, 1000))
	s.file("home/me/g", noise(2, 1000))
	_, sum, w := run(t, s, restore.Options{Target: target, Select: only("home/me")})
	if sum.Failed != 4 || len(w.paths) != 4 || w.paths[0] != "home" { // home, me and its two files
		t.Errorf("got %+v and\n%s", sum, w)
	}
	if to, err := os.Readlink(filepath.Join(target, "home")); to != elsewhere || err != nil {
		t.Errorf("got %q, %v", to, err)
	}
	if names, err := os.ReadDir(elsewhere); len(names) > 0 || err != nil {
		t.Errorf("written through the link: %v, %v", names, err)
	}
}
