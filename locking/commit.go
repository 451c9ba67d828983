package locking

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/objects/record"
)

// After says what a commit does with the lease.
type After int

// What becomes of the lease in the swap that makes a commit take effect.
const (
	Release After = iota // it is given up: the run has named all it has put
	Keep                 // it is kept: more will follow
	Yield                // it is kept, unless somebody waits: then it is given up for the last place in the queue
)

// Commit makes c take effect, after everything that c names is durable. It
// sets Generation, Prev and Snapshot itself, in a copy. When it returns nil, c
// is part of the repository for good. Without a lease it commits if nobody
// else holds one or waits for it, and takes it otherwise. When the lease was
// taken over by another run, it waits for it again.
//
// ErrCondemned says that c names what was condemned, and ErrLeaseLost, which
// only an exclusive run gets, that another run took the lease over: c did not
// take effect and never will, and the run cannot go on. ErrOutcomeUnknown says
// that c may have taken effect, and the run cannot go on either. After any
// other error it did not, and never will: the run may try again.
func (w *Writer) Commit(ctx context.Context, c *record.Commit, after After) error {
	if len(c.Condemned) > 0 {
		return errors.New("commit: only Condemn condemns")
	}
	if err := w.gate.enter(ctx); err != nil {
		return err
	}
	defer w.gate.leave()
	for {
		err := w.tryCommit(ctx, c, after)
		switch {
		case errors.Is(err, errMoved), errors.Is(err, errBlocked):
		case errors.Is(err, errNoPlace) && w.is(evicted):
		case errors.Is(err, errNoPlace):
			return ErrLeaseLost
		default:
			return err
		}
	}
}

// tryCommit links c to the head last known. It answers errMoved, errBlocked or
// errNoPlace when that is not the head any more, or the run's turn is over;
// then nothing of the try is left.
func (w *Writer) tryCommit(ctx context.Context, c *record.Commit, after After) error {
	leased, err := w.mayCommit(ctx)
	if err != nil {
		return err
	}
	// What binds the commit: a run that is evicted from here on has another
	// name when it is back.
	me := w.participant()
	state, err := w.show(ctx)
	if err != nil {
		return err
	}
	if err := w.countsOnDead(c, state); err != nil {
		return err
	}
	return w.link(ctx, attempt{commit: c, state: state, me: me, leased: leased, after: after})
}

// mayCommit makes sure that, as far as is known, the run is allowed to commit:
// as a holder, or without a lease if nobody is ahead of it. What was condemned
// is looked at as a holder, for the run may have to store something anew.
func (w *Writer) mayCommit(ctx context.Context) (leased bool, err error) {
	if !w.is(idle) {
		return true, w.take(ctx)
	}
	news, err := w.news(ctx)
	if err != nil {
		return false, err
	}
	if len(ahead(news.Head, w.participant(), writersOf(news.State))) == 0 && !condemns(news.Records) {
		return false, nil
	}
	return true, w.take(ctx)
}

// condemns reports whether one of links condemns packs.
func condemns(links []Link) bool {
	return slices.ContainsFunc(links, func(l Link) bool { return len(l.Record.Condemned) > 0 })
}

// countsOnDead returns ErrCondemned if c, to be linked to state, adds a pack
// that is dead, or archives of a run that has not looked.
func (w *Writer) countsOnDead(c *record.Commit, state *record.State) error {
	if m := w.chain.options.mutants; m.unshown || m.readmits {
		return nil
	}
	if w.blind && len(c.Archives)+len(c.Packs) > 0 {
		return ErrCondemned
	}
	for _, p := range c.Packs {
		if state.Condemned.Has(p.ID) {
			return fmt.Errorf("commit pack %s: %w", p.ID, ErrCondemned)
		}
	}
	return nil
}

// An attempt is to link a commit to one state.
type attempt struct {
	commit *record.Commit
	state  *record.State
	me     record.Participant
	leased bool
	after  After
}

// link puts the record and swaps head.
func (w *Writer) link(ctx context.Context, a attempt) error {
	link, err := w.chain.records.put(ctx, following(a.state, a.commit))
	if err != nil {
		return err
	}
	// The record is durable here: a crash leaves it unnamed, or in effect.
	step := advance{
		run: a.me, leased: a.leased, order: writersOf(a.state), from: stateMark(a.state), to: link.At,
		adopted: w.accounted(), after: a.after, unfenced: w.chain.options.mutants.unfenced,
		contents: contents{snapshot: link.Record.Snapshot != nil, condemns: len(a.commit.Condemned) > 0},
	}
	if a.leased && a.after == Release {
		w.enter(leaving)
	}
	head, err := w.chain.cell.update(ctx, step.apply)
	if err != nil {
		err = w.unapplied(ctx, link, err)
	}
	if err != nil {
		w.failed(a, err)
		return err
	}
	w.setOrphans(w.Orphans() - step.adopted)
	w.committed(ctx, link, a, head)
	return nil
}

// failed notes what a commit answered.
func (w *Writer) failed(a attempt, err error) {
	if a.leased {
		w.enter(holding)
	}
	switch {
	case errors.Is(err, errNoPlace):
		w.gone(a.me.ID)
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
// errNoPlace mean that it is not and never will be (PROTOCOL.md §5).
func (w *Writer) unapplied(ctx context.Context, link Link, err error) error {
	if !errors.Is(err, errMoved) && !errors.Is(err, errBlocked) && !errors.Is(err, errNoPlace) {
		return inDoubt(err)
	}
	news, lookErr := w.chain.catchUp(ctx) // to the head that says so, loaded after the swap
	if lookErr != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, lookErr)
	}
	from, since, lookErr := w.chain.since(ctx, link.prev(), news.State)
	if lookErr != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, lookErr)
	}
	if from != link.prev() {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, errors.New("the records after "+link.prev().String()+" are gone"))
	}
	if len(since) > 0 && since[0].At == link.At {
		return nil
	}
	// The register was seen with another tag than any of the swaps was bound
	// to, and the chain without the record: nobody will ever link to it. The
	// next try does not wait for it to go.
	w.heart.Go(func() error {
		w.chain.records.drop(context.WithoutCancel(ctx), link.At)
		return nil
	})
	return err
}

// committed notes that link is in the chain. head is the one that was seen
// with it, or the zero Head.
func (w *Writer) committed(ctx context.Context, link Link, a attempt, head record.Head) {
	// The commit counts, even if the run was cancelled meanwhile; what cannot
	// be noted here is read again by the next refresh.
	if err := w.chain.extend(context.WithoutCancel(ctx), link); err != nil {
		w.chain.options.Warn(fmt.Errorf("remember %s: %w", link.At, err))
	}
	w.base = &link.At
	switch {
	case a.after == Release:
		w.enter(over)
		w.stopHeart()
	case a.after == Yield && a.leased && !holds(head, a.me.ID):
		w.enter(asked) // the ticket is in the queue
	}
}
