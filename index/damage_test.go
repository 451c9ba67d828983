package index

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cairn/objects"
)

// built makes a cache of one run in dir, and returns where its chunks are.
func built(t testing.TB, dir string, chunks int) (state State, want map[objects.ID]Place) {
	t.Helper()
	m := newMaker(11)
	x, err := open(dir, repository, defaults())
	if err != nil {
		t.Fatal(err)
	}
	p, h := m.pack(m.ids(chunks))
	mustAdd(t, x, p, h)
	state = State{Generation: 5, Commit: m.id()}
	mustCommit(t, x, state)
	mustClose(t, x)
	return state, places(p, h)
}

// runFile returns the only run of a cache.
func runFile(t testing.TB, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, runPrefix+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got runs %v, %v, want one", files, err)
	}
	return files[0]
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[at] ^= 0x10
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A flipped byte in any page: the cache is emptied at Open, or every lookup
// gives the right answer or ErrDamaged, and at least one gives the latter.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	r := newMaker(12)
	dir := t.TempDir()
	_, want := built(t, dir, 2000)
	path := runFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range len(whole) / pageSize {
		for _, off := range []int{0, r.IntN(pageSize), pageSize - 1} {
			at := page*pageSize + off
			dir := copyOf(t, dir)
			flip(t, runFile(t, dir), int64(at))
			x := mustOpen(t, dir, small)
			if page == 0 {
				wantFound(t, x, dir, Damaged)
				continue
			}
			if n := damagedLookups(t, x, want); n == 0 || !x.damaged() {
				t.Errorf("flipped byte %d of page %d was not found", off, page)
			}
			wantUnknown(t, x, r)
			mustClose(t, x)
			if got := names(t, dir); len(got) != 0 {
				t.Fatalf("after Close: got %v, want nothing", got)
			}
		}
	}
}

// Every page is found even where a neighbour's good page takes its place.
func TestSwappedPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, want := built(t, dir, 2000)
	path := runFile(t, dir)
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 1; page+1 < len(p)/pageSize; page++ {
		dir := copyOf(t, dir)
		swapped := slices.Concat(p[:page*pageSize], p[(page+1)*pageSize:(page+2)*pageSize],
			p[page*pageSize:(page+1)*pageSize], p[(page+2)*pageSize:])
		if err := os.WriteFile(runFile(t, dir), swapped, 0o600); err != nil {
			t.Fatal(err)
		}
		x := mustOpen(t, dir, small)
		if damagedLookups(t, x, want) == 0 {
			t.Errorf("swapped pages %d and %d were not found", page, page+1)
		}
	}
}

// damagedLookups looks up all chunks and returns how many lookups were
// ErrDamaged; the others must be right.
func damagedLookups(t testing.TB, x *Index, want map[objects.ID]Place) (n int) {
	t.Helper()
	for id, p := range want {
		got, ok, err := x.Lookup(id)
		if errors.Is(err, ErrDamaged) && !ok {
			n++
		} else if !ok || err != nil || got != p {
			t.Fatalf("lookup: got %+v, %v, %v, want %+v", got, ok, err, p)
		}
		has, err := x.Has(id)
		if !has && !errors.Is(err, ErrDamaged) {
			t.Fatalf("has: got %v, %v, want true or ErrDamaged", has, err)
		}
	}
	return n
}

// wantUnknown asks for chunks that nobody has.
func wantUnknown(t testing.TB, x *Index, r maker) {
	t.Helper()
	for range 50 {
		id := r.id()
		if has, err := x.Has(id); has || err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("has: got %v, %v, want false or ErrDamaged", has, err)
		}
		if !x.Claim(id) {
			t.Fatal("an unknown chunk counts as known")
		}
	}
}

func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// wantFound checks that a cache was emptied at Open, for the reason found.
func wantFound(t testing.TB, x *Index, dir string, found Found) {
	t.Helper()
	if x.Found() != found || x.State() != (State{}) {
		t.Errorf("got %v, %v, want %v and no state", x.Found(), x.State(), found)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("got files %v, want none", got)
	}
}

