package compact_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/pipeline/check"
	"cairn/pipeline/compact"
	"cairn/pipeline/repository"
)

// An intruder compacts on another machine in the middle of what somebody else
// does.
type intruder struct {
	b       *bench
	evict   bool // take the lease from whoever holds it
	sweep   bool // delete at once what was condemned
	delete  bool // the oldest archive first
	at      int64
	seen    atomic.Int64
	done    atomic.Bool
	summary compact.Summary
}

// hook lets the intruder in at its request.
func (i *intruder) hook(_ mem.Op, _ backend.Key, at mem.Moment) error {
	if at == mem.Before && i.seen.Add(1) == i.at {
		i.b.fail(nil)
		if err := i.intrude(); err != nil {
			i.b.t.Errorf("intrude: %v", err)
		}
	}
	return nil
}

func (i *intruder) intrude() error {
	r, err := i.b.openWith("there", func(o *repository.Options) { o.Wait = 0 })
	if err != nil {
		return err
	}
	if i.evict {
		if err := i.b.evict(r); err != nil {
			return err
		}
	}
	ctx := i.b.t.Context()
	if i.delete {
		if err := r.Delete(ctx, ctx, later, r.Archives()[0].ID); err != nil {
			return errors.Join(err, r.Close())
		}
		if err := r.Refresh(ctx); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	o := i.b.options()
	o.MaxUnused = -1 // else a frame may bring a chunk along that nothing needs, and that is not stored again
	i.summary, err = compact.Run(ctx, ctx, r, o)
	if errors.Is(err, locking.ErrLocked) {
		return r.Close() // it waits for its turn, and comes when all is over
	}
	if err == nil && i.sweep {
		i.b.wait(25 * time.Hour)
		_, err = compact.Run(ctx, ctx, r, i.b.options())
	}
	i.done.Store(i.summary.Condemned > 0)
	return errors.Join(err, r.Close())
}

// evict takes everybody out of the lock table.
func (b *bench) evict(r *repository.Repository) error {
	chain, err := locking.New(locking.Options{Register: b.store, Records: b.store, Keys: r.Keys})
	if err != nil {
		return err
	}
	table, err := chain.Watch().Look(b.t.Context())
	if err != nil {
		return err
	}
	for _, h := range table.Holders {
		if _, err := chain.Break(b.t.Context(), h.Participant); err != nil {
			return err
		}
	}
	return r.Refresh(b.t.Context())
}

// returned is how much the backup of a returning bench has to read, bytes.
const returned = 4_300_000

// returning is a bench whose source has again what only deleted archives had,
// and more that is new: a backup counts on packs that nothing needs.
func returning(t *testing.T) *bench {
	b := newBench(t)
	b.write("always", 1, 200_000)
	for i := range uint64(4) {
		b.write(fmt.Sprintf("back/%d", i), 10+i, 700_000)
	}
	b.backup()
	b.remove("back")
	b.backup()
	b.delete("run-1")
	for i := range uint64(4) {
		b.write(fmt.Sprintf("back/%d", i), 10+i, 700_000)
	}
	b.write("new", 30, returned-4*700_000)
	return b
}

// A compaction comes at every request of a backup: it may take its lease away,
// and delete at once what it condemned. The backup makes a whole archive.
func TestBesideBackup(t *testing.T) {
	t.Parallel()
	b := returning(t)
	b.store.ResetCounts()
	b.backup()
	total := b.store.Total()
	var condemned, reread atomic.Int64
	t.Run("", func(t *testing.T) {
		for n := range total {
			if testing.Short() && n%4 != 0 {
				continue
			}
			for _, kind := range []struct{ evict, sweep bool }{{}, {sweep: true}, {evict: true}, {true, true}} {
				t.Run(fmt.Sprintf("%d-evict=%v-sweep=%v", n+1, kind.evict, kind.sweep), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						b := returning(t)
						i := &intruder{b: b, evict: kind.evict, sweep: kind.sweep, at: int64(n + 1)}
						b.fail(i.hook)
						b.backup()
						// What was read again had to be stored, beside what was stored before.
						if s := b.summary; s.Read > returned && s.NewBytes < returned {
							t.Errorf("%d bytes were read, and only %d are said to be stored, want %d", s.Read, s.NewBytes, returned)
						} else if s.Read > returned {
							reread.Add(1)
						}
						if i.done.Load() {
							condemned.Add(1)
						}
						b.checkAll()
						b.compact()
						b.wait(25 * time.Hour)
						b.compact()
						b.checkAll()
					})
				})
			}
		}
	})
	if n := condemned.Load(); n < int64(total) && !testing.Short() {
		t.Errorf("packs were condemned beside %d backups only, of %d", n, 4*total)
	}
	if reread.Load() == 0 && !testing.Short() {
		t.Error("no backup had to read files again")
	}
}

