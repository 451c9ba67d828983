package locking_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

var (
	simSeeds = flag.Uint64("sim.seeds", 500, "how many schedules to try")
	simFirst = flag.Uint64("sim.first", 1, "the first seed")
)

// TestSchedules is not parallel to others: its shards are. It runs several hosts against one store through a bad network,
// with pauses and crashes, and holds the invariants of PROTOCOL.md §10 at every
// swap and at the end.
func TestSchedules(t *testing.T) {
	if testing.Short() {
		*simSeeds = min(*simSeeds, 60)
	}
	keys := testKeys(t)
	const shards = 4
	var sums [shards]tally
	t.Run("shards", func(t *testing.T) {
		for shard := range uint64(shards) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := *simFirst + shard; seed < *simFirst+*simSeeds; seed += shards {
					sums[shard].add(schedule(t, keys, seed))
				}
			})
		}
	})
	var sum tally
	for _, s := range sums {
		sum.add(s)
	}
	t.Logf("%+v", sum)
	if *simSeeds >= 100 && !t.Failed() && (sum.Commits == 0 || sum.Evictions == 0 || sum.Unknown == 0 ||
		sum.Late == 0 || sum.Crashes == 0 || sum.Moved == 0) {
		t.Error("some kind of event never happened: the schedules prove less than they should")
	}
}

// schedule runs one schedule and returns what happened in it.
func schedule(t *testing.T, keys *crypt.Keys, seed uint64) tally {
	w := &world{keys: keys, seed: seed, fate: make(map[string]fate), evicted: make(map[record.ParticipantID]bool)}
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.run()
	})
	if t.Failed() {
		t.Fatalf("seed %d", seed)
	}
	return w.tally
}

// tally counts what happened, to show that it did.
type tally struct {
	Commits, Refused, Unknown, Evictions, Late, Crashes, Moved int
}

func (a *tally) add(b tally) {
	a.Commits += b.Commits
	a.Refused += b.Refused
	a.Unknown += b.Unknown
	a.Evictions += b.Evictions
	a.Late += b.Late
	a.Crashes += b.Crashes
	a.Moved += b.Moved
}

// fate is what a commit answered.
type fate struct {
	err error
	at  uint64 // with a nil err: the generation right after all that the run was shown
}

// world is one schedule.
type world struct {
	t    *testing.T
	keys *crypt.Keys
	seed uint64

	store mem.Store
	late  sync.WaitGroup // swaps that are still under way

	mu      sync.Mutex
	fate    map[string]fate               // by label; guarded by mu
	evicted map[record.ParticipantID]bool // guarded by mu
	tally   tally                         // guarded by mu
}