// A cache that cannot be used is emptied, and can be built again.
func TestOpenEmptiesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	built(t, whole, 500)
	other := t.TempDir()
	y, err := Open(other, objects.RepositoryID{9})
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, y, State{Generation: 1})
	mustClose(t, y)

	truncate := func(name func(dir string) string, by int64) func(dir string) error {
		return func(dir string) error {
			info, err := os.Stat(name(dir))
			if err != nil {
				return err
			}
			return os.Truncate(name(dir), info.Size()+by)
		}
	}
	run := func(dir string) string { return runFile(t, dir) }
	man := func(dir string) string { return filepath.Join(dir, manifestFile) }
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  Found
	}{
		"run one byte short":       {truncate(run, -1), Damaged},
		"run one page short":       {truncate(run, -pageSize), Damaged},
		"run one page longer":      {truncate(run, pageSize), Damaged},
		"run empty":                {func(dir string) error { return os.Truncate(run(dir), 0) }, Damaged},
		"run deleted":              {func(dir string) error { return os.Remove(run(dir)) }, Damaged},
		"run is a directory":       {func(dir string) error { return replaceByDir(run(dir)) }, Damaged},
		"manifest short":           {truncate(man, -1), Damaged},
		"manifest longer":          {truncate(man, 1), Damaged},
		"manifest huge":            {truncate(man, manifestLimit), Damaged},
		"manifest empty":           {func(dir string) error { return os.Truncate(man(dir), 0) }, Damaged},
		"manifest deleted":         {func(dir string) error { return os.Remove(man(dir)) }, Missing},
		"manifest is a directory":  {func(dir string) error { return replaceByDir(man(dir)) }, Damaged},
		"manifest of another":      {func(dir string) error { return os.Rename(man(other), man(dir)) }, Foreign},
		"manifest of a newer":      {func(dir string) error { return patch(man(dir), 8, manifestVersion+1) }, Newer},
		"manifest of version zero": {func(dir string) error { return patch(man(dir), 8, 0) }, Damaged},
		"run of a newer":           {func(dir string) error { return patch(run(dir), 8, runVersion+1) }, Damaged},
	} {
		dir := copyOf(t, whole)
		if err := c.spoil(dir); err != nil {
			t.Fatal(name, err)
		}
		x := mustOpen(t, dir, small)
		if name == "run is a directory" {
			if err := os.Remove(runFile(t, dir)); err != nil { // a directory is not swept
				t.Fatal(err)
			}
		}
		wantFound(t, x, dir, c.want)
		m := newMaker(1)
		p, h := m.pack(m.ids(10))
		mustAdd(t, x, p, h)
		mustCommit(t, x, State{Generation: 1})
		mustClose(t, x)
		x = mustOpen(t, dir, small)
		wantPlaces(t, x, places(p, h))
	}
}

func replaceByDir(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o700)
}

func patch(path string, at int64, b byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b}, at)
	return errors.Join(err, f.Close())
}

// Every byte of the manifest counts.
func TestFlippedManifest(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	built(t, whole, 10)
	info, err := os.Stat(filepath.Join(whole, manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	for at := range info.Size() {
		dir := copyOf(t, whole)
		flip(t, filepath.Join(dir, manifestFile), at)
		x := mustOpen(t, dir, small)
		if x.Found() == Intact {
			t.Errorf("flipped byte %d of the manifest was not found", at)
		}
		mustClose(t, x)
	}
}

// A file cut short while it is mapped is a fault in memory.
func TestTruncatedWhileMapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, want := built(t, dir, 2000)
	for _, warm := range []bool{false, true} {
		dir := copyOf(t, dir)
		x := mustOpen(t, dir, small)
		if warm {
			wantPlaces(t, x, want)
		}
		if err := os.Truncate(runFile(t, dir), pageSize); err != nil {
			t.Fatal(err)
		}
		if n := damagedLookups(t, x, want); n != len(want) {
			t.Errorf("got %d damaged lookups of %d", n, len(want))
		}
		for id := range want {
			if !x.Claim(id) {
				t.Fatal("a chunk of a page that cannot be read counts as known")
			}
			break
		}
		for _, err := range x.Packs() {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("packs: got %v, want ErrDamaged", err)
			}
		}
	}
}

