package backup_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/backup"
)

// often makes a run commit a checkpoint whenever it has stored something.
func often(o *backup.Options) { o.CheckpointEvery = time.Nanosecond; o.Now = ticking() }

// ticking returns a clock that a second passes on whenever it is looked at.
func ticking() func() time.Time {
	var n atomic.Int64
	return func() time.Time { return later.Add(time.Duration(n.Add(1)) * time.Second) }
}

// TestCheckpoints holds that a run with checkpoints makes the archive that one
// without them makes, and leaves nothing of them behind.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	b := settled(t)
	b.write("big", noise(1, 24<<20))
	for i := range 300 {
		b.write(fmt.Sprintf("many/%03d", i), noise(uint64(1000+i), 20<<10))
	}
	plain := b.backup()
	c, r := b.checkpointedTwice()
	if got, want := r.summary.Files, plain.summary.Files; got != want {
		t.Errorf("got %d files, want %d", got, want)
	}
	c.checkSource(r.archive)
	if got := len(c.archives()); got != 1 {
		t.Errorf("got %d archives, want only the full one", got)
	}
	if s := c.checkRepository(); s.Unreferenced > 0 {
		t.Errorf("got %d packs that no commit names", s.Unreferenced)
	}
	c.checkOnce()
}

// checkpointedTwice backs the tree up to another repository, with more than one
// checkpoint. On a busy machine a run can have stored everything before it looks
// whether one is due: then it is done again.
func (b *bench) checkpointedTwice() (c *bench, r run) {
	b.t.Helper()
	for range 20 {
		var progress backup.Progress
		c = newBench(b.t)
		c.src = b.src
		r = c.backup(often, func(o *backup.Options) { o.Progress = &progress })
		if progress.Checkpoints.Load() > 1 {
			return c, r
		}
	}
	b.t.Fatal("twenty runs had at most one checkpoint each, want several")
	return nil, run{}
}

// TestCheckpointOutlivesTheRun lets a run fail at each of its requests, for
// good. What the last checkpoint reached is there, whole but for one file that
// is marked so, and the next run need not read it again.
func TestCheckpointOutlivesTheRun(t *testing.T) {
	t.Parallel()
	b := checkpointed(t)
	var puts atomic.Int64
	b.fail(func(op mem.Op, key backend.Key, at mem.Moment) error {
		if matters(op, key, at) {
			puts.Add(1)
		}
		return nil
	})
	b.backup(often)
	b.fail(nil)
	total := int(puts.Load())
	if total < 15 {
		t.Fatalf("got %d Puts, want many", total)
	}
	var outlived atomic.Int64
	t.Run("at", func(t *testing.T) {
		for n := 1; n <= total; n += 1 + n/8 {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				b := checkpointed(t)
				if b.testOutlives(int64(n)) {
					outlived.Add(1)
				}
			})
		}
	})
	if outlived.Load() < 2 {
		t.Errorf("got %d runs that left a checkpoint, want some", outlived.Load())
	}
}

// checkpointed returns a bench whose source is stored in many packs.
func checkpointed(t *testing.T) *bench {
	b := newQuickBench(t)
	b.write("a-big", noise(7, 6<<20))
	for i := range 60 {
		b.write(fmt.Sprintf("many/%03d", i), noise(uint64(2000+i), 50<<10))
	}
	b.write("z-big", noise(8, 12<<20))
	return b
}

// matters reports whether a run fails if that request does: a Put of anything but
// a bundle, which is nobody's only source.
func matters(op mem.Op, key backend.Key, at mem.Moment) bool {
	return op == mem.Put && at == mem.Before && !strings.HasPrefix(string(key), "bundles/")
}

