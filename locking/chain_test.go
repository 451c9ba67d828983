package locking_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects"
)

// history returns a store with n commits, labelled 1 to n.
func history(t *testing.T, n int) (*mem.Store, locking.Options) {
	t.Helper()
	store, keys := create(t)
	c := open(t, store, keys)
	for i := range n {
		commit(t, c, fmt.Sprint(i+1))
	}
	return store, locking.Options{Register: store, Records: store, Keys: keys}
}

func chain(t *testing.T, o locking.Options) *locking.Chain {
	t.Helper()
	c, err := locking.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newest(n locking.News) locking.Mark {
	return locking.Mark{Generation: n.Head.Generation, Commit: n.Head.Commit}
}

func keyOf(t *testing.T, store *mem.Store, generation int) backend.Key {
	t.Helper()
	for info, err := range store.List(t.Context(), backend.Prefix(fmt.Sprintf("commits/%012d-", generation))) {
		if err != nil {
			t.Fatal(err)
		}
		return info.Key
	}
	t.Fatalf("there is no record of generation %d", generation)
	return ""
}

func TestColdRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		commits int
		want    map[mem.Op]int
		since   uint64
		records int
	}{
		{0, map[mem.Op]int{mem.Load: 1}, 0, 0},
		{3, map[mem.Op]int{mem.Load: 1, mem.Get: 3}, 0, 3},
		{63, map[mem.Op]int{mem.Load: 1, mem.List: 1, mem.Get: 63}, 0, 63},
		{64, map[mem.Op]int{mem.Load: 1, mem.Get: 1}, 64, 0},
		{66, map[mem.Op]int{mem.Load: 1, mem.Get: 3}, 64, 2},
		{102, map[mem.Op]int{mem.Load: 1, mem.List: 2, mem.Get: 39}, 64, 38},
	} {
		store, o := history(t, c.commits)
		store.ResetCounts()
		news := refresh(t, chain(t, o))
		wantCounts(t, store, c.want)
		if news.Since.Generation != c.since || len(news.Records) != c.records || news.State.Generation != uint64(c.commits) {
			t.Errorf("%d commits: got %d records from %s to %d, want %d from %d", c.commits,
				len(news.Records), news.Since, news.State.Generation, c.records, c.since)
		}
		audit(t.Context(), t, chain(t, o))
	}
}

func TestKnownStateIsContinued(t *testing.T) {
	t.Parallel()
	store, o := history(t, 60)
	o.Known = refresh(t, chain(t, o)).State
	for i := range 10 {
		commit(t, chain(t, o), fmt.Sprint("more ", i))
	}
	store.ResetCounts()
	news := refresh(t, chain(t, o))
	wantCounts(t, store, map[mem.Op]int{mem.Load: 1, mem.List: 1, mem.Get: 10})
	if news.Since.Generation != 60 || len(news.Records) != 10 {
		t.Errorf("got %d records from %s, want 10 from 60, past the snapshot", len(news.Records), news.Since)
	}
	if o.Known.Generation != 60 {
		t.Errorf("what the cache holds was changed to %d", o.Known.Generation)
	}
}

// TestKnownStateOffTheChain gives caches of another history, older, newer and
// as old as the repository.
func TestKnownStateOffTheChain(t *testing.T) {
	t.Parallel()
	_, o := history(t, 70)
	for _, n := range []int{1, 66, 70, 80} {
		_, other := history(t, n)
		o := o
		o.Known = refresh(t, chain(t, other)).State
		news := refresh(t, chain(t, o))
		if news.State.Generation != 70 || news.Since.Generation != 64 || string(news.State.Settings["last"]) != "70" {
			t.Errorf("cache of generation %d: got generation %d since %s", n, news.State.Generation, news.Since)
		}
	}
}

