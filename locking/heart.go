package locking

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cairn/objects/record"
)

// startHeart lets keepUp begin. The caller is inside the gate.
func (w *Writer) startHeart() {
	if !w.beating {
		w.beating = true
		close(w.listing)
	}
}

// keepUp beats for the lease or the ticket from when there is one until ctx
// ends, and notices when another run took it over.
func (w *Writer) keepUp(ctx context.Context) error {
	select {
	case <-w.listing:
	case <-ctx.Done():
		return nil
	}
	ttl := w.chain.options.Timing.TTL
	pause := ttl / 3
	others := vigil{chain: w.chain}
	for n := uint64(firstBeat + 1); ; {
		if sleep(ctx, pause) != nil {
			return nil
		}
		pause = ttl / 3
		id, listed := w.standing()
		if !listed {
			continue
		}
		_, err := w.chain.cell.update(ctx, beat(id, n))
		switch {
		case err == nil:
			n++ // over all names: no (name, beat) comes twice
		case errors.Is(err, errNoPlace):
			w.gone(id)
		default:
			// Held or not, is for head to say: what matters is to ask again.
			pause = ttl / 30
			continue
		}
		_ = others.look(ctx, id) // what fails is done at the next beat, or by others
	}
}

// standing returns the run's name, and whether it may stand in the table.
func (w *Writer) standing() (id record.ParticipantID, listed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.id, w.state == asked || w.state == holding
}

// gone notes that id, which held the lease if it is the run's name still, was
// taken out of the table by another run. A ticket that is gone is for the one
// who waits to notice.
func (w *Writer) gone(id record.ParticipantID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.id != id || w.state != holding {
		return
	}
	if w.run.Mode == record.Append {
		w.stand(evicted)
	} else {
		w.stand(lost)
		w.cancel(ErrLeaseLost)
	}
}

// rename gives the run a name that nobody knows: one that was taken out of the
// table never comes back to it. The caller is inside the gate.
func (w *Writer) rename() error {
	var id record.ParticipantID
	if _, err := io.ReadFull(w.chain.options.Random, id[:]); err != nil {
		return fmt.Errorf("name the run: read random bytes: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.id, w.listed = id, false
	return nil
}

// me returns the run's name.
func (w *Writer) me() record.ParticipantID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.id
}

// allowed reports whether the run may store packs now, and remembers if so:
// while it holds the lease, and while it is being shown what is new, even if it
// is evicted in the middle of that.
func (w *Writer) allowed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	allowed := w.state == holding || w.showing
	w.stored = w.stored || allowed
	return allowed
}

// moved calls Run.Moved.
func (w *Writer) moved(ctx context.Context, news News) error {
	show := func(showing bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.showing = showing
	}
	show(true)
	defer show(false)
	return w.run.Moved(ctx, news)
}

// hasStored reports whether the run may have stored packs.
func (w *Writer) hasStored() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored
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

// is reports whether the run stands at s.
func (w *Writer) is(s leaseState) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state == s
}

// ended returns why the run cannot go on, nil if it can.
func (w *Writer) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.state {
	case lost:
		return ErrLeaseLost
	case doubtful:
		return ErrOutcomeUnknown
	case over:
		return errOver
	}
	return nil
}

// enter moves the run to s, and returns where it stood. What is lost or
// doubtful stays so until it is over.
func (w *Writer) enter(s leaseState) (was leaseState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was = w.state
	if s == over || was < lost {
		w.stand(s)
	}
	return was
}

// withdraw notes that a run that holds the lease was not shown what is new.
func (w *Writer) withdraw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == holding {
		w.stand(asked)
	}
}
