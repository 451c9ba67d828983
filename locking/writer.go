package locking

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/objects/record"
)

// A Run describes one run that wants to change the repository.
type Run struct {
	Mode                record.Mode // zero: record.Append
	Host, User, Command string      // for people who wait

	// Wait is how long to wait for others before anything was stored, counted
	// anew when the one ahead changes; zero: not at all. A run that has
	// stored packs waits for as long as others are alive.
	Wait time.Duration
	// Waiting is told, before each pause, what is being waited for. nil: nobody is.
	Waiting func(Waiting)

	// Base is the state that the run counts on: the one its index was loaded
	// at. Zero: the state that the last Refresh returned.
	Base Mark
	// Moved is called with what the run has not been shown yet: after the lease
	// was taken, and before a commit is linked to it. No commit is made without
	// it. Where packs were condemned the lease is held meanwhile, so that the
	// call may store packs, and it must make sure that the commit the run is
	// about to make names no chunk that no live pack holds: it may change
	// that commit. Its error stops the call that led to it, and it is called
	// again by the next. Of the Writer it may call Ensure only, which does not
	// wait then. news.Records
	// lead from news.Since to news.State; Since is not what the run was shown
	// last if records in between are gone, or if it never was shown anything.
	//
	// nil is for runs that count on no chunk: such a run cannot commit archives
	// or packs once something was condemned (ErrCondemned).
	Moved func(ctx context.Context, news News) error
}

// A Writer is one run's turn to write. Its methods may be called concurrently;
// Release comes last, and must come.
type Writer struct {
	chain  *Chain
	run    Run
	cancel context.CancelCauseFunc // ends the run's context

	heart     errgroup.Group     // keeps lease and ticket up, and removes records that were lost
	stopHeart context.CancelFunc // ends it
	listing   chan struct{}      // closed when it is to begin

	mu      sync.Mutex
	id      record.ParticipantID // guarded by mu; changes inside the gate only
	state   leaseState           // guarded by mu
	showing bool                 // Moved is running; guarded by mu
	stored  bool                 // Ensure allowed the run to store packs; guarded by mu
	orphans uint64               // of head, when the lease was taken; guarded by mu
	adopted uint64               // of these, what the next commit accounts for; guarded by mu
	turns   Turns                // guarded by mu
	turn    time.Time            // when the present one began; guarded by mu

	gate    gate  // one at a time takes the lease, commits or releases
	beating bool  // listing is closed; guarded by gate
	listed  bool  // id was seen among the holders or in the queue; guarded by gate
	base    *Mark // the state that the run was shown last; nil: none; guarded by gate
	blind   bool  // something was condemned, and the run did not look; guarded by gate
}

// A leaseState is where a run stands.
type leaseState int

const (
	idle     leaseState = iota
	asked               // a swap that takes the lease or a ticket may be in effect
	holding             // and the run was shown what was new, or is being shown it
	leaving             // a swap that gives it up may be in effect
	evicted             // another run took it over; the run asks for it anew
	lost                // another run took it over, and the run cannot go on
	doubtful            // a commit may be in effect
	over
)

var errOver = errors.New("the run is over")

// Begin starts a run, without a request. The returned context is the run's: it
// ends with Release.
//
// A run whose lease another run takes over, because it was paused or cut off,
// goes on: it queues for the lease again, and is shown what was committed
// meanwhile (Run.Moved). Only an exclusive run cannot, for it counts on nobody
// having changed anything: its context ends with ErrLeaseLost as the cause.
//
// When ctx ends the lease is not kept up any more, but it lasts long enough to
// commit what there is, with another context.
func (c *Chain) Begin(ctx context.Context, run Run) (*Writer, context.Context, error) {
	w := &Writer{chain: c, run: run, listing: make(chan struct{}), gate: newGate()}
	if w.run.Mode == 0 {
		w.run.Mode = record.Append
	}
	if err := w.rename(); err != nil {
		return nil, nil, fmt.Errorf("begin run: %w", err)
	}
	base, err := c.shown(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("begin run: %w", err)
	}
	w.base = base
	if run.Base != (Mark{}) {
		w.base = &run.Base
	}
	ctx, w.cancel = context.WithCancelCause(ctx)
	beating, stop := context.WithCancel(ctx)
	w.stopHeart = stop
	w.heart.Go(func() error { return w.keepUp(beating) })
	return w, ctx, nil
}