// A rotten page that only a merge meets: the merge does not spread it, Commit
// says so, and the cache is gone. What was added can still be found.
func TestCommitOfDamaged(t *testing.T) {
	t.Parallel()
	for _, spoil := range []func(path string) error{
		func(path string) error { return patch(path, 5*pageSize+100, 1) },
		func(path string) error { return os.Truncate(path, pageSize) },
	} {
		dir := t.TempDir()
		built(t, dir, 2000)
		path := runFile(t, dir)
		x := mustOpen(t, dir, limits{recent: 100, committed: 1, pending: 1})
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		m := newMaker(13)
		p, h := m.pack(m.ids(250))
		mustAdd(t, x, p, h)
		q, g := m.pack(m.ids(20))
		mustAdd(t, x, q, g)
		for range 2 {
			if err := x.Commit(State{Generation: 6}); !errors.Is(err, ErrDamaged) {
				t.Fatalf("commit: got %v, want ErrDamaged", err)
			}
			if _, err := os.Stat(filepath.Join(dir, manifestFile)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("manifest: got %v, want none", err)
			}
		}
		wantPlaces(t, x, places(p, h))
		wantPlaces(t, x, places(q, g))
		if x.State().Generation != 5 {
			t.Errorf("state: got %v, want that of before", x.State())
		}
		if err := x.Reset(); err != nil {
			t.Fatal(err)
		}
		mustAdd(t, x, p, h)
		mustCommit(t, x, State{Generation: 6})
		mustClose(t, x)
		x = mustOpen(t, dir, small)
		wantPlaces(t, x, places(p, h))
	}
}

// A rotten pending run does not stop Add.
func TestSpillBesideDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaker(14)
	x := mustOpen(t, dir, limits{recent: 100, committed: 1, pending: 1})
	p, h := m.pack(m.ids(200))
	mustAdd(t, x, p, h)
	if err := patch(runFile(t, dir), 2*pageSize+100, 1); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		q, g := m.pack(m.ids(200))
		mustAdd(t, x, q, g)
		wantPlaces(t, x, places(q, g))
	}
	mustClose(t, x)
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("after Close: got %v, want nothing", got)
	}
}

// What a crash leaves is removed; what is not the cache's stays.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, want := built(t, dir, 100)
	for _, name := range []string{runPrefix + "0000000000000001", runPrefix + "unnamed-1", manifestFile + "-new", "photo.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := mustOpen(t, dir, small)
	wantPlaces(t, x, want)
	got := names(t, dir)
	if len(got) != 3 || !slices.Contains(got, "photo.jpg") {
		t.Errorf("got files %v, want manifest, run and photo", got)
	}
}

// Somebody empties ~/.cache during a backup.
func TestDirectoryRemovedWhileOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "index")
	_, want := built(t, dir, 100)
	x := mustOpen(t, dir, small)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	wantPlaces(t, x, want)
	m := newMaker(15)
	p, h := m.pack(m.ids(100))
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{Generation: 9})
	wantPlaces(t, x, places(p, h))
	mustClose(t, x)
	// The manifest names a run that went with the directory.
	y := mustOpen(t, dir, small)
	wantFound(t, y, dir, Damaged)
}

// Without a directory the index works for this process.
func TestDirectoryIsAFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "index")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x := mustOpen(t, dir, small)
	m := newMaker(16)
	p, h := m.pack(m.ids(200))
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{Generation: 1})
	wantPlaces(t, x, places(p, h))
	if x.Saves() {
		t.Error("says that it saves")
	}
}
