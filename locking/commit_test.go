package locking_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
)

func TestNothingChangedIsOneRequest(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	for i := range 70 {
		commit(t, open(t, store, keys), fmt.Sprint(i))
	}
	known := refresh(t, open(t, store, keys)).State
	c := open(t, store, keys, func(o *locking.Options) { o.Known = known })
	for range 2 {
		store.ResetCounts()
		news := refresh(t, c)
		wantCounts(t, store, map[mem.Op]int{mem.Load: 1})
		if news.State.Generation != 70 || len(news.Records) != 0 {
			t.Errorf("got generation %d and %d records, want 70 and 0", news.State.Generation, len(news.Records))
		}
	}
}

func TestUnchangedBackupIsThreeRequests(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	commit(t, open(t, store, keys), "first")
	known := refresh(t, open(t, store, keys)).State
	c := open(t, store, keys, func(o *locking.Options) { o.Known = known })
	store.ResetCounts()
	refresh(t, c)
	commit(t, c, "second")
	wantCounts(t, store, map[mem.Op]int{mem.Load: 1, mem.Put: 1, mem.Swap: 1})
}

func TestBackupTakesAndGivesUpTheLeaseInTwoSwaps(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	store.ResetCounts()
	refresh(t, c)
	w := begin(t, c, locking.Run{})
	for range 3 {
		if err := w.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(t.Context(), labelled("a"), locking.Release); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, store, map[mem.Op]int{mem.Load: 1, mem.Put: 1, mem.Swap: 2})
	if head := refresh(t, c).Head; len(head.Holders) != 0 || head.Orphans != 0 {
		t.Errorf("got %d holders and %d orphans, want none", len(head.Holders), head.Orphans)
	}
}

// crashScript is what the crash tests interrupt: a backup with a checkpoint,
// and an unchanged one. It returns what became of each commit.
func crashScript(ctx context.Context, c *locking.Chain) map[string]error {
	results := make(map[string]error)
	if _, err := c.Refresh(ctx); err != nil {
		return results
	}
	w, _, err := c.Begin(ctx, locking.Run{})
	if err != nil {
		return results
	}
	defer w.Release(ctx)
	if w.Ensure(ctx) != nil {
		return results
	}
	if results["checkpoint"] = w.Commit(ctx, labelled("checkpoint"), locking.Keep); results["checkpoint"] != nil {
		return results
	}
	if results["archive"] = w.Commit(ctx, labelled("archive"), locking.Release); results["archive"] != nil {
		return results
	}
	u, _, err := c.Begin(ctx, locking.Run{})
	if err != nil {
		return results
	}
	defer u.Release(ctx)
	results["unchanged"] = u.Commit(ctx, labelled("unchanged"), locking.Release)
	return results
}

// TestCrashAtEveryRequest stops a process before or after each of its requests
// for good, and lets another one go on.
func TestCrashAtEveryRequest(t *testing.T) {
	t.Parallel()
	errCrash := errors.New("power is gone")
	for n := 1; n < 100; n++ {
		for _, moment := range []mem.Moment{mem.Before, mem.After} {
			crashed := false
			synctest.Test(t, func(t *testing.T) {
				store, keys := create(t)
				commit(t, open(t, store, keys), "first")
				seen := 0
				ctx, crash := context.WithCancel(t.Context())
				store.Hook = func(_ mem.Op, _ backend.Key, at mem.Moment) error {
					if at == moment {
						seen++
					}
					if seen >= n {
						crashed = true
						crash()
						return errCrash
					}
					return nil
				}
				results := crashScript(ctx, open(t, store, keys))
				crash()
				store.Hook = nil
				checkAfterCrash(t, fmt.Sprintf("crash at request %d, moment %d", n, moment), open(t, store, keys), results)
			})
			if !crashed {
				return // the script has fewer requests
			}
		}
	}
}

// TestOneRequestFails fails each request once, before or after its effect, and
// lets the same process go on.
func TestOneRequestFails(t *testing.T) {
	t.Parallel()
	failures := []struct {
		name   string
		moment mem.Moment
		err    error
	}{
		{"lost request", mem.Before, backend.ErrUnavailable},
		{"lost reply", mem.After, backend.ErrUnavailable},
		{"request perhaps lost", mem.Before, backend.ErrUnknown},
		{"repeated request", mem.After, backend.ErrExist},
		{"conflict with nobody", mem.Before, backend.ErrConflict},
	}
	for _, f := range failures {
		for n := 1; n < 100; n++ {
			failed := false
			synctest.Test(t, func(t *testing.T) {
				store, keys := create(t)
				commit(t, open(t, store, keys), "first")
				seen := 0
				store.Hook = func(_ mem.Op, _ backend.Key, at mem.Moment) error {
					if at == f.moment {
						if seen++; seen == n {
							failed = true
							return f.err
						}
					}
					return nil
				}
				results := crashScript(t.Context(), open(t, store, keys))
				store.Hook = nil
				what := fmt.Sprintf("%s at request %d", f.name, n)
				checkAfterCrash(t, what, open(t, store, keys), results)
				for label, err := range results {
					if errors.Is(err, locking.ErrOutcomeUnknown) {
						t.Errorf("%s: %s: got %v; one failure is not enough for that", what, label, err)
					}
				}
			})
			if !failed {
				break
			}
		}
	}
}