// A compaction comes at every request of a restore and of a check, and deletes
// at once what it condemned: they find again what was moved.
func TestBesideReaders(t *testing.T) {
	t.Parallel()
	intrude(t, (*bench).checkAll, func() *intruder { return &intruder{sweep: true} })
}

// At every request of a check an archive is deleted, and all that only it needed.
// That is no damage.
func TestCheckBesideDelete(t *testing.T) {
	t.Parallel()
	intrude(t, func(b *bench) { b.check() }, func() *intruder { return &intruder{sweep: true, delete: true} })
}

// intrude has a new intruder come at each request, one after the other, of what
// read does with an aged bench.
func intrude(t *testing.T, read func(*bench), intruder func() *intruder) {
	b := aged(t)
	b.store.ResetCounts()
	read(b)
	for n := range b.store.Total() {
		if testing.Short() && n%8 != 0 {
			continue
		}
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			t.Parallel()
			b, i := aged(t), intruder()
			i.b, i.at = b, int64(n+1)
			b.fail(i.hook)
			read(b)
			if i.seen.Load() >= i.at && !i.done.Load() {
				t.Error("nothing was condemned meanwhile")
			}
		})
	}
}

// At every request of a backup the archive that it compares with is deleted, and
// all that only that needed. The backup reads the files again, and warns of nothing.
func TestBackupBesideDelete(t *testing.T) {
	t.Parallel()
	again := func(t *testing.T) *bench {
		b := newBench(t)
		for i := range uint64(200) {
			b.write(fmt.Sprintf("many/%d", i), i, 3000)
		}
		b.backup()
		b.write("new", 300, 100_000)
		return b
	}
	b := again(t)
	b.store.ResetCounts()
	b.backup()
	for n := range b.store.Total() {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := again(t)
				i := &intruder{b: b, evict: true, sweep: true, delete: true, at: int64(n + 1)}
				b.fail(i.hook)
				b.backup()
				delete(b.holds, "run-1")
				b.checkAll()
			})
		})
	}
}

// A crowd deletes the oldest archive at every so manieth request of somebody else,
// as long as there are others, moves what is needed of every pack of which anything
// is not, and deletes those packs at once.
type crowd struct {
	b     *bench
	every int

	mu         sync.Mutex // held while the crowd is at work itself
	seen, done int        // requests, deleted archives; guarded by mu
}

func (c *crowd) hook(_ mem.Op, _ backend.Key, at mem.Moment) error {
	if at != mem.Before || !c.mu.TryLock() {
		return nil
	}
	defer c.mu.Unlock()
	if c.seen++; c.seen%c.every > 0 {
		return nil
	}
	if err := c.work(); err != nil {
		c.b.t.Errorf("delete and compact: %v", err)
	}
	return nil
}

func (c *crowd) work() error {
	r, err := c.b.openWith("there", func(*repository.Options) {})
	if err != nil {
		return err
	}
	ctx := c.b.t.Context()
	if all := r.Archives(); len(all) > 2 {
		delete(c.b.holds, all[0].Name)
		o := c.b.options()
		o.MaxUnused, o.SweepNow = -1, true
		c.done++
		err = r.Delete(ctx, ctx, later, all[0].ID)
		if err == nil {
			err = r.Refresh(ctx)
		}
		if err == nil {
			_, err = compact.Run(ctx, ctx, r, o)
		}
	}
	return errors.Join(err, r.Close())
}

// While a check is under way, archive after archive is deleted, and what is left is
// moved, again and again. That is no damage.
func TestCheckBesideMany(t *testing.T) {
	t.Parallel()
	for every := 1; every <= 12; every++ {
		if testing.Short() && every%4 != 0 {
			continue
		}
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for i := range uint64(8) {
				for n := range uint64(1200) { // trees of several nodes; half of the files were there before
					b.write(fmt.Sprintf("file-%d", n), 600*i+n, 300)
				}
				b.backup()
			}
			c := &crowd{b: b, every: every}
			b.fail(c.hook)
			b.checkDepth(check.Structure)
			b.fail(nil)
			if c.done == 0 {
				t.Error("nothing was deleted meanwhile")
			}
			b.checkAll()
		})
	}
}