func (w *world) run() {
	if err := open(w.t, &w.store, w.keys).Init(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	var hosts sync.WaitGroup
	for i := range 2 + w.seed%3 {
		h := &host{world: w, name: fmt.Sprint("host", i), rng: rand.New(rand.NewPCG(w.seed, i))}
		hosts.Go(h.live)
	}
	hosts.Wait()
	w.late.Wait()
	w.check()
}

// check looks at what the hosts left.
func (w *world) check() {
	c := open(w.t, &w.store, w.keys)
	labels := audit(w.t.Context(), w.t, c)
	for i, label := range labels {
		if slices.Contains(labels[:i], label) {
			w.t.Errorf("%s was committed twice", label)
		}
		if f := w.fate[label]; f.err != nil && !errors.Is(f.err, locking.ErrOutcomeUnknown) {
			w.t.Errorf("%s is in the chain, but its commit answered %v", label, f.err)
		}
	}
	for label, f := range w.fate {
		i := slices.Index(labels, label)
		if f.err == nil && i < 0 {
			w.t.Errorf("%s was committed and is lost", label)
		}
		if f.err == nil && uint64(i)+1 != f.at {
			w.t.Errorf("%s is generation %d, but the run was shown only what is before %d", label, i+1, f.at)
		}
	}
	start := time.Now()
	next := begin(w.t, c, locking.Run{Wait: 24 * time.Hour})
	if err := next.Ensure(w.t.Context()); err != nil {
		w.t.Errorf("the next run: %v", err)
	}
	if got := time.Since(start); got > 16*time.Minute {
		w.t.Errorf("the next run waited %s", got)
	}
	if err := next.Commit(w.t.Context(), labelled("next"), locking.Release); err != nil {
		w.t.Errorf("the next run: %v", err)
	}
	if err := next.Release(w.t.Context()); err != nil {
		w.t.Errorf("the next run: %v", err)
	}
}

// swap applies a swap by the host by, and holds what must be true of every one.
func (w *world) swap(by string, old backend.Tag, value []byte) (backend.Tag, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := context.Background() // a request that is under way knows no context
	before, _, err := w.store.Load(ctx, "")
	if err != nil {
		return "", err
	}
	tag, err := w.store.Swap(ctx, old, value)
	if err != nil {
		return "", err
	}
	prev, err := record.DecodeHead(w.keys, before)
	if err != nil {
		w.t.Error(err)
		return tag, nil
	}
	next, err := record.DecodeHead(w.keys, value)
	if err != nil {
		w.t.Error(err)
		return tag, nil
	}
	if len(next.Holders) > 1 {
		w.t.Errorf("%s made a second holder", by)
	}
	for _, p := range slices.Concat(prev.Holders, prev.Queue) {
		if p.Host != by && !takesPart(next, p.ID) {
			w.tally.Evictions++
			w.evicted[p.ID] = true
			if next.Orphans != prev.Orphans+1 {
				w.t.Errorf("%s evicted %s, which is not counted", by, p.Command)
			}
		}
	}
	switch next.Generation {
	case prev.Generation:
		if next.Commit != prev.Commit {
			w.t.Errorf("%s replaced generation %d", by, prev.Generation)
		}
	case prev.Generation + 1:
		w.tally.Commits++
		r, err := open(w.t, &w.store, w.keys).Record(ctx, locking.Mark{Generation: next.Generation, Commit: next.Commit})
		if err != nil {
			w.t.Errorf("%s committed a record that is not there: %v", by, err)
			break
		}
		if r.Prev != prev.Commit {
			w.t.Errorf("%s committed generation %d, which does not link to the one before", by, next.Generation)
		}
		mine := slices.ContainsFunc(prev.Holders, func(p record.Participant) bool { return p.Command == r.Host })
		if !mine && len(prev.Holders)+len(prev.Queue) > 0 {
			w.t.Errorf("%s committed generation %d without being a holder", r.Host, next.Generation)
		}
	default:
		w.t.Errorf("%s moved generation %d to %d", by, prev.Generation, next.Generation)
	}
	return tag, nil
}

// takesPart reports whether id is a holder or in the queue of h.
func takesPart(h *record.Head, id record.ParticipantID) bool {
	return slices.ContainsFunc(slices.Concat(h.Holders, h.Queue), func(p record.Participant) bool { return p.ID == id })
}

// host is one machine: a process after another, and the network between it
// and the store. It is what the processes use as their store.
type host struct {
	*world
	name string

	mu     sync.Mutex
	rng    *rand.Rand         // guarded by mu
	paused time.Time          // until then nothing goes on; guarded by mu
	fuse   int                // requests until the process crashes; guarded by mu
	crash  context.CancelFunc // of the running process; guarded by mu
}

// live runs a few processes, one after another.
func (h *host) live() {
	for p := range 3 {
		ctx, crash := context.WithCancel(h.t.Context())
		h.mu.Lock()
		h.crash, h.fuse = crash, 1000
		if h.rng.IntN(2) == 0 {
			h.fuse = h.rng.IntN(60)
		}
		h.mu.Unlock()
		c := open(h.t, &h.store, h.keys, func(o *locking.Options) {
			o.Register, o.Records = h, h
			o.Timing = locking.Timing{MinPoll: 5 * time.Second, MaxPoll: time.Minute}
		})
		for r := 0; r < 3 && ctx.Err() == nil; r++ {
			h.oneRun(ctx, c, fmt.Sprintf("%s/%d.%d", h.name, p, r))
			_ = h.sleep(ctx, 10*time.Minute)
		}
		crash()
	}
}

// oneRun is one backup.
func (h *host) oneRun(ctx context.Context, c *locking.Chain, name string) {
	news, err := c.Refresh(ctx)
	if err != nil {
		return
	}
	shown := news.State.Generation
	w, run, err := c.Begin(ctx, locking.Run{Host: h.name, Command: name, Wait: 3 * time.Hour, Moved: func(_ context.Context, news locking.News) error {
		for _, link := range news.Records {
			if shown++; link.At.Generation != shown {
				h.t.Errorf("%s was shown generation %d after %d", name, link.At.Generation, shown-1)
			}
		}
		h.count(func(t *tally) { t.Moved++ })
		return nil
	}})
	if err != nil {
		return
	}
	defer func() {
		if err := w.Release(ctx); err != nil && ctx.Err() == nil {
			h.count(func(t *tally) { t.Unknown++ })
		}
	}()
	if h.chance(2, 3) { // something is new
		for i := range h.intn(3) {
			if w.Ensure(run) != nil || h.work(run) != nil || !h.commit(run, w, name, fmt.Sprint(name, ".", i), locking.Keep, &shown) {
				return
			}
		}
		if w.Ensure(run) != nil || h.work(run) != nil || h.chance(1, 8) {
			return
		}
	}
	h.commit(run, w, name, name, locking.Release, &shown)
}

// commit makes one commit and notes what it answered.
func (h *host) commit(ctx context.Context, w *locking.Writer, run, label string, after locking.After, shown *uint64) bool {
	c := labelled(label)
	c.Host = run
	err := w.Commit(ctx, c, after)
	if err == nil {
		*shown++
	}
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.fate[label] = fate{err: err, at: *shown}
	switch {
	case errors.Is(err, locking.ErrOutcomeUnknown):
		h.tally.Unknown++
	case err != nil:
		h.tally.Refused++
	}
	return err == nil
}

// work takes some time, and sometimes the host is paused in it.
func (h *host) work(ctx context.Context) error {
	if h.chance(1, 8) {
		h.mu.Lock()
		h.paused = time.Now().Add(time.Duration(h.rng.IntN(40)) * time.Minute)
		h.mu.Unlock()
	}
	return h.sleep(ctx, 5*time.Minute)
}

func (h *host) count(f func(*tally)) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	f(&h.tally)
}

