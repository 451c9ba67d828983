package locking_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

var (
	simSeeds = flag.Uint64("seeds", 2000, "how many schedules to try")
	simFirst = flag.Uint64("first", 1, "the first seed")
)

// TestSchedules runs several hosts against one store through a bad network,
// with pauses and crashes, and holds the invariants of PROTOCOL.md §10 at every
// swap, at every delete and at the end.
func TestSchedules(t *testing.T) {
	t.Parallel()
	seeds := *simSeeds
	if testing.Short() {
		seeds = min(seeds, 60)
	}
	keys := testKeys(t)
	const shards = 4
	var sums [shards]tally
	t.Run("shards", func(t *testing.T) {
		for shard := range uint64(shards) {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := *simFirst + shard; seed < *simFirst+seeds; seed += shards {
					w := schedule(t, keys, seed, sound)
					sums[shard].add(w.tally)
					for _, v := range w.violations {
						t.Errorf("seed %d: %s", seed, v)
					}
				}
			})
		}
	})
	var sum tally
	for _, s := range sums {
		sum.add(s)
	}
	t.Logf("%+v", sum)
	if seeds < 100 || t.Failed() {
		return
	}
	kinds := reflect.ValueOf(sum)
	for i := range kinds.NumField() {
		if kinds.Field(i).Int() == 0 {
			t.Errorf("%s never happened: the schedules prove less than they should", kinds.Type().Field(i).Name)
		}
	}
}

// TestRashLook holds that a living process that is taken for dead, again and
// again, costs turns and no data: it is fenced, and queues anew.
func TestRashLook(t *testing.T) {
	t.Parallel()
	seeds := *simSeeds / 10
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	keys := testKeys(t)
	var sum tally
	for seed := *simFirst; seed < *simFirst+seeds; seed++ {
		w := schedule(t, keys, seed, rashLook)
		sum.add(w.tally)
		for _, v := range w.violations {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
	t.Logf("%+v", sum)
}

// schedule runs one schedule and returns what became of the world.
func schedule(t *testing.T, keys *crypt.Keys, seed uint64, m mutant) *world {
	w := newWorld(keys, seed, m)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), endOfTime)
		defer cancel()
		w.run(ctx)
	})
	return w
}

// endOfTime is when a schedule is broken off that does not end by itself.
const endOfTime = 10 * 24 * time.Hour

// tally counts what happened, to show that it did.
type tally struct {
	Commits, Failed, Unknown, Evictions, Late, Crashes, Moved, Admitted, Shared, Exclusive, Yields,
	AtOnce, SeenAlive, Untold, Reboots,
	Removed, Condemned, Stale, Rewritten, Replaced, Adopted, Swept, Risen, Doubled int
}

func (a *tally) add(b tally) {
	sum, more := reflect.ValueOf(a).Elem(), reflect.ValueOf(b)
	for i := range sum.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + more.Field(i).Int())
	}
}

// world is one schedule: the store, and what is known of it by looking at every
// request, which no host can.
type world struct {
	keys    *crypt.Keys
	seed    uint64
	mutant  mutant
	writers locking.Writers

	store mem.Store
	late  sync.WaitGroup // requests that are still under way

	mu         sync.Mutex
	violations []string                 // guarded by mu
	tally      tally                    // guarded by mu
	fates      map[string]error         // what each commit answered, by label; guarded by mu
	state      *record.State            // of the chain; guarded by mu
	chunks     map[objects.ID][]int     // what each pack holds that was ever made; guarded by mu
	condemned  map[objects.ID]time.Time // when, by the store's clock; guarded by mu
	swept      map[objects.ID]bool      // condemned packs that were deleted; guarded by mu

	dice      *rand.Rand                         // guarded by mu
	running   map[locking.Process]bool           // guarded by mu
	processes map[string]locking.Process         // that ever were, by name; guarded by mu
	beaten    map[record.ParticipantID]time.Time // when each one's present beat was made; guarded by mu
}

func newWorld(keys *crypt.Keys, seed uint64, m mutant) *world {
	return &world{
		keys: keys, seed: seed, mutant: m, writers: locking.Writers(seed % 2),
		fates: map[string]error{}, state: record.NewState(keys), chunks: map[objects.ID][]int{},
		condemned: map[objects.ID]time.Time{}, swept: map[objects.ID]bool{},
		dice: rand.New(rand.NewPCG(seed, 2000)), running: map[locking.Process]bool{}, processes: map[string]locking.Process{}, beaten: map[record.ParticipantID]time.Time{},
	}
}

// fail notes that an invariant does not hold.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violate(format, args...)
}

// violate is fail for who holds mu.
func (w *world) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

func (w *world) count(f func(*tally)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.tally)
}

// open returns a chain on the store, through no network.
func (w *world) open(change ...func(*locking.Options)) *locking.Chain {
	o := locking.Options{Register: &w.store, Records: &w.store, Keys: w.keys}
	for _, f := range change {
		f(&o)
	}
	w.mutant.rule().Switch(&o)
	c, err := locking.New(o)
	if err != nil {
		panic(err)
	}
	return c
}

