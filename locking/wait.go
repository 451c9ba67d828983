package locking

import (
	"context"
	"errors"
	"time"

	"cairn/objects/record"
)

const firstBeat = 1

// Waiting says what a run waits for.
type Waiting struct {
	Holder   record.Participant
	Waited   time.Duration // for this holder
	Silent   time.Duration // for how much of that it gave no sign of life
	Takeover time.Duration // it is taken over when it was silent for so long
}

// wait takes the lease as soon as others let it, and returns the head in which
// it is held.
func (w *Writer) wait(ctx context.Context) (record.Head, error) {
	cell, me := w.chain.cell, w.participant()
	q := waiter{chain: w.chain, run: w.run, id: w.id, poll: 2 * w.chain.options.Timing.MinPoll}
	for {
		head, err := cell.update(ctx, take(me))
		if !errors.Is(err, errBlocked) {
			return head, err
		}
		if err := q.untilFree(ctx); err != nil {
			return record.Head{}, err
		}
	}
}

// participant describes the run to others.
func (w *Writer) participant() record.Participant {
	o := &w.chain.options
	return record.Participant{
		ID: w.id, Mode: w.run.Mode, Beat: firstBeat, TTL: o.Timing.TTL.Truncate(time.Millisecond),
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
	chain *Chain
	run   Run
	id    record.ParticipantID
	judge judge
	poll  time.Duration // the next pause, at most

	ahead record.ParticipantID // who is waited for
	since time.Time            // when it came to be ahead
}

// untilFree returns nil when the lease seemed free at the last look, and takes
// it from those who are gone.
func (q *waiter) untilFree(ctx context.Context) error {
	for {
		s, err := q.chain.cell.load(ctx)
		if err != nil {
			if !passing(ctx, err) || q.left() <= 0 {
				return err
			}
		} else {
			q.judge.see(s)
			free, err := q.clear(ctx, s.head)
			if free || err != nil {
				return err
			}
			if err := q.patient(s); err != nil {
				return err
			}
		}
		if err := sleep(ctx, min(q.left(), q.chain.cell.jitter(q.poll))); err != nil {
			return err
		}
		q.poll = min(q.poll+q.poll/2, q.chain.options.Timing.MaxPoll)
	}
}

// clear evicts the holders ahead that are gone, and reports whether nobody
// else seems to be ahead.
func (q *waiter) clear(ctx context.Context, head record.Head) (free bool, err error) {
	ahead := blockers(head, q.id)
	gone := 0
	for _, p := range ahead {
		if !q.judge.dead(p) && q.chain.options.Look(processOf(p)) != Dead {
			continue
		}
		if _, err := q.chain.cell.update(ctx, evict(p)); err != nil {
			return false, err
		}
		gone++
	}
	return gone == len(ahead), nil
}

// patient returns a *LockedError if the wait for the first who is ahead has
// been long enough.
func (q *waiter) patient(s sighting) error {
	p := blockers(s.head, q.id)[0]
	now := q.chain.options.Now()
	if q.since.IsZero() || q.ahead != p.ID {
		q.ahead, q.since = p.ID, now
	}
	what := Waiting{Holder: p, Waited: now.Sub(q.since), Silent: q.judge.silent(p), Takeover: takeover(p)}
	if q.left() <= 0 {
		return &LockedError{Waiting: what}
	}
	if q.run.Waiting != nil {
		q.run.Waiting(what)
	}
	return nil
}

// left returns how long to wait yet.
func (q *waiter) left() time.Duration {
	if q.since.IsZero() {
		return q.run.Wait
	}
	return q.run.Wait - q.chain.options.Now().Sub(q.since)
}
