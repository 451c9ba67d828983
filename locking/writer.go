package locking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/objects/record"
)

// A Run describes one run that wants to change the repository.
type Run struct {
	Mode                record.Mode // zero: record.Append
	Host, User, Command string      // for people who wait

	// Wait is how long to wait for others, counted anew when the holder ahead
	// changes; zero: not at all.
	Wait time.Duration
	// Waiting is told, before each pause, what is being waited for. nil: nobody is.
	Waiting func(Waiting)
	// Moved is called, before a commit is linked to records of others that the
	// run has not been shown, with these, oldest first. It may change the
	// commit that the run is about to make; its error stops the run. It must
	// not call the Writer. nil: what others do does not matter to this run.
	Moved func(ctx context.Context, news []Link) error
}

// A Writer is one run's turn to write. Its methods may be called concurrently;
// Release comes last, and must come.
type Writer struct {
	chain  *Chain
	run    Run
	id     record.ParticipantID
	cancel context.CancelCauseFunc // ends the run's context

	heart     errgroup.Group     // keeps the lease up
	stopHeart context.CancelFunc // ends it
	held      chan struct{}      // closed when it is to begin

	mu      sync.Mutex
	state   leaseState // guarded by mu
	orphans uint64     // of head, when the lease was taken; guarded by mu
	adopted uint64     // of these, what the next commit accounts for; guarded by mu

	gate    gate  // one at a time takes the lease, commits or releases
	beating bool  // held is closed; guarded by gate
	base    *Mark // the state that the run was shown last; nil: none; guarded by gate
}

// A leaseState is where a run stands.
type leaseState int

const (
	idle     leaseState = iota
	asked               // a swap that takes the lease may be in effect
	holding             // and the run was shown what was new
	leaving             // a swap that gives it up may be in effect
	lost                // another run took it over
	doubtful            // a commit may be in effect
	over
)

var errOver = errors.New("the run is over")

// Begin starts a run, without a request, on the state that the last Refresh
// returned. The returned context is the run's: it ends with Release or, with
// ErrLeaseLost as its cause, when another run took the lease over. When ctx
// ends the lease is not kept up any more, but it lasts long enough to commit
// what there is, with another context.
func (c *Chain) Begin(ctx context.Context, run Run) (*Writer, context.Context, error) {
	w := &Writer{chain: c, run: run, held: make(chan struct{}), gate: newGate()}
	if w.run.Mode == 0 {
		w.run.Mode = record.Append
	}
	if _, err := io.ReadFull(c.options.Random, w.id[:]); err != nil {
		return nil, nil, fmt.Errorf("begin run: read random bytes: %w", err)
	}
	base, err := c.shown(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("begin run: %w", err)
	}
	w.base = base
	ctx, w.cancel = context.WithCancelCause(ctx)
	beating, stop := context.WithCancel(ctx)
	w.stopHeart = stop
	w.heart.Go(func() error { return w.keepUp(beating) })
	return w, ctx, nil
}

// Ensure takes the lease, waiting for others as the run says; once it is held,
// Ensure costs nothing. Call it before every Put. It answers a *LockedError if
// others did not finish in time, and ErrLeaseLost if the lease was held and is
// not any more.
func (w *Writer) Ensure(ctx context.Context) error {
	if w.is(holding) {
		return nil
	}
	if err := w.gate.enter(ctx); err != nil {
		return err
	}
	defer w.gate.leave()
	return w.take(ctx)
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

// Release ends the run: it gives the lease up if it is held, and waits until
// nothing of the run is going on. A lease that cannot be given up ends by
// itself; the error says why. A run that held the lease and did not end it by
// a commit is counted among the orphans. After the first call it does nothing.
// The run's own context will not do for ctx if it has ended.
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
	var orphans uint64
	switch w.enter(over) {
	case holding, doubtful:
		orphans = 1 // nobody but the run knows what it has put
	case asked: // nothing was put without the lease
	default:
		return nil
	}
	if _, err := w.chain.cell.update(ctx, leave(w.id, orphans)); err != nil {
		return fmt.Errorf("give up the lease: %w", err)
	}
	return nil
}

// take takes the lease unless it is held, and shows the run what is new. The
// caller is inside the gate.
func (w *Writer) take(ctx context.Context) error {
	switch {
	case w.is(holding):
		return nil
	case w.is(lost):
		return ErrLeaseLost
	case w.is(doubtful):
		return ErrOutcomeUnknown
	case w.is(over):
		return errOver
	}
	w.enter(asked)
	head, err := w.wait(ctx)
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	w.setOrphans(head.Orphans)
	if !w.beating {
		w.beating = true
		close(w.held)
	}
	if _, err := w.show(ctx); err != nil {
		return err
	}
	w.enter(holding)
	return nil
}

// show brings the run up to the head last known, and returns the state there.
// The caller is inside the gate.
func (w *Writer) show(ctx context.Context) (*record.State, error) {
	state, err := w.chain.upToHead(ctx)
	if err != nil {
		return nil, err
	}
	at := stateMark(state)
	if w.base != nil && *w.base != at && w.run.Moved != nil {
		news, err := w.chain.newsSince(ctx, *w.base, state)
		if err != nil {
			return nil, fmt.Errorf("read what others committed since %s: %w", *w.base, err)
		}
		if err := w.run.Moved(ctx, news); err != nil {
			return nil, err
		}
	}
	w.base = &at
	return state, nil
}

// keepUp beats from when the lease is taken until ctx ends or it is lost.
func (w *Writer) keepUp(ctx context.Context) error {
	select {
	case <-w.held:
	case <-ctx.Done():
		return nil
	}
	ttl := w.chain.options.Timing.TTL
	pause := ttl / 3
	for n := uint64(firstBeat + 1); ; {
		if sleep(ctx, pause) != nil {
			return nil
		}
		_, err := w.chain.cell.update(ctx, beat(w.id, n))
		switch {
		case err == nil:
			n, pause = n+1, ttl/3
		case errors.Is(err, ErrLeaseLost):
			w.lose()
			return nil
		default:
			// Held or not, is for head to say: what matters is to ask again.
			pause = ttl / 30
		}
	}
}

// setOrphans notes how many orphans are left to account for.
func (w *Writer) setOrphans(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orphans, w.adopted = n, 0
}

// accounted returns how many orphans the next commit accounts for.
func (w *Writer) accounted() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.adopted
}

// lose ends the run's context, unless the run itself gave the lease up.
func (w *Writer) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == asked || w.state == holding {
		w.state = lost
		w.cancel(ErrLeaseLost)
	}
}

// is reports whether the run stands at s.
func (w *Writer) is(s leaseState) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state == s
}

// enter moves the run to s, and returns where it stood. What is lost or
// doubtful stays so until it is over.
func (w *Writer) enter(s leaseState) (was leaseState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was = w.state
	if s == over || was < lost {
		w.state = s
	}
	return was
}
