package locking

import (
	"context"
	"errors"
	"fmt"

	"cairn/objects/record"
)

// After says what a commit does with the lease.
type After int

// What becomes of the lease in the swap that makes a commit take effect.
const (
	Release After = iota // it is given up: the run has named all it has put
	Keep                 // it is kept: more will follow
)

// Commit makes c take effect, after everything that c names is durable. It
// sets Generation, Prev and Snapshot itself, in a copy. When it returns nil, c
// is part of the repository for good. Without a lease it commits if nobody
// else holds one, and takes it otherwise.
//
// ErrLeaseLost says that c did not take effect and never will, and that the run
// cannot go on. ErrOutcomeUnknown says that c may have taken effect, and the
// run cannot go on either. After any other error it did not, and never will: the
// run may try again.
func (w *Writer) Commit(ctx context.Context, c *record.Commit, after After) error {
	if err := w.gate.enter(ctx); err != nil {
		return err
	}
	defer w.gate.leave()
	for {
		err := w.tryCommit(ctx, c, after)
		if !errors.Is(err, errMoved) && !errors.Is(err, errBlocked) {
			return err
		}
	}
}

// tryCommit links c to the head last known. It answers errMoved or errBlocked
// when that is not the head any more; then nothing of the try is left.
func (w *Writer) tryCommit(ctx context.Context, c *record.Commit, after After) error {
	holder, err := w.mayCommit(ctx)
	if err != nil {
		return err
	}
	state, err := w.show(ctx)
	if err != nil {
		return err
	}
	link, err := w.chain.records.put(ctx, following(state, c))
	if err != nil {
		return err
	}
	// The record is durable here: a crash leaves it unnamed, or in effect.
	step := advance{
		holder: holder, from: stateMark(state), to: link.At, adopted: w.accounted(), after: after,
		contents: contents{snapshot: link.Record.Snapshot != nil, condemns: len(c.Condemned) > 0},
	}
	if holder == w.id && after == Release {
		w.enter(leaving)
	}
	_, err = w.chain.cell.update(ctx, step.apply)
	if err != nil {
		err = w.unapplied(ctx, link, err)
	}
	if err != nil {
		w.failed(holder, err)
		return err
	}
	w.setOrphans(w.Orphans() - step.adopted)
	w.committed(ctx, link, after)
	return nil
}

// mayCommit makes sure that, as far as is known, the run is allowed to commit,
// and returns as which holder: as none, if it never took a lease and nobody
// holds one. What it returns binds the commit: a run that is evicted from here
// on does not become one without a lease.
func (w *Writer) mayCommit(ctx context.Context) (record.ParticipantID, error) {
	head, err := w.chain.cell.last(ctx)
	if err != nil {
		return record.ParticipantID{}, err
	}
	if w.is(idle) && len(head.Holders) == 0 {
		return record.ParticipantID{}, nil
	}
	return w.id, w.take(ctx)
}

// failed notes what a commit as holder answered.
func (w *Writer) failed(holder record.ParticipantID, err error) {
	if holder == w.id {
		w.enter(holding)
	}
	switch {
	case errors.Is(err, ErrLeaseLost):
		w.lose()
	case errors.Is(err, ErrOutcomeUnknown):
		// Committing the same again might commit it twice.
		w.enter(doubtful)
	}
}

// following returns a copy of c that follows state.
func following(state *record.State, c *record.Commit) *record.Commit {
	next := *c
	next.Generation, next.Prev, next.Snapshot = state.Generation+1, state.Commit, nil
	if next.Generation%record.SnapshotEvery == 0 {
		next.Snapshot = state.SnapshotAfter(&next)
	}
	return &next
}

// unapplied finds out what became of link, whose swap answered err. It returns
// nil if the link is in the chain all the same; errMoved, errBlocked and
// ErrLeaseLost mean that it is not and never will be (PROTOCOL.md §5).
func (w *Writer) unapplied(ctx context.Context, link Link, err error) error {
	if !errors.Is(err, errMoved) && !errors.Is(err, errBlocked) && !errors.Is(err, ErrLeaseLost) {
		return inDoubt(err)
	}
	news, lookErr := w.chain.Refresh(ctx)
	if lookErr != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, lookErr)
	}
	since, lookErr := w.chain.newsSince(ctx, link.prev(), news.State)
	if lookErr != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, lookErr)
	}
	if len(since) > 0 && since[0].At == link.At {
		return nil
	}
	// The register was seen with another tag than any of the swaps was bound
	// to, and the chain without the record: nobody will ever link to it.
	w.chain.records.drop(ctx, link.At)
	return err
}

// committed notes that link is in the chain.
func (w *Writer) committed(ctx context.Context, link Link, after After) {
	// The commit counts, even if the run was cancelled meanwhile; what cannot
	// be noted here is read again by the next refresh.
	if err := w.chain.extend(context.WithoutCancel(ctx), link); err != nil {
		w.chain.options.Warn(fmt.Errorf("remember %s: %w", link.At, err))
	}
	w.base = &link.At
	if after == Release {
		w.enter(over)
		w.stopHeart()
	}
}