// testOutlives lets every Put fail from the nth on.
func (b *bench) testOutlives(n int64) (outlived bool) {
	t := b.t
	var puts atomic.Int64
	b.fail(func(op mem.Op, key backend.Key, at mem.Moment) error {
		if matters(op, key, at) && puts.Add(1) >= n {
			return errStore
		}
		return nil
	})
	o := b.options()
	o.Workers, o.Uploads = 1, 1
	often(&o)
	_, err := b.try(context.Background(), o)
	b.fail(nil)
	if err == nil {
		if puts.Load() >= n {
			t.Error("the run succeeded, want it to fail")
		}
		return false // it had fewer Puts: how many checkpoints there are is a matter of time
	}
	b.checkRepository()
	whole := uint64(0)
	for _, a := range b.archives() {
		outlived = true
		if a.Kind != record.Checkpoint {
			t.Errorf("got an archive %s of kind %d, want checkpoints only", a.Name, a.Kind)
		}
		for path, e := range b.entries(a.Archive) {
			if e.Size != e.Content.Size() {
				t.Errorf("%s: got %d bytes of content for %d", path, e.Content.Size(), e.Size)
			}
			if !e.Partial && e.Type == archive.File {
				whole++
			}
		}
	}
	next := b.backup()
	b.checkSource(next.archive)
	b.checkOnce()
	if next.summary.Unchanged < whole {
		t.Errorf("got %d files that were not read again, want the %d of the checkpoint", next.summary.Unchanged, whole)
	}
	return outlived
}

// TestCheckpointOfPartOfAFile holds that a checkpoint in the middle of a file
// keeps what there is of it.
func TestCheckpointOfPartOfAFile(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("big", noise(1, 20<<20))
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.fail(func(op mem.Op, _ backend.Key, _ mem.Moment) error {
		if op == mem.Put && b.store.Count(mem.Put) > 5 {
			cancel()
		}
		return nil
	})
	o := b.options()
	o.Workers, o.Uploads = 1, 1
	r, err := b.try(stop, o)
	must(t, err)
	b.fail(nil)
	e := b.entries(r.archive)["big"]
	if r.archive.Kind != record.Checkpoint || e == nil || !e.Partial || e.Size == 0 || e.Size >= 20<<20 {
		t.Fatalf("got an archive of kind %d with %+v, want a checkpoint with a part of the file", r.archive.Kind, e)
	}
	next := b.backup()
	b.checkSource(next.archive)
	b.checkOnce()
	if next.summary.NewBytes >= 20<<20 {
		t.Errorf("got %d bytes stored, want those of the checkpoint not stored again", next.summary.NewBytes)
	}
}

// TestTurns holds that a run gives up its turn at a checkpoint when another one
// waits, and gets it back.
func TestTurns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("big", noise(1, 12<<20))
	repo, err := b.open(b.t.TempDir())
	must(t, err)
	defer repo.Close()
	var other sync.WaitGroup
	var begun, queued, over, between atomic.Bool
	waits := make(chan struct{})
	b.fail(func(op mem.Op, _ backend.Key, at mem.Moment) error {
		switch {
		case op == mem.Swap && at == mem.After && begun.Load() && !queued.Swap(true):
			close(waits) // the other one is in the queue
		case op != mem.Put || at != mem.After || b.store.Count(mem.Put) < 4:
		case !begun.Swap(true):
			other.Go(func() {
				w, ctx, err := repo.Begin(t.Context(), t.Context())
				must(t, err)
				must(t, w.Ensure(ctx, ctx))
				between.Store(!over.Load())
				must(t, w.End(t.Context()))
			})
			<-waits
		}
		return nil
	})
	o := b.options()
	o.Workers, o.Uploads = 1, 1
	often(&o)
	r, err := b.try(t.Context(), o)
	over.Store(true)
	must(t, err)
	other.Wait()
	if !between.Load() {
		t.Error("the other run got its turn when all was over")
	}
	b.fail(nil)
	b.checkSource(r.archive)
	b.checkOnce()
	if s := b.checkRepository(); s.Unreferenced > 0 {
		t.Errorf("got %d packs that no commit names", s.Unreferenced)
	}
}
