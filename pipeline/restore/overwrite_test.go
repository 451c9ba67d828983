package restore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// listing collects what Options.List is told.
type listing struct {
	mu    sync.Mutex
	lines []string
}

func (l *listing) add(s restore.Status, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(rune(s))+" "+path)
}

func (l *listing) want(t *testing.T, want ...string) {
	t.Helper()
	slices.SortFunc(l.lines, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	if !slices.Equal(l.lines, want) {
		t.Errorf("listed\n%q, want\n%q", l.lines, want)
	}
}

// old is a time that files of a target have; archives of newStore have another.
var old = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// overwritten restores an archive with one file into a target that has it, with
// other content, and returns what is there then.
func overwritten(t *testing.T, how restore.Overwrite, modified, archived time.Time, was string) (content, listed string) {
	t.Helper()
	target := t.TempDir()
	path := filepath.Join(target, "f")
	must(t, os.WriteFile(path, []byte(was), 0o600), os.Chtimes(path, modified, modified))
	s := newStore(t)
	s.add(archive.Entry{Path: "f", Type: archive.File, Mode: 0o640, Size: 3,
		ModTime: archive.TimeOf(archived), Content: archive.InlineContent([]byte("new"))})
	var l listing
	_, _, w := run(t, s, restore.Options{Target: target, Overwrite: how, List: l.add})
	none(t, w)
	p, err := os.ReadFile(path)
	must(t, err)
	st := stat(t, path)
	return fmt.Sprintf("%s %o %v", p, st.Mode&0o777, int64(st.Mtim.Sec) == archived.Unix()), l.lines[0]
}

func TestOverwrite(t *testing.T) {
	t.Parallel()
	later := old.Add(time.Second)
	for _, c := range []struct {
		how                restore.Overwrite
		modified, archived time.Time
		was, want, listed  string
	}{
		{restore.IfChanged, old, old, "old", "old 640 true", "U f"}, // as promised: only attributes
		{restore.IfChanged, old, later, "old", "new 640 true", "M f"},
		{restore.IfChanged, later, old, "old", "new 640 true", "M f"},
		{restore.IfChanged, old, old, "older", "new 640 true", "M f"},
		{restore.Always, old, old, "old", "new 640 true", "M f"},
		{restore.IfNewer, old, old, "old", "old 600 true", "U f"},
		{restore.IfNewer, later, old, "old", "old 600 false", "U f"},
		{restore.IfNewer, old, later, "old", "new 640 true", "M f"},
		{restore.Never, old, later, "old", "old 600 false", "U f"},
	} {
		got, listed := overwritten(t, c.how, c.modified, c.archived, c.was)
		if got != c.want || listed != c.listed {
			t.Errorf("%+v: got %q, %q", c, got, listed)
		}
	}
}

// TestKeptHasNoOtherName: attributes are never given to a file that may be
// someone else's under another name.
func TestKeptHasNoOtherName(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	target, outside := filepath.Join(base, "target"), filepath.Join(base, "outside")
	must(t, os.Mkdir(target, 0o755), os.WriteFile(outside, []byte("secret"), 0o600), os.Chtimes(outside, old, old),
		os.Link(outside, filepath.Join(target, "hard")), os.Symlink(outside, filepath.Join(target, "soft")))
	s := newStore(t)
	for _, name := range []string{"hard", "soft"} {
		s.add(archive.Entry{Path: name, Type: archive.File, Mode: 0o644, Size: 6,
			ModTime: archive.TimeOf(old), Content: archive.InlineContent([]byte("secret"))})
	}
	_, sum, w := run(t, s, restore.Options{Target: target})
	none(t, w)
	if st := stat(t, outside); st.Mode&0o777 != 0o600 || st.Nlink != 1 || sum.Kept != 0 {
		t.Errorf("outside: %+v; %d kept", st, sum.Kept)
	}
}

// TestOtherType: everything can take the place of everything else, except of a
// directory that holds something.
func TestOtherType(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	at := func(name string) string { return filepath.Join(target, name) }
	must(t, os.Mkdir(at("file"), 0o755), os.Mkdir(at("link"), 0o755), os.Mkdir(at("fifo"), 0o755), os.WriteFile(at("dir"), nil, 0o644),
		os.MkdirAll(at("full/mine"), 0o755), os.Symlink("/nowhere", at("dir2")))
	s := newStore(t)
	s.add(archive.Entry{Path: "dir", Type: archive.Dir, Mode: 0o755})
	s.add(archive.Entry{Path: "dir2", Type: archive.Dir, Mode: 0o755})
	s.add(archive.Entry{Path: "fifo", Type: archive.Fifo, Mode: 0o644})
	s.file("file", noise(1, 200<<10))
	s.file("full", noise(2, 100))
	s.add(archive.Entry{Path: "link", Type: archive.Symlink, Target: "x"})
	_, sum, w := run(t, s, restore.Options{Target: target})
	if sum.Failed != 1 || len(w.paths) != 1 || w.paths[0] != "full" {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	for name, want := range map[string]uint32{"dir": unix.S_IFDIR, "dir2": unix.S_IFDIR, "fifo": unix.S_IFIFO,
		"file": unix.S_IFREG, "full": unix.S_IFDIR, "link": unix.S_IFLNK} {
		if st := stat(t, at(name)); uint32(st.Mode)&unix.S_IFMT != want {
			t.Errorf("%s has mode %o", name, st.Mode)
		}
	}
	_, sum, w = run(t, s, restore.Options{Target: target, Delete: func(string) bool { return true }})
	none(t, w)
	if st := stat(t, at("full")); st.Mode&unix.S_IFMT != unix.S_IFREG {
		t.Errorf("full has mode %o", st.Mode)
	}
}

func TestStrip(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	s := newStore(t)
	s.file("a/one", noise(1, 100))
	s.file("a/x/deep/f", noise(2, 100))
	s.file("b/one", noise(3, 100))
	s.file("b/x/g", noise(4, 100))
	s.file("b/y/h", noise(5, 300<<10))
	s.file("c", noise(6, 100))
	_, sum, w := run(t, s, restore.Options{Target: target, Strip: 1, Verify: true})
	if sum.Failed != 2 || len(w.paths) != 2 || w.paths[0] != "b/one" || w.paths[1] != "b/x" {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	content(t, filepath.Join(target, "one"), noise(1, 100))
	content(t, filepath.Join(target, "x/deep/f"), noise(2, 100))
	content(t, filepath.Join(target, "y/h"), noise(5, 300<<10))
	for _, gone := range []string{"x/g", "c", "a", "b"} {
		if _, err := os.Lstat(filepath.Join(target, gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
}

func TestSparse(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	mixed := make([]byte, 400<<10) // zeros, and data that begins and ends inside of blocks
	copy(mixed[100<<10+17:], noise(1, 9000))
	copy(mixed[300<<10-5:], "data")
	s := newStore(t)
	s.file("mixed", mixed)
	s.file("zeros", make([]byte, 300<<10))
	s.file("small", make([]byte, 60<<10))
	s.file("tail", append(noise(2, 5000), make([]byte, 50000)...))
	_, _, w := run(t, s, restore.Options{Target: target, Sparse: true, Verify: true})
	none(t, w)
	content(t, filepath.Join(target, "mixed"), mixed)
	content(t, filepath.Join(target, "tail"), append(noise(2, 5000), make([]byte, 50000)...))
	for name, blocks := range map[string]int64{"mixed": 40, "zeros": 0, "small": 0, "tail": 16} {
		if st := stat(t, filepath.Join(target, name)); st.Blocks > blocks {
			t.Errorf("%s takes %d blocks, want at most %d", name, st.Blocks, blocks)
		}
	}
	if st := stat(t, filepath.Join(target, "zeros")); st.Size != 300<<10 {
		t.Errorf("zeros has %d bytes", st.Size)
	}
}

// TestVerify: what is there with size and time as promised, and another content,
// is found and put right.
func TestVerify(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	s := newStore(t)
	s.file("d/long", noise(1, 700<<10))
	s.file("d/right", noise(2, 300<<10))
	s.file("d/small", noise(3, 50))
	s.file("e", noise(4, 100<<10))
	_, sum, w := run(t, s, restore.Options{Target: target, Verify: true})
	none(t, w)
	if sum.Mismatched != 0 {
		t.Errorf("got %+v", sum)
	}
	for _, name := range []string{"d/long", "d/small"} {
		path := filepath.Join(target, name)
		st := stat(t, path)
		p, err := os.ReadFile(path)
		must(t, err)
		p[len(p)-1]++
		mtime := time.Unix(st.Mtim.Unix())
		must(t, os.WriteFile(path, p, 0o644), os.Chtimes(path, mtime, mtime))
	}
	_, sum, w = run(t, s, restore.Options{Target: target})
	none(t, w)
	if sum.Kept != 4 {
		t.Errorf("without Verify: got %+v", sum)
	}
	_, sum, w = run(t, s, restore.Options{Target: target, Verify: true})
	none(t, w)
	content(t, filepath.Join(target, "d/long"), noise(1, 700<<10))
	content(t, filepath.Join(target, "d/small"), noise(3, 50))
	if sum.Mismatched != 0 || sum.Failed != 0 || sum.Files != 4 {
		t.Errorf("got %+v", sum)
	}
}

// TestVerifyRepairs spoils a file when it has been written.
func TestVerifyRepairs(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	s := newStore(t)
	s.file("a", noise(1, 100<<10))
	s.file("b", noise(2, 100<<10))
	spoil := func(_ restore.Status, path string) {
		if path == "b" {
			must(t, os.Truncate(filepath.Join(target, path), 10))
		}
	}
	_, sum, w := run(t, s, restore.Options{Target: target, Verify: true, List: spoil})
	none(t, w)
	content(t, filepath.Join(target, "b"), noise(2, 100<<10)) // put right at the second attempt
	if sum.Mismatched != 0 {
		t.Errorf("got %+v", sum)
	}

	// What cannot be put right is told.
	spoil = func(_ restore.Status, path string) {
		if path == "b" {
			must(t, os.Remove(filepath.Join(target, path)), os.MkdirAll(filepath.Join(target, path, "x"), 0o755))
		}
	}
	_, sum, _ = run(t, s, restore.Options{Target: target, Verify: true, List: spoil})
	if sum.Mismatched != 1 {
		t.Errorf("got %+v", sum)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	at := func(name string) string { return filepath.Join(target, name) }
	must(t, os.MkdirAll(at("d/extra/deep"), 0o755), os.WriteFile(at("d/same"), []byte("12345"), 0o600), os.Chtimes(at("d/same"), old, old),
		os.WriteFile(at("d/other"), []byte("x"), 0o600), os.WriteFile(at("d/extra/f"), nil, 0o600))
	s := newStore(t)
	s.add(archive.Entry{Path: "d", Type: archive.Dir, Mode: 0o711})
	s.file("d/new", noise(1, 100))
	s.file("d/other", noise(2, 100<<10))
	s.add(archive.Entry{Path: "d/same", Type: archive.File, Mode: 0o644, Size: 5, ModTime: archive.TimeOf(old), Content: archive.InlineContent([]byte("12345"))})
	s.file("d/sub/deep/f", noise(3, 100))
	var l listing
	s.onRead = func(objects.ID, int) error { t.Error("a dry run reads packs"); return nil }
	_, sum, w := run(t, s, restore.Options{Target: target, DryRun: true, Delete: func(string) bool { return true }, List: l.add})
	none(t, w)
	l.want(t, "U d", "D d/extra", "D d/extra/deep", "D d/extra/f", "A d/new", "M d/other", "U d/same", "A d/sub", "A d/sub/deep", "A d/sub/deep/f")
	if sum.Files != 4 || sum.Kept != 1 || sum.Deleted != 3 || sum.Dirs != 3 {
		t.Errorf("got %+v", sum)
	}
	if names, err := os.ReadDir(at("d")); len(names) != 3 || err != nil {
		t.Errorf("something was done: %v, %v", names, err)
	}
	if st := stat(t, at("d")); st.Mode&0o777 != 0o755 {
		t.Errorf("d has mode %o", st.Mode)
	}
	missing := filepath.Join(target, "missing")
	sum, err := restore.Run(t.Context(), s.source(), s.finish(), restore.Options{Target: missing, DryRun: true})
	must(t, err)
	if _, err := os.Lstat(missing); sum.Files != 4 || sum.Dirs != 3 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %+v, %v", sum, err)
	}
}
