// Package compact frees the room of what no archive needs.
//
//	mark ─ weigh ─┬ nothing of a pack is needed ───────────────┐
//	              └ little of it is: move that to new packs ───┴ condemn … sweep, a day later
//
// Marking goes through the trees of all archives, reading what they share once,
// and sets a bit for each chunk of the index. Moving copies sealed frames as
// they are, after the pack they lie in was read whole and has the hash that is
// its name; a frame that is mostly dead is opened and what is alive of it framed
// anew. A commit then names the new packs and condemns the old ones, and is
// accepted only if the marks cover all that was committed before it.
//
// Condemned packs stay in the store for locking.Grace, so that backups and
// restores under way do not miss them, and are deleted by a later run.
//
// The work is done in batches, a commit each: an interruption at any moment
// loses one batch, and others who want to write have their turn between two.
//
// Memory: a bit of marks for each chunk, some 200 bytes for each pack; for each
// worker a read (Options.ReadMax) and a frame; and the packs of package packer.
package compact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cairn/locking"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// DefaultMaxUnused is how much of a repository may stay unused, percent.
const DefaultMaxUnused = 5

// Options say how to compact. Now is required.
type Options struct {
	// MaxUnused is how much of the repository may stay unused because it lies in
	// packs that are needed in part, percent: plan says which of them go.
	// 0: DefaultMaxUnused; below zero: nothing may; from 100 on none is rewritten.
	MaxUnused float64

	DryRun     bool
	SweepNow   bool // delete without waiting for locking.Grace; see Run
	Now        func() time.Time
	Workers    int           // packs read at the same time; 0: one for each processor, and one for each upload at least
	Uploads    int           // packs stored at the same time; 0: 1
	PackTarget int           // bytes of a pack of data; 0: 8 MiB
	ReadMax    int64         // bytes of a pack that one read asks for, unless a single frame is longer; 0: 2 MiB
	Batch      int64         // bytes of packs that a commit moves; 0: 256 MiB
	Every      time.Duration // how long packs are moved until a commit says so; 0: 5 minutes
	Level      pack.Level    // 0: pack.Fastest
	JoinAbove  int           // small packs that Join leaves alone; 0: 1000

	Warn     func(error) // what is left as it is, and why; called one at a time; may be nil
	Progress *Progress   // counts as the run goes; may be nil
}

// Progress counts what a run has done so far.
type Progress struct {
	Archives, ArchivesTotal atomic.Uint64 // marked
	Packs, PacksTotal       atomic.Uint64 // condemned, of those that are to be
	Read, ReadTotal         atomic.Uint64 // bytes of packs; the total is about what is needed of them
	Written                 atomic.Uint64 // bytes of packs
	Swept, SweptTotal       atomic.Uint64 // packs
}

// Summary says what a run did, or would do. All lengths are in bytes of the
// store.
type Summary struct {
	Packs, Bytes uint64 // that were there when it began

	Condemned, CondemnedBytes uint64 // packs, all in all
	Moved                     uint64 // of these, whose rest had to be moved
	New, NewBytes             uint64 // packs that it was moved to
	Swept, SweptBytes         uint64 // packs that were deleted
	Later, LaterBytes         uint64 // condemned packs that are still there
	Unused                    uint64 // bytes, about, that nothing needs of packs that are needed in part and stay
	Kept                      uint64 // packs that were to go and did not: they could not be read, or were needed again
	Interrupted               bool
}

// ErrInUse says that SweepNow is not possible: somebody writes, or waits for it.
var ErrInUse = errors.New("another run is writing to the repository, or waits for its turn: it may still count on condemned packs; try again when it is over, or leave --now out")

// errRestart says that the marks are worth nothing any more.
var errRestart = errors.New("other runs removed packs meanwhile")

// compaction is one run.
type compaction struct {
	o     Options
	repo  *repository.Repository
	stop  context.Context
	sum   Summary
	count *Progress
	taken map[objects.ID]bool // packs that were taken over

	warning sync.Mutex // serialises Options.Warn; guards sum.Kept while packs are moved
}

// Run frees what it can. When stop ends it commits what it has done so far, and
// ends; when ctx ends, at once. Both lose nothing: the next run goes on.
//
// With SweepNow, condemned packs are deleted at once, unless somebody holds the
// lease or waits for it (ErrInUse). Backups that have not come that far yet, and
// those that were taken over from, then read files again; restores under way
// look again for what was moved.
func Run(ctx, stop context.Context, repo *repository.Repository, o Options) (Summary, error) {
	if err := o.complete(); err != nil {
		return Summary{}, err
	}
	c := &compaction{o: o, repo: repo, stop: stop, count: o.Progress, taken: map[objects.ID]bool{}}
	err := c.run(ctx)
	c.sum.Interrupted = stop.Err() != nil
	return c.sum, err
}