func (w *world) run(ctx context.Context) {
	if err := w.open().Init(ctx); err != nil {
		panic(err)
	}
	god := &host{world: w, machine: w.newMachine("heaven"), namespace: 1, name: "god", rng: rand.New(rand.NewPCG(w.seed, 1000)), reliable: true}
	god.setPolicy(ctx)
	var hosts sync.WaitGroup
	machines := [2]*machine{w.newMachine("left"), w.newMachine("right")}
	for i := range 2 + w.seed%3 {
		h := &host{world: w, name: fmt.Sprint("host", i), rng: rand.New(rand.NewPCG(w.seed, i))}
		h.machine, h.namespace = machines[h.intn(2)], uint64(1+h.intn(4)/3) // most see each other
		h.skew = time.Duration(h.intn(20*365*24)-10*365*24) * time.Hour
		hosts.Go(func() { h.live(ctx) })
	}
	hosts.Wait()
	w.late.Wait()
	if ctx.Err() != nil {
		w.fail("it did not end: somebody waits for ever")
		return
	}
	w.check(ctx)
	god.last(ctx)
}

// check looks at what the hosts left.
func (w *world) check(ctx context.Context) {
	c := w.open()
	news, err := c.Refresh(ctx)
	if err != nil {
		w.fail("the chain: %v", err)
		return
	}
	if news.State.Generation != w.state.Generation || news.State.Commit != w.state.Commit {
		w.fail("the chain is at generation %d, and %d was committed", news.State.Generation, w.state.Generation)
	}
	found := map[string]bool{}
	for at := (locking.Mark{Generation: news.Head.Generation, Commit: news.Head.Commit}); at.Generation > 0; {
		r, err := c.Record(ctx, at)
		if err != nil {
			w.fail("the chain at %s: %v", at, err)
			return
		}
		if found[r.User] {
			w.fail("%s was committed twice", r.User)
		}
		if err := w.fates[r.User]; err != nil && !errors.Is(err, locking.ErrOutcomeUnknown) {
			w.fail("%s is in the chain, but its commit answered %v", r.User, err)
		}
		found[r.User] = true
		at = locking.Mark{Generation: at.Generation - 1, Commit: r.Prev}
	}
	for label, err := range w.fates {
		if err == nil && !found[label] {
			w.fail("%s was committed and is lost", label)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wantAll(ctx, "at the end")
	w.wantUnswept(ctx, &news.Head)
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
	if err == nil {
		var next *record.Head
		if next, err = record.DecodeHead(w.keys, value); err == nil {
			w.sawLeases(by, prev, next)
			w.sawBeats(prev, next)
			w.sawCommit(ctx, by, prev, next)
		}
	}
	if err != nil {
		w.violate("%s swapped in what nobody can read: %v", by, err)
	}
	return tag, nil
}

// sawLeases holds the rules of holders and queue. It needs mu.
func (w *world) sawLeases(by string, prev, next *record.Head) {
	for _, p := range next.Holders {
		for _, q := range next.Holders {
			if p.ID != q.ID && w.exclude(p, q) {
				w.violate("%s made %s and %s hold together", by, p.Command, q.Command)
			}
		}
		if !has(prev.Holders, p.ID) {
			w.sawAdmission(prev, p)
		}
		if p.Mode == record.Exclusive {
			w.tally.Exclusive++
		}
	}
	if len(next.Holders) > 1 {
		w.tally.Shared++
	}
	for _, p := range slices.Concat(prev.Holders, prev.Queue) {
		if has(next.Holders, p.ID) || has(next.Queue, p.ID) || p.Host == by {
			continue
		}
		w.sawEviction(by, p)
		if next.Orphans != prev.Orphans+1 {
			w.violate("%s evicted %s, which is not counted", by, p.Command)
		}
	}
	if next.Unswept > next.GC {
		w.violate("%s left %d of %d condemning commits unswept", by, next.Unswept, next.GC)
	}
}

// sawAdmission wants p to be in turn, who became a holder after prev. It needs mu.
func (w *world) sawAdmission(prev *record.Head, p record.Participant) {
	w.tally.Admitted++
	for _, q := range prev.Holders {
		if w.exclude(p, q) {
			w.violate("%s was let in beside %s", p.Command, q.Command)
		}
	}
	for _, q := range prev.Queue {
		if q.ID == p.ID {
			return
		}
		if w.exclude(p, q) {
			w.violate("%s was let in before %s, who came first", p.Command, q.Command)
		}
	}
}

// exclude says whether of p and q only one may hold.
func (w *world) exclude(p, q record.Participant) bool {
	return w.writers == locking.InTurn || p.Mode == record.Exclusive || q.Mode == record.Exclusive
}

func has(list []record.Participant, id record.ParticipantID) bool {
	return slices.ContainsFunc(list, func(p record.Participant) bool { return p.ID == id })
}