// Ensure takes the lease, waiting for others as the run says; once it is held,
// Ensure costs nothing. Call it before every Put: after a commit with Yield, or
// when another run took the lease over, it waits for the next turn. It answers
// a *LockedError if others did not finish in time, and to an exclusive run
// ErrLeaseLost if the lease was held and is not any more.
func (w *Writer) Ensure(ctx context.Context) error {
	if w.allowed() {
		return nil
	}
	if err := w.gate.enter(ctx); err != nil {
		return err
	}
	defer w.gate.leave()
	if err := w.take(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored = true
	return nil
}

// Wanted reports whether, as far as is known, somebody waits for the lease that
// the run holds: whether a commit with Yield would give it up. It makes no
// request, and learns of it within a third of the ttl, from the heart.
func (w *Writer) Wanted(ctx context.Context) bool {
	if !w.is(holding) {
		return false
	}
	head, err := w.chain.cell.last(ctx)
	if err != nil {
		return false
	}
	order, err := w.chain.order(ctx)
	return err == nil && wanted(head, w.participant(), order)
}

// Orphans returns how many runs may have left durable packs that no commit
// names, as of the moment when the lease was taken.
func (w *Writer) Orphans() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.orphans
}

// Adopted says that the next commit names every pack that the runs counted by
// Orphans have left, or that there is none, so that they are not counted
// any more when it takes effect.
func (w *Writer) Adopted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.adopted = w.orphans
}

// Release ends the run: it gives the lease or the ticket up, and waits until
// nothing of the run is going on. What cannot be given up ends by itself; the
// error says why. A run that was allowed to store packs and did not end by a
// commit that gives up the lease is counted among the orphans. After the first
// call it does nothing. The run's own context will not do for ctx if it has
// ended.
func (w *Writer) Release(ctx context.Context) error {
	defer w.cancel(nil)
	w.stopHeart()
	if err := w.heart.Wait(); err != nil {
		return err
	}
	if err := w.gate.enter(ctx); err != nil {
		return fmt.Errorf("give up the lease: %w", err)
	}
	defer w.gate.leave()
	switch w.enter(over) {
	case asked, holding, leaving, doubtful:
	default:
		return nil
	}
	var orphans uint64
	if w.hasStored() {
		orphans = 1 // nobody but the run knows what
	}
	if _, err := w.chain.cell.update(ctx, leave(w.me(), orphans)); err != nil {
		return fmt.Errorf("give up the lease: %w", err)
	}
	return nil
}

// take takes the lease unless it is held, and shows the run what is new. The
// caller is inside the gate.
func (w *Writer) take(ctx context.Context) error {
	if w.is(holding) {
		return nil
	}
	if err := w.ended(); err != nil {
		return err
	}
	if w.is(evicted) {
		if err := w.rename(); err != nil {
			return err
		}
	}
	w.enter(asked)
	begun := w.chain.options.Now()
	head, err := w.wait(ctx)
	w.waited(begun)
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	w.setOrphans(head.Orphans)
	// Moved may have to store packs, and is allowed to.
	w.enter(holding)
	if _, err := w.show(ctx); err != nil {
		w.withdraw()
		return err
	}
	return nil
}

// show brings the run up to the head last known, and returns the state there.
// The caller is inside the gate.
func (w *Writer) show(ctx context.Context) (*record.State, error) {
	news, err := w.news(ctx)
	if err != nil {
		return nil, err
	}
	at := stateMark(news.State)
	switch {
	case w.base != nil && *w.base == at, w.chain.options.mutants.unshown:
	case w.run.Moved == nil:
		gap := w.base == nil || news.Since != *w.base
		w.blind = w.blind || condemns(news.Records) || gap && news.State.Condemned.Len() > 0
	default:
		if err := w.moved(ctx, news); err != nil {
			return nil, err
		}
	}
	w.base = &at
	return news.State, nil
}

// news returns what is new to the run at the head last known. The caller is
// inside the gate.
func (w *Writer) news(ctx context.Context) (News, error) {
	news, err := w.chain.upToHead(ctx)
	if err != nil {
		return News{}, err
	}
	if w.base == nil {
		news.Since, news.Records = stateMark(news.State), nil
		return news, nil
	}
	news.Since, news.Records, err = w.chain.since(ctx, *w.base, news.State)
	if err != nil {
		return News{}, fmt.Errorf("read what others committed since %s: %w", *w.base, err)
	}
	return news, nil
}
