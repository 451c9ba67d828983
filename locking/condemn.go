package locking

import (
	"context"
	"errors"

	"cairn/objects/record"
)

// A Basis is the state that a mark stands on: what was found to be needed in a
// repository is found for one generation, and in one turn of a run.
type Basis struct {
	at   Mark
	turn record.ParticipantID
}

// Basis takes the lease if it is not held, shows the run what is new, and
// returns the state that a mark has to cover for Condemn to accept it.
func (w *Writer) Basis(ctx context.Context) (Basis, *record.State, error) {
	if err := w.gate.enter(ctx); err != nil {
		return Basis{}, nil, err
	}
	defer w.gate.leave()
	if err := w.take(ctx); err != nil {
		return Basis{}, nil, err
	}
	state, err := w.show(ctx)
	if err != nil {
		return Basis{}, nil, err
	}
	return Basis{at: stateMark(state), turn: w.me()}, state, nil
}

// Condemn is Commit for a commit that condemns packs because nothing in the
// state of b needs them. It answers ErrMarkStale, and c did not take effect and
// never will, if head is not at that state any more (beats and tickets do not
// count) or the turn in which b was made is over: then ask for another Basis,
// and mark what was added since. A commit that condemns must be made by Condemn.
func (w *Writer) Condemn(ctx context.Context, c *record.Commit, b Basis, after After) error {
	if err := w.gate.enter(ctx); err != nil {
		return err
	}
	defer w.gate.leave()
	if !w.is(holding) || w.me() != b.turn {
		if err := w.ended(); err != nil {
			return err
		}
		return ErrMarkStale
	}
	news, err := w.chain.upToHead(ctx)
	if err != nil {
		return err
	}
	if stateMark(news.State) != b.at && !w.chain.options.mutants.staleMark {
		return ErrMarkStale
	}
	if err := w.countsOnDead(c, news.State); err != nil {
		return err
	}
	err = w.link(ctx, attempt{commit: c, state: news.State, me: w.participant(), leased: true, after: after})
	if errors.Is(err, errMoved) || errors.Is(err, errNoPlace) {
		return ErrMarkStale
	}
	return err
}
