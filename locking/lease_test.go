package locking_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

func TestLockedAtOnce(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	holder := begin(t, open(t, store, keys), locking.Run{Host: "db1", User: "ann", Command: "backup /srv"})
	if err := holder.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := begin(t, open(t, store, keys), locking.Run{})
	err := w.Ensure(t.Context())
	wantError(t, err, locking.ErrLocked, "ann@db1", "backup /srv", "since", "nothing is lost", "7m30s")
	var locked *locking.LockedError
	if !errors.As(err, &locked) || locked.Ahead.Host != "db1" {
		t.Errorf("got %v, want a LockedError with the holder", err)
	}
	wantError(t, w.Commit(t.Context(), labelled("b"), locking.Release), locking.ErrLocked)
	for _, w := range []*locking.Writer{w, holder} {
		if err := w.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Who is ahead only because its ticket came first does not write, and who is not
// there any more is not ahead.
func TestWaitingForWhoWaits(t *testing.T) {
	t.Parallel()
	store, keys, dead := beside(t)
	look := func(o *locking.Options) {
		o.Look = func(p locking.Process) locking.Liveness {
			if p == dead {
				return locking.Dead
			}
			return locking.Untold
		}
	}
	holder := begin(t, open(t, store, keys), locking.Run{Host: "db1", User: "ann", Command: "backup /srv"})
	if err := holder.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func(run locking.Run) (*locking.Writer, locking.Waiting) {
		ctx, enough := context.WithCancel(t.Context())
		var first *locking.Waiting
		run.Wait = time.Hour
		run.Waiting = func(w locking.Waiting) {
			if first == nil {
				first = &w
			}
			enough()
		}
		w := begin(t, open(t, store, keys, look), run)
		wantError(t, w.Ensure(ctx), context.Canceled)
		return w, *first
	}
	exclusive, w := ask(locking.Run{Mode: record.Exclusive, Host: "db2", User: "bob", Command: "with-lock"})
	if w.Queued || w.Ahead.Host != "db1" || w.Place != 1 {
		t.Errorf("the exclusive run waits for %+v, want the holder, and not the dead one before it", w)
	}
	third, w := ask(locking.Run{Host: "db3"})
	if !w.Queued || w.Ahead.Host != "db2" || w.Place != 2 {
		t.Errorf("the third run waits for %+v, want the ticket of the second", w)
	}
	err := begin(t, open(t, store, keys), locking.Run{}).Ensure(t.Context())
	wantError(t, err, locking.ErrLocked, "bob@db2", `"with-lock"`, "waits to write", "comes first", "nothing is lost")
	for _, w := range []*locking.Writer{third, exclusive, holder} {
		if err := w.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys := create(t)
		holder := begin(t, open(t, store, keys), locking.Run{})
		if err := holder.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		told := 0
		w := begin(t, open(t, store, keys), locking.Run{Wait: time.Hour, Waiting: func(locking.Waiting) { told++ }})
		start := time.Now()
		wantError(t, w.Ensure(t.Context()), locking.ErrLocked)
		if got := time.Since(start); got != time.Hour {
			t.Errorf("waited %s, want 1h: the holder lives", got)
		}
		if least, most := 240, 1800; told < least || told > most {
			t.Errorf("got %d polls in an hour, want %d to %d", told, least, most)
		}
		if err := holder.Commit(t.Context(), labelled("a"), locking.Release); err != nil {
			t.Fatal(err)
		}
		if err := w.Ensure(t.Context()); err != nil {
			t.Errorf("once it is free: %v", err)
		}
		for _, w := range []*locking.Writer{w, holder} {
			if err := w.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// stall is a hook that lets the requests of one process wait while it is
// paused, as its goroutines would.
type stall struct{ until atomic.Int64 } // Unix nanoseconds

func (s *stall) pause(d time.Duration) { s.until.Store(time.Now().Add(d).UnixNano()) }

func (s *stall) hook(mem.Op, backend.Key, mem.Moment) error {
	time.Sleep(time.Until(time.Unix(0, s.until.Load())))
	return nil
}

// viaHook is store with a hook of its own for one process.
func viaHook(store *mem.Store, hook mem.Hook) func(*locking.Options) {
	return func(o *locking.Options) { o.Register, o.Records = hooked{store, hook}, store }
}

type hooked struct {
	*mem.Store
	hook mem.Hook
}

func (h hooked) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	if err := h.hook(mem.Load, "head", mem.Before); err != nil {
		return nil, "", err
	}
	return h.Store.Load(ctx, ifChanged)
}

func (h hooked) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	if err := h.hook(mem.Swap, "head", mem.Before); err != nil {
		return "", err
	}
	return h.Store.Swap(ctx, old, value)
}

func TestPausedHolderIsTakenOverAndFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys := create(t)
		process := new(stall)
		var shown []string
		c := open(t, store, keys, viaHook(store, process.hook))
		refresh(t, c)
		slow, run, err := c.Begin(t.Context(), locking.Run{Moved: func(_ context.Context, news locking.News) error {
			for _, link := range news.Records {
				shown = append(shown, link.Record.User)
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := slow.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // the lease is kept up
		process.pause(time.Hour)

		next := begin(t, open(t, store, keys), locking.Run{Wait: time.Hour})
		start := time.Now()
		if err := next.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got < 450*time.Second || got > 480*time.Second {
			t.Errorf("took over after %s, want 7m30s and a poll or two", got)
		}
		if n := next.Orphans(); n != 1 {
			t.Errorf("got %d orphans, want 1", n)
		}
		committed := make(chan error, 1)
		go func() { committed <- slow.Commit(t.Context(), labelled("slow"), locking.Release) }()
		time.Sleep(2 * time.Hour) // it is awake again, and in the queue
		if labels := audit(t.Context(), t, open(t, store, keys)); len(labels) != 0 {
			t.Errorf("got %v while another run holds the lease, want nothing", labels)
		}
		next.Adopted()
		if err := next.Commit(t.Context(), labelled("next"), locking.Release); err != nil {
			t.Fatal(err)
		}
		if err := <-committed; err != nil {
			t.Errorf("the run that was paused: %v", err)
		}
		if err := context.Cause(run); err != nil {
			t.Errorf("its context: got %v, want it to go on", err)
		}
		for _, w := range []*locking.Writer{slow, next} {
			if err := w.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c = open(t, store, keys)
		if got, want := audit(t.Context(), t, c), []string{"next", "slow"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if !slices.Equal(shown, []string{"next"}) {
			t.Errorf("the paused run was shown %v, want the commit that it missed", shown)
		}
		if head := refresh(t, c).Head; head.Orphans != 0 || len(head.Holders) != 0 {
			t.Errorf("got %d orphans and %d holders, want none", head.Orphans, len(head.Holders))
		}
	})
}

// A run that has stored packs waits for others as long as they live, but not for
// a store that is gone.
func TestWaitEndsWhenTheStoreIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys := create(t)
		process := new(stall)
		gone := errors.New("no route to host")
		var away atomic.Bool
		waiting := begin(t, open(t, store, keys, viaHook(store, func(op mem.Op, key backend.Key, at mem.Moment) error {
			if away.Load() {
				return gone
			}
			return process.hook(op, key, at)
		})), locking.Run{Wait: 2 * time.Hour})
		if err := waiting.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		process.pause(time.Hour)
		next := begin(t, open(t, store, keys), locking.Run{Wait: time.Hour})
		if err := next.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- waiting.Commit(t.Context(), labelled("waiting"), locking.Keep) }()
		time.Sleep(48 * time.Hour) // for one that lives it waits
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		away.Store(true)
		start := time.Now()
		if err := <-ended; !errors.Is(err, gone) {
			t.Errorf("got %v, want what the store answers", err)
		}
		if got := time.Since(start); got < 2*time.Hour || got > 2*time.Hour+5*time.Minute {
			t.Errorf("it ended after %s, want two hours and some tries", got)
		}
		away.Store(false)
		for _, w := range []*locking.Writer{next, waiting} {
			if err := w.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestExclusiveRunEndsWhenItsLeaseIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys := create(t)
		process := new(stall)
		slow, run, err := open(t, store, keys, viaHook(store, process.hook)).Begin(t.Context(), locking.Run{Mode: record.Exclusive})
		if err != nil {
			t.Fatal(err)
		}
		if err := slow.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		process.pause(20 * time.Minute)
		next := begin(t, open(t, store, keys), locking.Run{Wait: time.Hour})
		if err := next.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-run.Done() // without a call of the run
		wantError(t, context.Cause(run), locking.ErrLeaseLost)
		wantError(t, slow.Ensure(t.Context()), locking.ErrLeaseLost)
		wantError(t, slow.Commit(t.Context(), labelled("slow"), locking.Keep), locking.ErrLeaseLost)
		for _, w := range []*locking.Writer{slow, next} {
			if err := w.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDeadProcessIsTakenOverAtOnce(t *testing.T) {
	t.Parallel()
	process := locking.Process{BootID: "boot", Namespace: 1, PID: 2, Start: 3}
	for _, c := range []struct {
		what locking.Liveness
		want error
	}{{locking.Dead, nil}, {locking.Alive, locking.ErrLocked}, {locking.Untold, locking.ErrLocked}} {
		store, keys := create(t)
		gone := begin(t, open(t, store, keys, func(o *locking.Options) { o.Self = process }), locking.Run{})
		if err := gone.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := begin(t, open(t, store, keys, func(o *locking.Options) {
			o.Look = func(p locking.Process) locking.Liveness {
				if p != process {
					t.Errorf("got a question about %+v, want %+v", p, process)
				}
				return c.what
			}
		}), locking.Run{})
		wantError(t, next.Ensure(t.Context()), c.want)
		for _, w := range []*locking.Writer{next, gone} {
			if err := w.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// beside returns a store where writers go side by side and a run has died that
// held the lease, and the process that it was.
func beside(t *testing.T) (*mem.Store, *crypt.Keys, locking.Process) {
	t.Helper()
	store, keys := create(t)
	w := begin(t, open(t, store, keys), locking.Run{})
	policy := &record.Commit{Settings: []record.Setting{{Name: locking.WritersSetting, Value: []byte("parallel")}}}
	if err := w.Commit(t.Context(), policy, locking.Release); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	process := locking.Process{BootID: "boot", Namespace: 1, PID: 2, Start: 3}
	ctx, die := context.WithCancel(t.Context())
	gone, _, err := open(t, store, keys, func(o *locking.Options) { o.Self = process }).Begin(ctx, locking.Run{})
	if err == nil {
		err = gone.Ensure(ctx)
	}
	die() // from here on it is silent
	if err != nil {
		t.Fatal(err)
	}
	return store, keys, process
}

// wantTable wants so many holders and orphans.
func wantTable(t *testing.T, head record.Head, holders int, orphans uint64) {
	t.Helper()
	if len(head.Holders) != holders || head.Orphans != orphans {
		t.Errorf("got %d holders and %d orphans, want %d and %d", len(head.Holders), head.Orphans, holders, orphans)
	}
}

// Where nobody waits for anybody, one whose process is gone is taken out by the
// next one that takes the lease.
func TestDeadProcessBesideOthers(t *testing.T) {
	t.Parallel()
	store, keys, process := beside(t)
	c := open(t, store, keys, func(o *locking.Options) {
		o.Look = func(p locking.Process) locking.Liveness {
			if p == process {
				return locking.Dead
			}
			return locking.Untold
		}
	})
	w := begin(t, c, locking.Run{})
	if err := w.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTable(t, refresh(t, c).Head, 1, 1)
	if w.Orphans() != 1 {
		t.Errorf("got %d orphans to look for, want 1", w.Orphans())
	}
	if err := w.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// One on another host is taken out by those beside it, when it was silent for
// one and a half times its ttl. Those that live stay.
func TestSilentBesideOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys, _ := beside(t)
		var alive []*locking.Writer
		for range 2 {
			w := begin(t, open(t, store, keys), locking.Run{})
			if err := w.Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			alive = append(alive, w)
		}
		c := open(t, store, keys)
		wantTable(t, refresh(t, c).Head, 3, 0)
		time.Sleep(7 * time.Minute)
		wantTable(t, refresh(t, c).Head, 3, 0)
		time.Sleep(6 * time.Minute)
		wantTable(t, refresh(t, c).Head, 2, 1)
		time.Sleep(time.Hour)
		wantTable(t, refresh(t, c).Head, 2, 1)
		for _, w := range alive {
			if err := w.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestReleaseCountsWhatWasLeft(t *testing.T) {
	t.Parallel()
	store, keys := create(t)
	c := open(t, store, keys)
	w := begin(t, c, locking.Run{})
	if err := w.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second does nothing
		if err := w.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if head := refresh(t, c).Head; head.Orphans != 1 || len(head.Holders) != 0 {
		t.Errorf("got %d orphans and %d holders, want 1 and 0", head.Orphans, len(head.Holders))
	}
	if w.Ensure(t.Context()) == nil {
		t.Error("a run that is over took the lease")
	}
}

func TestLeaseCostsOneSwapEachHundredSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, keys := create(t)
		c := open(t, store, keys)
		store.ResetCounts()
		refresh(t, c)
		w := begin(t, c, locking.Run{})
		var puts errgroup.Group
		for range 8 { // uploads side by side
			puts.Go(func() error { return w.Ensure(t.Context()) })
		}
		if err := puts.Wait(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(99 * time.Minute)
		if err := w.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, store, map[mem.Op]int{mem.Load: 1, mem.Swap: 1 + 59})
		if err := w.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
