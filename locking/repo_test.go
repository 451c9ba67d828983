package locking_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

// testKeys returns the keys of a new repository.
func testKeys(t testing.TB) *crypt.Keys {
	t.Helper()
	master, err := crypt.NewMaster(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypt.Derive(master, objects.RepositoryID{1}, crypt.AES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// open returns a chain on store, as a new process would.
func open(t testing.TB, store *mem.Store, keys *crypt.Keys, change ...func(*locking.Options)) *locking.Chain {
	t.Helper()
	o := locking.Options{Register: store, Records: store, Keys: keys}
	for _, f := range change {
		f(&o)
	}
	c, err := locking.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create returns a new repository's store, and its keys.
func create(t testing.TB) (*mem.Store, *crypt.Keys) {
	t.Helper()
	store, keys := new(mem.Store), testKeys(t)
	if err := open(t, store, keys).Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store, keys
}

func begin(t testing.TB, c *locking.Chain, run locking.Run) *locking.Writer {
	t.Helper()
	w, _, err := c.Begin(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// labelled returns a commit that can be recognised.
func labelled(label string) *record.Commit {
	return &record.Commit{User: label, Settings: []record.Setting{{Name: "last", Value: []byte(label)}}}
}

// commit makes one commit, in a run of its own.
func commit(t testing.TB, c *locking.Chain, label string) {
	t.Helper()
	w := begin(t, c, locking.Run{})
	if err := w.Commit(t.Context(), labelled(label), locking.Release); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func refresh(t testing.TB, c *locking.Chain) locking.News {
	t.Helper()
	news, err := c.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return news
}

// audit reads the whole chain as a stranger does and returns the labels of its
// records, oldest first. It fails t if a record is not there or not in place.
func audit(ctx context.Context, t testing.TB, c *locking.Chain) []string {
	t.Helper()
	news, err := c.Refresh(ctx)
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	labels := make([]string, news.Head.Generation)
	at := locking.Mark{Generation: news.Head.Generation, Commit: news.Head.Commit}
	for at.Generation > 0 {
		r, err := c.Record(ctx, at)
		if err != nil {
			t.Fatalf("audit: %v", err)
		}
		if (r.Snapshot != nil) != (at.Generation%record.SnapshotEvery == 0) {
			t.Errorf("audit: %s: got snapshot %t", at, r.Snapshot != nil)
		}
		labels[at.Generation-1] = r.User
		at = locking.Mark{Generation: at.Generation - 1, Commit: r.Prev}
	}
	if !at.Commit.IsZero() {
		t.Errorf("audit: the first record follows %s", at)
	}
	if n := len(labels); n > 0 && string(news.State.Settings["last"]) != labels[n-1] {
		t.Errorf("audit: got state of %q, want %q", news.State.Settings["last"], labels[n-1])
	}
	return labels
}

// wantCounts fails t unless the store has seen exactly these requests.
func wantCounts(t testing.TB, store *mem.Store, want map[mem.Op]int) {
	t.Helper()
	for _, op := range []mem.Op{mem.Put, mem.Get, mem.Stat, mem.List, mem.Delete, mem.Load, mem.Swap} {
		if got := store.Count(op); got != want[op] {
			t.Errorf("got %d %s, want %d", got, op, want[op])
		}
	}
}

func wantError(t testing.TB, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got %q, want it to say %q", err, word)
		}
	}
}