func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	store, o := history(t, 5)
	key := keyOf(t, store, 3)
	good, err := store.Get(t.Context(), key, backend.Range{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := bytes.Clone(good), bytes.Clone(good)
	first[30] ^= 1
	second[len(good)/2+30] ^= 1
	both := bytes.Clone(first)
	both[len(good)/2+30] ^= 1

	replace := func(stored []byte) {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if stored == nil {
			return
		}
		if err := store.Put(t.Context(), key, stored); err != nil {
			t.Fatal(err)
		}
	}
	for name, half := range map[string][]byte{"first": first, "second": second} {
		replace(half)
		var warned error
		o := o
		o.Warn = func(err error) { warned = err }
		refresh(t, chain(t, o))
		if !objects.IsCorrupt(warned) {
			t.Errorf("%s half damaged: got the warning %v, want damage", name, warned)
		}
	}
	replace(both)
	_, err = chain(t, o).Refresh(t.Context())
	if !objects.IsCorrupt(err) {
		t.Errorf("both halves damaged: got %v, want damage", err)
	}
	wantError(t, err, err, string(key))
	replace(nil)
	_, err = chain(t, o).Refresh(t.Context())
	wantError(t, err, backend.ErrNotExist, string(key))
}

func TestHeadIsMissing(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	c := open(t, new(mem.Store), keys)
	_, err := c.Refresh(t.Context())
	wantError(t, err, locking.ErrNoHead)
	w := begin(t, c, locking.Run{})
	wantError(t, w.Ensure(t.Context()), locking.ErrNoHead)
	if err := w.Release(t.Context()); err == nil {
		t.Error("released a lease where there is no head")
	}
}

// oldHead returns what puts store's head back to where it is now.
func oldHead(t *testing.T, store *mem.Store) (restore func()) {
	t.Helper()
	old, _, err := store.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_, tag, err := store.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Swap(t.Context(), tag, old); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	store, o := history(t, 3)
	o.Witness = locking.NewWitness(filepath.Join(t.TempDir(), "state", "repo"))
	restore := oldHead(t, store)
	long := chain(t, o)
	commit(t, long, "4")
	restore()

	for name, c := range map[string]*locking.Chain{"a new process": chain(t, o), "the same process": long} {
		_, err := c.Refresh(t.Context())
		wantError(t, err, locking.ErrRolledBack, "--accept-rollback")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	w := begin(t, chain(t, o), locking.Run{})
	wantError(t, w.Commit(t.Context(), labelled("no"), locking.Release), locking.ErrRolledBack)
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Another history grows from there.
	stranger := o
	stranger.Witness = nil
	commit(t, chain(t, stranger), "4 of another history")
	for range 2 {
		_, err := chain(t, o).Refresh(t.Context())
		wantError(t, err, locking.ErrForked, "--accept-rollback")
		commit(t, chain(t, stranger), "still another")
	}
	accepting := o
	accepting.Rollback = locking.AcceptRollback
	refresh(t, chain(t, accepting))
	refresh(t, chain(t, o)) // it is remembered
}

// TestRollbackToTheBeginning: a copy from before the first commit is accepted
// once, too, and what is committed to it then is remembered.
func TestRollbackToTheBeginning(t *testing.T) {
	t.Parallel()
	store, o := history(t, 0)
	o.Witness = locking.NewWitness(t.TempDir())
	restore := oldHead(t, store)
	commit(t, chain(t, o), "1")
	restore()
	_, err := chain(t, o).Refresh(t.Context())
	wantError(t, err, locking.ErrRolledBack)

	accepting := o
	accepting.Rollback = locking.AcceptRollback
	refresh(t, chain(t, accepting))
	refresh(t, chain(t, o))
	commit(t, chain(t, o), "1 of another history")
	refresh(t, chain(t, o))
}

func TestRollbackWithinOneProcess(t *testing.T) {
	t.Parallel()
	store, o := history(t, 3)
	c := chain(t, o)
	restore := oldHead(t, store)
	commit(t, c, "4")
	restore()
	_, err := c.Refresh(t.Context())
	wantError(t, err, locking.ErrRolledBack)
}

// TestForkBehindSnapshot: what was witnessed lies behind the newest snapshot.
func TestForkBehindSnapshot(t *testing.T) {
	t.Parallel()
	store, o := history(t, 50)
	restore := oldHead(t, store)
	stranger := o
	o.Witness = locking.NewWitness(t.TempDir())
	commit(t, chain(t, o), "51")
	restore()
	for i := range 20 {
		commit(t, chain(t, stranger), fmt.Sprint(51+i, " of another history"))
	}
	_, err := chain(t, o).Refresh(t.Context())
	wantError(t, err, locking.ErrForked)

	// Where the records are gone nothing can be proved, and nothing is claimed.
	if err := store.Delete(t.Context(), keyOf(t, store, 60)); err != nil {
		t.Fatal(err)
	}
	if news := refresh(t, chain(t, o)); news.State.Generation != 70 {
		t.Errorf("got generation %d, want 70", news.State.Generation)
	}
}

func TestWitnessFollowsCommits(t *testing.T) {
	t.Parallel()
	_, o := history(t, 2)
	o.Witness = locking.NewWitness(t.TempDir())
	c := chain(t, o)
	refresh(t, c)
	commit(t, c, "3")
	mark, err := o.Witness.Mark()
	if want := newest(refresh(t, c)); err != nil || mark != want {
		t.Errorf("got %s (%v), want %s", mark, err, want)
	}
}

// TestWitnessCannotBeWritten: a reader goes on where nothing can be remembered.
func TestWitnessCannotBeWritten(t *testing.T) {
	t.Parallel()
	_, o := history(t, 2)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "witness.lock"), 0o700); err != nil { // stops root, too
		t.Fatal(err)
	}
	o.Witness = locking.NewWitness(dir)
	var warned error
	o.Warn = func(err error) { warned = err }
	if news := refresh(t, chain(t, o)); news.State.Generation != 2 || warned == nil {
		t.Errorf("got generation %d and the warning %v, want 2 and one", news.State.Generation, warned)
	}
}

// TestForkLongAgo: the newest snapshot names those before it, so that what was
// witnessed long ago can be looked for without all records in between.
func TestForkLongAgo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		witness int  // generation that was seen, of another history
		same    bool // as it is now
		gone    [2]uint64
		want    error
	}{
		{"records in between are gone", 61, false, [2]uint64{70, 190}, locking.ErrForked},
		{"a snapshot, and all before it is gone", 64, false, [2]uint64{1, 190}, locking.ErrForked},
		{"the same history", 61, true, [2]uint64{70, 190}, nil},
		{"the same snapshot", 64, true, [2]uint64{1, 190}, nil},
	} {
		store, o := history(t, 60)
		restore := oldHead(t, store)
		stranger := o
		o.Witness = locking.NewWitness(t.TempDir())
		for i := range c.witness - 60 {
			commit(t, chain(t, o), fmt.Sprint("61 and on ", i))
		}
		if !c.same {
			restore()
		}
		long := chain(t, stranger)
		for range 200 - 60 {
			commit(t, long, "of another history")
		}
		for g := c.gone[0]; g <= c.gone[1]; g++ {
			if err := store.Delete(t.Context(), keyOf(t, store, int(g))); err != nil {
				t.Fatal(err)
			}
		}
		store.ResetCounts()
		_, err := chain(t, o).Refresh(t.Context())
		if c.want != nil || err != nil {
			wantError(t, err, c.want)
		}
		if got, most := store.Count(mem.Get), 9+64; got > most {
			t.Errorf("%s: got %d records read, want at most %d", c.name, got, most)
		}
	}
}