func (o *Options) complete() error {
	setDefault(&o.MaxUnused, DefaultMaxUnused)
	setDefault(&o.Uploads, 1)
	setDefault(&o.Workers, max(runtime.GOMAXPROCS(0), o.Uploads))
	setDefault(&o.PackTarget, 8<<20)
	setDefault(&o.ReadMax, 2<<20)
	setDefault(&o.Batch, 256<<20)
	setDefault(&o.Every, 5*time.Minute)
	setDefault(&o.Level, pack.Fastest)
	setDefault(&o.JoinAbove, 1000)
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	return nil
}

func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func (c *compaction) run(ctx context.Context) error {
	grace := locking.Grace
	if c.o.SweepNow {
		if err := c.unused(ctx); err != nil {
			return err
		}
		grace = 0
	}
	for p := range c.repo.State().Packs.All() {
		c.sum.Packs++
		c.sum.Bytes += p.Length
	}
	// What an earlier run condemned goes first: it makes room for this one.
	if err := c.sweep(ctx, grace); err != nil {
		return err
	}
	if err := c.condemn(ctx); err != nil || c.o.DryRun {
		return err
	}
	if grace == 0 && c.sum.Condemned > 0 {
		return c.sweep(ctx, grace)
	}
	c.sum.Later += c.sum.Condemned
	c.sum.LaterBytes += c.sum.CondemnedBytes
	return nil
}

// condemn marks, moves and condemns, from the beginning again if others who do
// the same come in between.
func (c *compaction) condemn(ctx context.Context) error {
	const tries = 4
	for n := 1; ; n++ {
		err := c.pass(ctx)
		if !errors.Is(err, errRestart) || n == tries {
			return err
		}
		if err := c.repo.Refresh(ctx); err != nil {
			return err
		}
	}
}

// pass condemns what can be, once.
func (c *compaction) pass(ctx context.Context) error {
	if err := c.takeOver(ctx); err != nil {
		return err
	}
	if err := c.repo.Sync(ctx); err != nil {
		return err
	}
	m, err := c.mark(ctx)
	if err != nil {
		return err
	}
	p, err := c.plan(m)
	if err != nil {
		return err
	}
	if c.o.DryRun {
		p.estimate(&c.sum)
		return nil
	}
	defer func() { c.sum.Unused = p.stay() }()
	c.expect(p)
	for p.len() > 0 && c.stop.Err() == nil {
		if err := c.batch(ctx, m, p); err != nil {
			return err
		}
	}
	if err := c.repo.Refresh(ctx); err != nil {
		return err
	}
	return c.repo.Sync(ctx)
}

// takeOver makes what interrupted runs have stored a part of the repository, before
// anything is marked: what they have moved need not be moved again. All of it stays
// this time, for backups may be among them, that come back and go on from there.
func (c *compaction) takeOver(ctx context.Context) (err error) {
	if c.o.DryRun || c.stop.Err() != nil {
		return nil
	}
	if left, err := c.orphaned(ctx); err != nil || !left {
		return err
	}
	w, ctx, err := c.repo.Begin(ctx, c.stop)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.End(context.WithoutCancel(ctx))) }()
	if err := w.Commit(ctx, &record.Commit{Made: c.o.Now()}); err != nil {
		return err
	}
	for _, id := range w.Adopted() {
		c.taken[id] = true
	}
	return nil
}

// orphaned reports whether runs that are over may have left packs.
func (c *compaction) orphaned(ctx context.Context) (bool, error) {
	head := c.repo.Head()
	if head.Orphans > 0 || len(head.Holders) == 0 {
		return head.Orphans > 0, nil
	}
	table, err := c.repo.Watch().Look(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(table.Holders, func(h locking.Standing) bool { return h.Process == locking.Dead }), nil
}

// expect says what there is to do.
func (c *compaction) expect(p *plan) {
	c.count.PacksTotal.Store(uint64(p.len()))
	var bytes float64
	for _, m := range slices.Concat(p.move, p.join) {
		bytes += float64(m.Length) - m.freed()
	}
	c.count.Read.Store(0)
	c.count.ReadTotal.Store(uint64(bytes))
}

// left counts a pack that was to go and stays.
func (c *compaction) left(err error) {
	c.warning.Lock()
	defer c.warning.Unlock()
	c.sum.Kept++
	c.o.Warn(err)
}

// entropy tells this run's packs from those of a machine cloned from this one.
func (c *compaction) entropy() []byte {
	host, _ := os.Hostname()
	return fmt.Appendf(nil, "%s %d %d", host, os.Getpid(), c.o.Now().UnixNano())
}