func (h *host) intn(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(n)
}

func (h *host) chance(n, of int) bool { return h.intn(of) < n }

// sleep waits for up to most, and for as long as the host is paused.
func (h *host) sleep(ctx context.Context, most time.Duration) error {
	h.mu.Lock()
	d := max(time.Duration(h.rng.Int64N(int64(most))), time.Until(h.paused))
	h.mu.Unlock()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// burn is one half of a request's way. It is where processes crash, and where
// most pauses begin: with a request under way that is sent when they are over.
func (h *host) burn(ctx context.Context) error {
	h.mu.Lock()
	h.fuse--
	if h.fuse == 0 {
		h.crash()
		h.world.count(func(t *tally) { t.Crashes++ })
	}
	if h.rng.IntN(150) == 0 {
		h.paused = time.Now().Add(time.Duration(h.rng.IntN(30)) * time.Minute)
	}
	h.mu.Unlock()
	return h.sleep(ctx, 4*time.Second)
}

func (w *world) count(f func(*tally)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.tally)
}

// request carries one request that may be repeated to the store and back.
func (h *host) request(ctx context.Context, do func() error) error {
	if err := h.burn(ctx); err != nil {
		return err
	}
	if h.chance(1, 40) {
		return fmt.Errorf("request lost: %w", backend.ErrUnavailable)
	}
	err := do()
	if err2 := h.burn(ctx); err2 != nil {
		return err2
	}
	if h.chance(1, 40) {
		return fmt.Errorf("reply lost: %w", backend.ErrUnavailable)
	}
	return err
}

func (h *host) Load(ctx context.Context, ifChanged backend.Tag) (value []byte, tag backend.Tag, err error) {
	err = h.request(ctx, func() error {
		value, tag, err = h.store.Load(ctx, ifChanged)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return value, tag, nil
}

func (h *host) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	if err := h.burn(ctx); err != nil {
		return "", err // not sent
	}
	value = slices.Clone(value)
	switch h.intn(20) {
	case 0:
		return "", fmt.Errorf("request lost: %w", backend.ErrUnknown)
	case 1, 2:
		h.count(func(t *tally) { t.Late++ })
		delay := time.Duration(h.intn(600)) * time.Second
		h.late.Go(func() {
			time.Sleep(delay)
			_, _ = h.swap(h.name, old, value) // nobody hears the answer
		})
		return "", fmt.Errorf("request late: %w", backend.ErrUnknown)
	}
	tag, err := h.swap(h.name, old, value)
	if ended := h.burn(ctx); ended != nil {
		return "", fmt.Errorf("%w: %w", backend.ErrUnknown, ended)
	}
	if h.chance(1, 15) || err != nil && h.chance(1, 2) {
		return "", fmt.Errorf("reply lost: %w", backend.ErrUnknown)
	}
	return tag, err
}

func (h *host) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	return h.request(ctx, func() error { return h.store.Put(ctx, key, parts...) })
}

func (h *host) Get(ctx context.Context, key backend.Key, r backend.Range) (data []byte, err error) {
	err = h.request(ctx, func() error {
		data, err = h.store.Get(ctx, key, r)
		return err
	})
	return data, err
}

func (h *host) Delete(ctx context.Context, key backend.Key) error {
	return h.request(ctx, func() error { return h.store.Delete(ctx, key) })
}

func (h *host) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return h.store.List(ctx, prefix)
}
