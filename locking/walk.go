package locking

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/record"
)

// maxWalk is how many generations are walked back beyond the newest snapshot,
// to something known.
const maxWalk = 1024

// A walk goes back through the chain to where the state is known: to known, to
// the newest snapshot, or to the beginning.
type walk struct {
	records   recordStore
	head      record.Head
	known     *record.State // from earlier; nil: nothing. Off the chain: dropped
	cached    *record.State // what known was at first
	witnessed Mark          // must be on the chain

	fetched  map[Mark][]byte // read ahead
	links    []Link          // what was read: newest first while running, then oldest first
	snapshot *Link           // the newest one with a snapshot
	since    Mark            // where links begin, after fold
}

// run reads as far back from head as needed. It answers a *ForkedError if the
// chain misses what was witnessed.
func (w *walk) run(ctx context.Context) error {
	at := headMark(w.head)
	w.cached = w.known
	goal := w.goal(at)
	w.fetch(ctx, goal)
	for at.Generation > 0 {
		if at.Generation == w.witnessed.Generation && at != w.witnessed {
			return &ForkedError{Witnessed: w.witnessed, Found: at}
		}
		if w.isKnown(at) {
			return nil
		}
		if w.known != nil && at.Generation <= w.known.Generation {
			w.known = nil // another chain: what the cache holds is worth nothing
			goal = w.goal(at)
		}
		if w.snapshot != nil && at.Generation <= goal {
			w.known = nil
			return w.prove(ctx, at)
		}
		c, err := w.read(ctx, at)
		if w.snapshot != nil && errors.Is(err, backend.ErrNotExist) {
			w.known = nil // records older than a snapshot may have been removed
			return w.prove(ctx, at)
		}
		if objects.IsCorrupt(err) || errors.Is(err, backend.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		if err != nil {
			return err
		}
		link := Link{At: at, Record: c}
		w.links = append(w.links, link)
		if w.snapshot == nil && c.Snapshot != nil {
			w.snapshot = &link
		}
		at = link.prev()
	}
	w.known = nil // was not met
	return nil
}

// prove answers a *ForkedError if what was witnessed lies before at, where the
// walk has ended, and is not on the chain: as far as that can be told. The
// newest snapshot names the earlier ones, and from the first of them that is
// not older the records lead on, where they are still there.
func (w *walk) prove(ctx context.Context, at Mark) error {
	if w.witnessed.Generation == 0 || w.witnessed.Generation >= at.Generation {
		return nil
	}
	for _, m := range w.snapshot.Record.Snapshot.Milestones {
		if m.Generation >= w.witnessed.Generation && m.Generation < at.Generation {
			at = Mark(m)
			break
		}
	}
	for at.Generation > w.witnessed.Generation {
		if at.Generation > w.witnessed.Generation+record.SnapshotEvery {
			return nil // an older cairn has not named the snapshot that is near
		}
		c, err := w.read(ctx, at)
		if errors.Is(err, backend.ErrNotExist) {
			return w.compareMilestones()
		}
		if err != nil {
			return err
		}
		at = Link{At: at, Record: c}.prev()
	}
	if at != w.witnessed {
		return &ForkedError{Witnessed: w.witnessed, Found: at}
	}
	return nil
}

// fetch reads ahead what will be wanted if the chain is as it should be.
func (w *walk) fetch(ctx context.Context, goal uint64) {
	high := w.head.Generation
	low := goal + 1
	if goal == high && high > 0 && !w.isKnown(headMark(w.head)) {
		low = max(1, w.head.SnapshotGeneration)
	}
	if high+1 >= low+fetchFrom {
		w.fetched = w.records.fetch(ctx, low, high)
	}
}

// read returns the record at m.
func (w *walk) read(ctx context.Context, m Mark) (*record.Commit, error) {
	if stored, ok := w.fetched[m]; ok {
		delete(w.fetched, m)
		return w.records.decode(m, stored)
	}
	return w.records.get(ctx, m)
}

func (w *walk) isKnown(at Mark) bool { return w.known != nil && at == stateMark(w.known) }

// goal returns the generation that is worth going back to from at, past any
// snapshots: what is known, so that the links lead on from there, unless it is
// further than maxWalk.
func (w *walk) goal(at Mark) uint64 {
	if w.known != nil && w.known.Generation+maxWalk >= at.Generation {
		return w.known.Generation
	}
	return at.Generation
}

// fold returns the state after all links. What was known is not changed.
func (w *walk) fold() (*record.State, error) {
	slices.Reverse(w.links)
	state := w.known
	switch {
	case state != nil && len(w.links) == 0:
		w.since = stateMark(state)
		return state, nil
	case state != nil:
		state = state.Clone()
	default:
		state = record.NewState(w.records.keys)
		if w.snapshot != nil {
			if err := state.Load(w.snapshot.At.Commit, w.snapshot.Record); err != nil {
				return nil, err
			}
			w.links = slices.DeleteFunc(w.links, func(l Link) bool { return l.At.Generation <= w.snapshot.At.Generation })
		}
	}
	w.since = stateMark(state)
	for _, link := range w.links {
		if err := state.Apply(link.At.Commit, link.Record); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// compareMilestones is for when the records are gone that lead to what was
// witnessed. A cache that stands for it says which milestones came before.
func (w *walk) compareMilestones() error {
	if w.cached == nil || stateMark(w.cached) != w.witnessed {
		return nil // nobody can tell
	}
	chain := map[uint64]objects.ID{}
	for _, m := range w.snapshot.Record.Snapshot.Milestones {
		chain[m.Generation] = m.Commit
	}
	for _, m := range w.cached.Milestones {
		if id, ok := chain[m.Generation]; ok && id != m.Commit {
			return &ForkedError{Witnessed: Mark(m), Found: Mark{Generation: m.Generation, Commit: id}}
		}
	}
	return nil
}