// checkAfterCrash holds the invariants of PROTOCOL.md §10 for a repository
// that a process left with these results.
func checkAfterCrash(t *testing.T, what string, c *locking.Chain, results map[string]error) {
	t.Helper()
	labels := audit(t.Context(), t, c)
	unknown := 0
	for i, label := range labels {
		if slices.Contains(labels[:i], label) {
			t.Errorf("%s: %s was committed twice", what, label)
		}
		if label == "first" {
			continue
		}
		if err, tried := results[label]; !tried || err != nil {
			unknown++
		}
	}
	if unknown > 1 {
		t.Errorf("%s: %d commits took effect that did not answer so, want one at most: %v", what, unknown, results)
	}
	for label, err := range results {
		if err == nil && !slices.Contains(labels, label) {
			t.Errorf("%s: the commit %s is lost: %v", what, label, labels)
		}
	}
	start := time.Now()
	w := begin(t, c, locking.Run{Wait: time.Hour})
	if err := w.Ensure(t.Context()); err != nil {
		t.Fatalf("%s: the next run: %v", what, err)
	}
	if got, most := time.Since(start), 8*time.Minute; got > most {
		t.Errorf("%s: the next run waited %s, want less than %s", what, got, most)
	}
	if err := w.Commit(t.Context(), labelled("next"), locking.Release); err != nil {
		t.Errorf("%s: the next run: %v", what, err)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Errorf("%s: the next run: %v", what, err)
	}
	if after := audit(t.Context(), t, c); strings.Join(after, " ") != strings.Join(append(labels, "next"), " ") {
		t.Errorf("%s: got %v, want what was there before and one more", what, after)
	}
}

func TestMovedHeadIsLinkedAnew(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	refresh(t, c)
	var shown []string
	w := begin(t, c, locking.Run{Moved: func(_ context.Context, news locking.News) error {
		for _, link := range news.Records {
			shown = append(shown, link.Record.User)
		}
		return nil
	}})
	commit(t, open(t, store, keys), "theirs 1")
	commit(t, open(t, store, keys), "theirs 2")
	if err := w.Commit(t.Context(), labelled("ours"), locking.Release); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"theirs 1", "theirs 2", "ours"}
	if got := audit(t.Context(), t, open(t, store, keys)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.Equal(shown, want[:2]) {
		t.Errorf("the run was shown %v, want %v", shown, want[:2])
	}
	var records int
	for _, err := range store.List(t.Context(), "commits/") {
		if err != nil {
			t.Fatal(err)
		}
		records++
	}
	if records != 3 {
		t.Errorf("got %d records in the store, want 3: the lost one is removed", records)
	}
}

func TestMovedStopsTheRun(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	refresh(t, c)
	errStop := errors.New("a chunk is gone")
	w := begin(t, c, locking.Run{Moved: func(context.Context, locking.News) error { return errStop }})
	commit(t, open(t, store, keys), "theirs")
	wantError(t, w.Ensure(t.Context()), errStop)
	wantError(t, w.Ensure(t.Context()), errStop)
	wantError(t, w.Commit(t.Context(), labelled("ours"), locking.Release), errStop)
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if head := refresh(t, c).Head; len(head.Holders) != 0 || head.Orphans != 0 || head.Generation != 1 {
		t.Errorf("got %+v, want no trace of the run", head)
	}
}

// TestUnknownCommitEndsTheRun: the swap took effect, and nobody can be asked.
func TestUnknownCommitEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys := create(t)
		var cut atomic.Bool
		store.Hook = func(op mem.Op, _ backend.Key, at mem.Moment) error {
			if cut.Load() && (op == mem.Swap && at == mem.After || op == mem.Load) {
				return backend.ErrUnavailable
			}
			return nil
		}
		c := open(t, store, keys)
		refresh(t, c)
		w := begin(t, c, locking.Run{})
		if err := w.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		cut.Store(true)
		wantError(t, w.Commit(t.Context(), labelled("a"), locking.Keep), locking.ErrOutcomeUnknown)
		cut.Store(false)
		wantError(t, w.Commit(t.Context(), labelled("a"), locking.Keep), locking.ErrOutcomeUnknown)
		wantError(t, w.Ensure(t.Context()), locking.ErrOutcomeUnknown)
		if err := w.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := open(t, store, keys)
		if got := audit(t.Context(), t, next); len(got) != 1 {
			t.Errorf("got %v, want the commit once", got)
		}
		if head := refresh(t, next).Head; len(head.Holders) != 0 || head.Orphans != 1 {
			t.Errorf("got %d holders and %d orphans, want 0 and 1", len(head.Holders), head.Orphans)
		}
	})
}
