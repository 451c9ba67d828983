package restore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// only chooses what lies at or below a path, and its parents.
func only(want string) func(string, archive.Type) restore.Choice {
	return func(path string, is archive.Type) restore.Choice {
		switch {
		case path == want || strings.HasPrefix(path, want+"/"):
			return restore.Take
		case strings.HasPrefix(want, path+"/"):
			return restore.Look
		}
		return restore.Skip
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 2000 { // enough to be jumped over
		s.file(fmt.Sprintf("a/skipped/f%04d", i), nil)
	}
	s.add(archive.Entry{Path: "a/skipped.more", Content: s.content(nil)})
	s.add(archive.Entry{Path: "b", Type: archive.Dir, Mode: 0o710, ModTime: archive.Time{Sec: 1_000_000_000}})
	s.add(archive.Entry{Path: "b/c", Type: archive.Dir, Mode: 0o701, ModTime: archive.Time{Sec: 1_100_000_000}})
	s.file("b/c/d/e", noise(1, 1000))
	s.file("b/c/d/f", noise(2, 1000))
	s.file("b/c/other", noise(3, 1000))
	s.add(archive.Entry{Path: "empty", Type: archive.Dir, Mode: 0o755})

	asked := 0
	choose := only("b/c/d")
	target, sum, w := run(t, s, restore.Options{Select: func(path string, is archive.Type) restore.Choice {
		asked++
		if strings.HasPrefix(path, "a/skipped/") {
			t.Errorf("asked for %s", path)
		}
		return choose(path, is)
	}})
	none(t, w)
	if sum.Files != 2 || sum.Dirs != 3 {
		t.Errorf("got %+v", sum)
	}
	content(t, filepath.Join(target, "b/c/d/e"), noise(1, 1000))
	for path, want := range map[string]struct {
		mode uint32
		sec  int64
	}{"b": {0o710, 1_000_000_000}, "b/c": {0o701, 1_100_000_000}} {
		if st := stat(t, filepath.Join(target, path)); uint32(st.Mode)&0o7777 != want.mode || int64(st.Mtim.Sec) != want.sec {
			t.Errorf("%s: got mode %o, mtime %d", path, st.Mode, st.Mtim.Sec)
		}
	}
	for _, path := range []string{"a", "b/c/other", "empty"} {
		missing(t, filepath.Join(target, path))
	}
	target, _, w = run(t, s, restore.Options{Select: only("a/skipped.more")})
	none(t, w)
	content(t, filepath.Join(target, "a/skipped.more"), nil)
}

// TestParentsStay holds that a directory that is only passed through keeps what
// it has, unless the restore itself has made it.
func TestParentsStay(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	old := archive.Time{Sec: 1_000_000_000}
	for _, path := range []string{"a", "a/b", "a/b/c"} {
		s.add(archive.Entry{Path: path, Type: archive.Dir, Mode: 0o751, ModTime: old})
	}
	s.file("a/b/c/f", noise(1, 1000))
	target := t.TempDir()
	mine := filepath.Join(target, "a")
	must(t, os.Mkdir(mine, 0o700), os.Mkdir(filepath.Join(mine, "b"), 0o700))
	at := time.Unix(1_600_000_000, 0)
	must(t, os.Chmod(mine, 0o710), os.Chtimes(mine, at, at))
	_, _, w := run(t, s, restore.Options{Target: target, Select: only("a/b/c/f")})
	none(t, w)
	if st := stat(t, mine); st.Mode&0o7777 != 0o710 || int64(st.Mtim.Sec) != at.Unix() {
		t.Errorf("a: got mode %o, mtime %d: it was there and nobody asked for it", st.Mode, st.Mtim.Sec)
	}
	if st := stat(t, filepath.Join(mine, "b")); st.Mode&0o7777 != 0o700 || int64(st.Mtim.Sec) == old.Sec {
		t.Errorf("a/b: got mode %o, mtime %d: it was there and nobody asked for it", st.Mode, st.Mtim.Sec)
	}
	if st := stat(t, filepath.Join(mine, "b/c")); st.Mode&0o7777 != 0o751 || int64(st.Mtim.Sec) != old.Sec {
		t.Errorf("a/b/c: got mode %o, mtime %d, want those of the archive", st.Mode, st.Mtim.Sec)
	}
	// Wanted itself it gets what the archive says.
	_, _, w = run(t, s, restore.Options{Target: target, Select: only("a")})
	none(t, w)
	if st := stat(t, mine); st.Mode&0o7777 != 0o751 || int64(st.Mtim.Sec) != old.Sec {
		t.Errorf("a, wanted: got mode %o, mtime %d", st.Mode, st.Mtim.Sec)
	}
}

func TestPartial(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.add(archive.Entry{Path: "f", Partial: true, Content: s.content(noise(1, 1000))})
	target, sum, w := run(t, s, restore.Options{})
	if sum.Files != 0 || len(w.paths) != 1 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	missing(t, filepath.Join(target, "f"))
	target, _, w = run(t, s, restore.Options{Partial: true})
	none(t, w)
	content(t, filepath.Join(target, "f.partial"), noise(1, 1000))
	missing(t, filepath.Join(target, "f"))
}
