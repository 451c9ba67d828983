package locking

import (
	"context"
	"errors"
	"math"
	"time"

	"cairn/objects/record"
)

const firstBeat = 1

// Waiting says what a run waits for.
type Waiting struct {
	Ahead    record.Participant // whose turn is before the run's
	Queued   bool               // that one does not write yet: it waits, too
	Place    int                // of the run in the queue; 1: it is next
	Waited   time.Duration      // for this one
	Silent   time.Duration      // for how much of that it gave no sign of life
	Takeover time.Duration      // it is taken over when it was silent for so long
}

// wait takes the lease as soon as others let it, and returns the head in which
// it is held. The caller is inside the gate.
func (w *Writer) wait(ctx context.Context) (record.Head, error) {
	q := waiter{w: w, patience: w.patience()}
	if err := w.chain.bury(ctx, w.me()); err != nil {
		return record.Head{}, err
	}
	for {
		head, err := w.ask(ctx)
		switch {
		case err == nil && holds(head, w.me()):
			return head, nil
		case errors.Is(err, errNoPlace): // taken for dead while it waited
			if err := w.rename(); err != nil {
				return record.Head{}, err
			}
			continue
		case err != nil && !errors.Is(err, errBlocked):
			return record.Head{}, err
		}
		if err := q.untilFree(ctx); err != nil {
			return record.Head{}, w.unqueue(ctx, err)
		}
	}
}

// ask takes the lease, or a ticket, or the lease for the ticket that one has.
func (w *Writer) ask(ctx context.Context) (record.Head, error) {
	order, err := w.chain.order(ctx)
	if err != nil {
		return record.Head{}, err
	}
	if w.listed {
		return w.chain.cell.update(ctx, admit(w.me(), order, w.chain.options.Now()))
	}
	head, err := w.chain.cell.update(ctx, enter(w.participant(), order, w.patience() > 0))
	if err == nil {
		w.listed = true
		w.startHeart()
	}
	return head, err
}

// unqueue gives the ticket of a run back that does not want to wait any longer:
// others would wait for it. It returns err.
func (w *Writer) unqueue(ctx context.Context, err error) error {
	if !errors.Is(err, ErrLocked) || !w.listed {
		return err // or else Release does it
	}
	if _, leaveErr := w.chain.cell.update(ctx, leave(w.me(), 0)); leaveErr != nil {
		return errors.Join(err, leaveErr)
	}
	w.listed = false
	return err
}

// patience returns how long the run waits for one that is ahead. Wait is for
// the beginning of a run: one that has stored packs waits for as long as others
// are alive, and are known to be, rather than fail with them.
func (w *Writer) patience() time.Duration {
	if w.hasStored() {
		return math.MaxInt64
	}
	return w.run.Wait
}

// participant describes the run to others.
func (w *Writer) participant() record.Participant {
	o := &w.chain.options
	return record.Participant{
		ID: w.me(), Mode: w.run.Mode, Beat: firstBeat, TTL: o.Timing.TTL.Truncate(time.Millisecond),
		Since: o.Now(), Host: w.run.Host, User: w.run.User, Command: w.run.Command,
		BootID: o.Self.BootID, Namespace: o.Self.Namespace, PID: o.Self.PID, Start: o.Self.Start,
	}
}

// processOf returns what p says about its process.
func processOf(p record.Participant) Process {
	return Process{BootID: p.BootID, Namespace: p.Namespace, PID: p.PID, Start: p.Start}
}

// A waiter is one run's wait for its turn.
type waiter struct {
	w        *Writer
	patience time.Duration
	judge    judge

	ahead record.ParticipantID // who is waited for
	since time.Time            // when it came to be ahead
	place int                  // in the queue, when it was last seen
	deaf  time.Time            // since when no look succeeded; zero: the last one did
}

// untilFree returns nil when the lease seemed free at the last look, or the
// ticket gone. It answers a *LockedError when the wait has been long enough, and
// what keeps it from looking when that has lasted as long.
func (q *waiter) untilFree(ctx context.Context) error {
	for {
		free, err := q.look(ctx)
		switch {
		case free:
			return nil
		case err == nil:
			q.deaf = time.Time{}
		case errors.Is(err, ErrLocked), !passing(ctx, err), q.left() <= 0, q.deafFor() > q.w.run.Wait:
			return err
		}
		if err := sleep(ctx, min(q.left(), q.w.chain.cell.jitter(q.pause()))); err != nil {
			return err
		}
	}
}

// look evicts those ahead who are gone, and reports whether it is worth asking
// for the lease.
func (q *waiter) look(ctx context.Context) (free bool, err error) {
	chain := q.w.chain
	s, err := chain.cell.load(ctx)
	if err != nil {
		return false, err
	}
	q.judge.see(s)
	if q.w.listed && !takesPart(s.head, q.w.me()) {
		return true, nil
	}
	order, err := chain.order(ctx)
	if err != nil {
		return false, err
	}
	list := ahead(s.head, q.w.participant(), order)
	var there []record.Participant
	for _, p := range list {
		if !q.judge.dead(p) && chain.options.Look(processOf(p)) != Dead {
			there = append(there, p)
			continue
		}
		if _, err := chain.cell.update(ctx, evict(p)); err != nil {
			return false, err
		}
	}
	if len(there) == 0 {
		return true, nil
	}
	return false, q.patient(there[0], s.head)
}

// patient returns a *LockedError if the wait for p, the first who is ahead in h,
// has been long enough.
func (q *waiter) patient(p record.Participant, h record.Head) error {
	now := q.w.chain.options.Now()
	if q.since.IsZero() || q.ahead != p.ID {
		q.ahead, q.since = p.ID, now
	}
	q.place = place(h, q.w.me())
	what := Waiting{
		Ahead: p, Queued: !holds(h, p.ID), Place: q.place, Waited: now.Sub(q.since),
		Silent: q.judge.silent(p), Takeover: takeover(p),
	}
	if q.left() <= 0 {
		return &LockedError{Waiting: what}
	}
	if q.w.run.Waiting != nil {
		q.w.run.Waiting(what)
	}
	return nil
}

// waited returns how long the first who is ahead has been ahead.
func (q *waiter) waited() time.Duration {
	if q.since.IsZero() {
		return 0
	}
	return q.w.chain.options.Now().Sub(q.since)
}

// deafFor returns for how long no look has succeeded; the last one did not.
func (q *waiter) deafFor() time.Duration {
	now := q.w.chain.options.Now()
	if q.deaf.IsZero() {
		q.deaf = now
	}
	return now.Sub(q.deaf)
}

// left returns how long to wait yet.
func (q *waiter) left() time.Duration { return q.patience - q.waited() }

// pause returns how long to wait before the next look, at most. The next in
// the queue looks most often, and each the less often the longer the turn ahead
// of it lasts: what is lost between two turns stays in proportion to them.
func (q *waiter) pause() time.Duration {
	t := q.w.chain.options.Timing
	return min(max(q.waited()/10, t.MinPoll*time.Duration(max(1, q.place))), t.MaxPoll)
}
