package locking_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

// put stores a record that nobody swaps in, and returns its place.
func put(t testing.TB, store *mem.Store, keys *crypt.Keys, after locking.Mark, c record.Commit) locking.Mark {
	t.Helper()
	c.Generation, c.Prev = after.Generation+1, after.Commit
	id, stored, err := record.Encode(keys, &c, &counter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), backend.Key(record.CommitKey(c.Generation, id)), stored); err != nil {
		t.Fatal(err)
	}
	return locking.Mark{Generation: c.Generation, Commit: id}
}

// counter is a source of bytes that differ from each other.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

func named(name string) record.Archive {
	return record.Archive{Kind: record.Full, Name: name}
}

// without returns a copy of store that lacks a key, or its register.
func without(t testing.TB, store *mem.Store, key backend.Key) *mem.Store {
	t.Helper()
	fresh := new(mem.Store)
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := store.Get(t.Context(), info.Key, backend.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if info.Key != key {
			if err := fresh.Put(t.Context(), info.Key, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if value, _, err := store.Load(t.Context(), ""); key != "head" && err == nil {
		if _, err := fresh.Swap(t.Context(), "", value); err != nil {
			t.Fatal(err)
		}
	}
	return fresh
}

func survey(t testing.TB, store *mem.Store, keys *crypt.Keys) *locking.Survey {
	t.Helper()
	s, err := open(t, store, keys).Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLostHeadIsRebuilt(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	for i := range 70 {
		commit(t, open(t, store, keys), fmt.Sprint(i))
	}
	_, err := open(t, store, keys).Survey(t.Context())
	wantError(t, err, locking.ErrHeadWhole)

	store = without(t, store, "head")
	wantError(t, func() error { _, err := open(t, store, keys).Refresh(t.Context()); return err }(), locking.ErrNoHead)
	s := survey(t, store, keys)
	if s.Tip.Generation != 70 || len(s.Beside) != 0 || len(s.Damaged) != 0 {
		t.Errorf("got tip %s, %d archives and %d damaged beside it, want generation 70 alone", s.Tip, len(s.Beside), len(s.Damaged))
	}
	_, err = s.Rebuild(t.Context(), record.Commit{Made: time.Now(), User: "rebuilt"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	head := refresh(t, open(t, store, keys)).Head
	if head.Generation != 71 || head.SnapshotGeneration != 64 || head.Orphans != 1 || head.GC < 1 {
		t.Errorf("got head %+v, want generation 71 with the snapshot at 64, and that there may be orphans", head)
	}
	_, err = s.Rebuild(t.Context(), record.Commit{Made: time.Now()}, nil)
	wantError(t, err, backend.ErrConflict)
	commit(t, open(t, store, keys), "next")
	_, err = open(t, store, keys).Survey(t.Context())
	wantError(t, err, locking.ErrHeadWhole)
}

// TestRecordsBesideTheLine has records that were never swapped in: at the tip,
// where nobody can tell, and at a generation that others have built on.
func TestRecordsBesideTheLine(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	for i := range 3 {
		commit(t, c, fmt.Sprint(i))
	}
	links := refresh(t, open(t, store, keys)).Records
	pack := func(n byte) record.Pack {
		return record.Pack{ID: objects.ID{n}, Kind: objects.Data, Length: 1000, HeaderLen: 100}
	}
	put(t, store, keys, links[0].At,
		record.Commit{User: "never was", Archives: []record.Archive{named("never")}, Condemned: []objects.ID{{9}}})
	put(t, store, keys, links[1].At, record.Commit{
		User: "perhaps", Packs: []record.Pack{pack(1)}, Condemned: []objects.ID{{2}}, Archives: []record.Archive{named("perhaps")},
	})
	s := survey(t, without(t, store, "head"), keys)
	if s.Tip.Generation != 3 {
		t.Errorf("got tip %s, want generation 3", s.Tip)
	}
	// Of the two at generation 3 one is the line and the other beside it.
	names := map[string]bool{}
	for _, a := range s.Beside {
		names[a.Name] = true
	}
	for a := range s.State.Archives.All() {
		names[a.Name] = true
	}
	if names["never"] || !names["perhaps"] {
		t.Errorf("got %v, want the archive of the record that may have been in effect, and not the other", names)
	}
	dead, alive, live := s.State.Condemned.Has(objects.ID{2}), s.State.Condemned.Has(objects.ID{9}), s.State.Packs.Has(objects.ID{1})
	if !dead || alive || !live {
		t.Errorf("got pack 2 condemned %t, 9 condemned %t, 1 live %t, want true, false, true", dead, alive, live)
	}
}

// TestNoWholeStateIsLeft loses all records but the newest, which carries no
// snapshot: the line begins anew, with what that one says and packs that are there.
func TestNoWholeStateIsLeft(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	for i := range 3 {
		commit(t, c, fmt.Sprint(i))
	}
	before := refresh(t, open(t, store, keys))
	put(t, store, keys, newest(before), record.Commit{
		Archives: []record.Archive{named("newest")}, Condemned: []objects.ID{{2}}, Removed: []objects.ID{{7}},
	})
	store = without(t, store, "head")
	for _, link := range before.Records {
		if err := store.Delete(t.Context(), backend.Key(record.CommitKey(link.At.Generation, link.At.Commit))); err != nil {
			t.Fatal(err)
		}
	}
	s := survey(t, store, keys)
	if s.Tip != (locking.Mark{}) || len(s.Beside) != 1 {
		t.Fatalf("got tip %s and %d archives beside it, want none and one", s.Tip, len(s.Beside))
	}
	pack := func(n byte) record.Pack {
		return record.Pack{ID: objects.ID{n}, Kind: objects.Data, Length: 1000, HeaderLen: 100}
	}
	s.Adopt(pack(1), pack(2), pack(1))
	if _, err := s.Rebuild(t.Context(), record.Commit{Made: time.Now()}, s.Beside); err != nil {
		t.Fatal(err)
	}
	state := refresh(t, open(t, store, keys)).State
	live, dead := state.Packs.Has(objects.ID{1}), state.Condemned.Has(objects.ID{2})
	if state.Packs.Len() != 1 || !live || !dead || state.Archives.Len() != 1 || state.Generation != 1 {
		t.Errorf("got generation %d with %d packs, 1 live %t, 2 condemned %t, and %d archives, want 1, 1, true, true and 1",
			state.Generation, state.Packs.Len(), live, dead, state.Archives.Len())
	}

	// What cannot be read may be worth mending: nothing is begun anew beside it.
	rotten := without(t, store, "head")
	for info, err := range store.List(t.Context(), "commits/") {
		if err == nil {
			err = errors.Join(rotten.Delete(t.Context(), info.Key), rotten.Put(t.Context(), info.Key, []byte("rotten")))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t, rotten, keys).Survey(t.Context()); !objects.IsCorrupt(err) {
		t.Errorf("got %v, want that the records are damaged", err)
	}
}

// TestBrokenChainIsRebuilt loses a record in the middle: what is behind it is
// beside the line.
func TestBrokenChainIsRebuilt(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	for i := range 3 {
		commit(t, c, fmt.Sprint(i))
	}
	w := begin(t, c, locking.Run{})
	made := labelled("archive")
	made.Archives = []record.Archive{named("behind")}
	if err := w.Commit(t.Context(), made, locking.Release); err != nil {
		t.Fatal(err)
	}
	third := refresh(t, open(t, store, keys)).Records[2].At
	store = without(t, store, backend.Key(record.CommitKey(third.Generation, third.Commit)))
	if _, err := open(t, store, keys).Refresh(t.Context()); !errors.Is(err, backend.ErrNotExist) {
		t.Fatalf("got %v, want that a record is missing", err)
	}
	s := survey(t, store, keys)
	if s.Tip.Generation != 2 || len(s.Beside) != 1 || s.Beside[0].Name != "behind" {
		t.Fatalf("got tip %s and %d archives beside it, want generation 2 and one", s.Tip, len(s.Beside))
	}
	at, err := s.Rebuild(t.Context(), record.Commit{Made: time.Now(), User: "rebuilt"}, s.Beside)
	if err != nil {
		t.Fatal(err)
	}
	news := refresh(t, open(t, store, keys))
	if news.Head.Generation != at.Generation || news.State.Archives.Len() != 1 {
		t.Errorf("got generation %d with %d archives, want %s with one", news.Head.Generation, news.State.Archives.Len(), at)
	}
}
