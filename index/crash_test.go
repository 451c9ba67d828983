package index

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"cairn/objects"
)

// A commit that is cut off between any two of its steps leaves the old cache
// or the new one, and files that the next Open removes.
func TestCrashDuringCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	oldState, oldPlaces := built(t, dir, 300)
	before := copyOf(t, dir)

	x := mustOpen(t, dir, limits{recent: 50, committed: 1, pending: 2})
	m := newMaker(41)
	added := make(map[objects.ID]Place)
	for range 6 {
		p, h := m.pack(m.ids(40))
		mustAdd(t, x, p, h)
		maps.Copy(added, places(p, h))
	}
	pending := copyOf(t, dir) // spilled runs, and the old manifest
	newState := State{Generation: oldState.Generation + 1}
	mustCommit(t, x, newState)
	mustClose(t, x)

	for name, c := range map[string]struct {
		manifest string   // of which directory
		runs     []string // of which directories
		want     State
	}{
		"before the merged run":   {pending, []string{before, pending}, oldState},
		"before the new manifest": {before, []string{before, pending, dir}, oldState},
		"before the old runs go":  {dir, []string{before, pending, dir}, newState},
		"after all":               {dir, []string{dir}, newState},
		"old run not yet there":   {before, []string{dir}, State{}},
		"merged run never there":  {dir, []string{before, pending}, State{}},
	} {
		crashed := t.TempDir()
		for _, from := range c.runs {
			addFiles(t, crashed, from, runPrefix+"*")
		}
		addFiles(t, crashed, c.manifest, manifestFile)
		y := mustOpen(t, crashed, small)
		if y.State() != c.want {
			t.Errorf("%s: got %v, want %v", name, y.State(), c.want)
			continue
		}
		if got, want := len(names(t, crashed)), len(y.runs)+1; c.want != (State{}) && got != want {
			t.Errorf("%s: got %d files, want %d", name, got, want)
		}
		switch c.want {
		case newState:
			wantPlaces(t, y, oldPlaces)
			wantPlaces(t, y, added)
		case oldState:
			wantPlaces(t, y, oldPlaces)
			wantNone(t, y, added)
		default:
			wantNone(t, y, oldPlaces)
			wantNone(t, y, added)
		}
	}
}

// addFiles copies what matches from one directory to the other.
func addFiles(t *testing.T, to, from, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("files %s: got %v, %v", pattern, files, err)
	}
	for _, f := range files {
		p, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(f)), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that takes no more runs: Commit says so, everything can be found all
// the same, however much it is, and when the disk is well again nothing is
// missing.
func TestDiskRefuses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "index")
	oldState, oldPlaces := built(t, dir, 100)
	x := mustOpen(t, dir, small)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no file can be made in a file
		t.Fatal(err)
	}
	m := newMaker(42)
	p, h := m.pack(m.ids(100))
	mustAdd(t, x, p, h)
	for range 20 {
		more, g := m.pack(m.ids(100))
		mustAdd(t, x, more, g)
		wantPlaces(t, x, places(more, g))
	}
	if err := x.Commit(State{Generation: 6}); err == nil || x.State() != oldState {
		t.Errorf("commit: got %v, %v, want an error and the old state", err, x.State())
	}
	wantPlaces(t, x, places(p, h))
	wantPlaces(t, x, oldPlaces)

	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	q, g := m.pack(m.ids(1))
	mustAdd(t, x, q, g)
	mustCommit(t, x, State{Generation: 6})
	mustClose(t, x)
	x = mustOpen(t, dir, small)
	wantPlaces(t, x, places(p, h))
	wantPlaces(t, x, places(q, g))
	wantPlaces(t, x, oldPlaces)
}
