package backup_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects/record"
	"cairn/pipeline/backup"
)

var errStore = errors.New("the store is unwell")

// settled returns a bench with an archive, and changes since.
func settled(t testing.TB) *bench {
	b := newQuickBench(t)
	b.write("a", noise(1, 300_000))
	b.write("d/b", noise(2, 2<<20))
	b.write("d/c", nil)
	b.backup()
	b.write("d/b", noise(3, 2<<20))
	b.write("e", noise(4, 900_000))
	b.write("f", text(5, 5000))
	return b
}

// Every request of a backup fails once, or from then on, before or after it
// took effect. Whatever the run says, what the repository lists is whole, and
// the next run makes a whole archive and stores nothing twice.
func TestFaults(t *testing.T) {
	t.Parallel()
	b := settled(t)
	b.store.ResetCounts()
	b.backup()
	every := 1
	if testing.Short() {
		every = 8
	}
	for name, hook := range b.store.Faults(errStore, every, mem.Put, mem.Swap, mem.Load, mem.Get, mem.List) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testFault(t, hook) })
		})
	}
}

func testFault(t *testing.T, hook mem.Hook) {
	b := settled(t)
	before := len(b.archives())
	b.fail(hook)
	r, err := b.try(t.Context(), b.options())
	b.fail(nil)
	t.Logf("the run ended with %v", err)

	s := b.checkRepository()
	listed := b.archives()
	if err == nil && len(listed) != before+1 {
		t.Errorf("the run says that all is well: got %d archives, want %d", len(listed), before+1)
	}
	if err == nil {
		b.checkSource(r.archive)
	}
	if len(listed) > before+1 || len(listed) < before {
		t.Errorf("got %d archives, and %d before", len(listed), before)
	}
	next := b.backup()
	b.checkSource(next.archive)
	after := b.checkRepository()
	if after.Unreferenced > 0 {
		t.Errorf("got %d packs that no commit names, %d before the run after", after.Unreferenced, s.Unreferenced)
	}
	b.checkOnce()
}

// A run that failed leaves nothing in a Repository that is used again: what it
// meant to store and did not is stored by the next run.
func TestSameRepositoryAfterFailure(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := settled(t)
			repo, err := b.open(b.cache)
			must(t, err)
			b.fail(mem.FailNth(mem.Put, n, mem.Before, errStore))
			if _, _, err := backup.Run(t.Context(), t.Context(), repo, b.options()); !errors.Is(err, errStore) {
				t.Errorf("the first run: got %v, want %v", err, errStore)
			}
			b.fail(nil)
			a, _, err := backup.Run(t.Context(), t.Context(), repo, b.options())
			must(t, err)
			must(t, repo.Close())
			b.checkRepository()
			b.checkSource(a)
		})
	}
}

// A run that is asked to stop at any of its requests commits a checkpoint or
// nothing; the next one goes on from there, and removes the checkpoint.
func TestStopped(t *testing.T) {
	t.Parallel()
	b := settled(t)
	b.store.ResetCounts()
	b.backup()
	total := 0
	for _, n := range b.requests() {
		total += n
	}
	for n := range total {
		if testing.Short() && n%8 != 0 {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := settled(t)
			stop, cancel := context.WithCancel(t.Context())
			defer cancel()
			var seen atomic.Int64
			b.fail(func(mem.Op, backend.Key, mem.Moment) error {
				if seen.Add(1) == 2*int64(n)+1 {
					cancel()
				}
				return nil
			})
			b.testStopped(stop)
		})
	}
}

func (b *bench) testStopped(stop context.Context) {
	t := b.t
	r, err := b.try(stop, b.options())
	b.fail(nil)
	t.Logf("the run ended with %v, interrupted: %v", err, r.summary.Interrupted)
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		t.Errorf("got %v, want an archive or %v", err, context.Canceled)
	case err == nil && r.summary.Interrupted != (r.archive.Kind == record.Checkpoint):
		t.Errorf("got an archive of kind %d, and Interrupted %v", r.archive.Kind, r.summary.Interrupted)
	case err == nil:
		for path, e := range b.entries(r.archive) {
			if e.Size != e.Content.Size() || e.Partial && (r.archive.Kind != record.Checkpoint || e.Size == 0) {
				t.Errorf("%s is there by half, and does not say so", path)
			}
		}
	}
	b.checkRepository()
	next := b.backup()
	b.checkSource(next.archive)
	for _, a := range b.archives() {
		if a.Kind == record.Checkpoint {
			t.Errorf("checkpoint %s is left", a.Name)
		}
	}
	if s := b.checkRepository(); s.Unreferenced > 0 {
		t.Errorf("got %d packs that no commit names", s.Unreferenced)
	}
	b.checkOnce()
}

// What a stopped run has stored and read need not be read again.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const files, each = 24, 1<<20 + 1
	for i := range files {
		b.write(fmt.Sprintf("f%02d", i), noise(uint64(i), each))
	}
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := b.options()
	o.Workers, o.Uploads = 1, 1
	b.fail(func(op mem.Op, key backend.Key, at mem.Moment) error {
		if op == mem.Put && b.store.Count(mem.Put) > 8 {
			cancel()
		}
		return nil
	})
	r, err := b.try(stop, o)
	must(t, err)
	b.fail(nil)
	if r.archive.Kind != record.Checkpoint || r.summary.Files == 0 || r.summary.Files == files {
		t.Fatalf("got kind %d with %d files, want a checkpoint with some", r.archive.Kind, r.summary.Files)
	}
	next := b.backup()
	if next.summary.Unchanged != r.summary.Files {
		t.Errorf("got %d files that were not read again, want the %d of the checkpoint", next.summary.Unchanged, r.summary.Files)
	}
	b.checkSource(next.archive)
	b.checkOnce()
}
