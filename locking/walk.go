package locking

import (
	"context"
	"errors"
	"slices"

	"cairn/backend"
	"cairn/objects/record"
)

// maxWalk is how many generations are walked back beyond the newest snapshot,
// to something known or witnessed.
const maxWalk = 1024

// A walk goes back through the chain to where the state is known: to known, to
// the newest snapshot, or to the beginning.
type walk struct {
	records   recordStore
	known     *record.State // from earlier; nil: nothing. Off the chain: dropped
	witnessed Mark          // must be on the chain

	links    []Link // what was read: newest first while running, then oldest first
	snapshot *Link  // the newest one with a snapshot
	since    Mark   // where links begin, after fold
}

// run reads as far back as needed from at, the newest generation. It answers a
// *ForkedError if the chain misses what was witnessed.
func (w *walk) run(ctx context.Context, at Mark) error {
	goal := w.goal(at)
	for at.Generation > 0 {
		if at.Generation == w.witnessed.Generation && at != w.witnessed {
			return &ForkedError{Witnessed: w.witnessed, Found: at}
		}
		if w.known != nil && at == stateMark(w.known) {
			return nil
		}
		if w.known != nil && at.Generation <= w.known.Generation {
			w.known = nil // another chain: what the cache holds is worth nothing
			goal = w.goal(at)
		}
		if w.snapshot != nil && at.Generation <= goal {
			break
		}
		c, err := w.records.get(ctx, at)
		if w.snapshot != nil && errors.Is(err, backend.ErrNotExist) {
			break // records older than a snapshot may have been removed
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

// goal returns the generation that is worth going back to from at, past any
// snapshots: what is known, so that the links lead on from there, or else what
// was witnessed. Neither is worth more than maxWalk.
func (w *walk) goal(at Mark) uint64 {
	if w.known != nil && w.known.Generation+maxWalk >= at.Generation {
		return w.known.Generation
	}
	if w.witnessed.Generation > 0 && w.witnessed.Generation+maxWalk >= at.Generation {
		return w.witnessed.Generation
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
