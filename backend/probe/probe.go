// Package probe finds out what a store's register withstands, by doing it: what
// vendors promise is not enough, since some stores accept a condition and ignore
// it, and others keep to it until two requests meet.
package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"cairn/backend"
)

// Cell is a register of its own that was never written and that nobody else
// uses, as package backend describes it. Its methods are called concurrently.
type Cell interface {
	Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error)
	Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error)
	// Remove gives back the room that the cell takes.
	Remove(ctx context.Context) error
}

// A Verdict is what a register withstands.
type Verdict int

// The verdicts.
const (
	// None: of several who create one cell, more than one may succeed. Nothing
	// keeps two writers apart.
	None Verdict = iota
	// CreateOnly: of those one succeeds; but of several who replace one value,
	// more than one may.
	CreateOnly
	// CAS: the register is as package backend wants it.
	CAS
)

// String names v for people.
func (v Verdict) String() string {
	switch v {
	case CreateOnly:
		return "create-only"
	case CAS:
		return "cas"
	}
	return "none"
}

// How many races of each kind Run makes. Thorough is for whoever has the time;
// Quick is enough where one server decides everything.
const (
	Thorough = 4
	Quick    = 1
)

const racers = 8 // clients that try the same at the same time

// ErrBroken: a store breaks its contract.
var ErrBroken = errors.New("the store does not keep its contract")

// Run returns what the cells that fresh makes withstand: it races creators and
// replacers on them, and makes requests that must fail. It calls fresh once for
// each round, and removes the cells. An error says that the store could not be
// asked.
func Run(ctx context.Context, rounds int, fresh func() (Cell, error)) (Verdict, error) {
	verdict := CAS
	for range rounds {
		cell, err := fresh()
		if err != nil {
			return None, fmt.Errorf("probe: %w", err)
		}
		seen, err := probe(ctx, cell)
		if err := errors.Join(err, cell.Remove(ctx)); err != nil {
			return None, fmt.Errorf("probe: %w", err)
		}
		if verdict = min(verdict, seen); verdict == None {
			break
		}
	}
	return verdict, nil
}

// probe returns what one cell has withstood.
func probe(ctx context.Context, cell Cell) (Verdict, error) {
	p := &prober{cell: cell}
	steps := []struct {
		do     func(context.Context) error
		broken Verdict // what the register is if this breaks it
	}{
		{p.race, None}, {p.createAgain, None}, {p.race, CreateOnly}, {p.replaceStale, CreateOnly},
	}
	for _, step := range steps {
		err := step.do(ctx)
		if errors.Is(err, ErrBroken) {
			return step.broken, nil
		}
		if err != nil {
			return None, err
		}
	}
	return CAS, nil
}

// prober knows what its cell must hold.
type prober struct {
	cell  Cell
	tries int // values made so far
	value []byte
	tag   backend.Tag
	older backend.Tag // the tag before
}

// fresh returns a value that no other is equal to.
func (p *prober) fresh() []byte {
	p.tries++
	return fmt.Appendf(nil, "cairn probes this store: try %d", p.tries)
}

// race lets several swap what the cell holds, or create it, at the same time.
// At most one may believe that it did, and if one does, its value is there.
func (p *prober) race(ctx context.Context) error {
	var values [racers][]byte
	var outcomes [racers]error
	for i := range values {
		values[i] = p.fresh()
	}
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i := range racers {
		group.Go(func() {
			<-begin
			_, outcomes[i] = p.cell.Swap(ctx, p.tag, values[i])
		})
	}
	close(begin)
	group.Wait()
	winner := -1
	for i, err := range outcomes {
		switch {
		case err == nil && winner >= 0:
			return ErrBroken
		case err == nil:
			winner = i
		case !turnedAway(err):
			return err
		}
	}
	return p.look(ctx, func(value []byte) bool {
		if winner >= 0 {
			return slices.Equal(value, values[winner])
		}
		// Nobody knows to have won: the one who did was told nothing certain.
		return slices.ContainsFunc(values[:], func(v []byte) bool { return slices.Equal(v, value) })
	})
}

// createAgain tries to create the cell that is there.
func (p *prober) createAgain(ctx context.Context) error { return p.mustFail(ctx, "") }

// replaceStale tries to replace a value that was replaced.
func (p *prober) replaceStale(ctx context.Context) error { return p.mustFail(ctx, p.older) }

func (p *prober) mustFail(ctx context.Context, old backend.Tag) error {
	_, err := p.cell.Swap(ctx, old, p.fresh())
	switch {
	case err == nil:
		return ErrBroken
	case !turnedAway(err):
		return err
	}
	return p.look(ctx, func(value []byte) bool { return slices.Equal(value, p.value) })
}

// look loads what the cell holds now, which must be as it should.
func (p *prober) look(ctx context.Context, should func(value []byte) bool) error {
	value, tag, err := p.cell.Load(ctx, "")
	if err != nil && !errors.Is(err, backend.ErrNotExist) {
		return err
	}
	if err != nil || !should(value) {
		return ErrBroken
	}
	if tag != p.tag {
		p.value, p.tag, p.older = value, tag, p.tag
	}
	return nil
}

// turnedAway tells the two ways in which a swap may fail that is too late.
func turnedAway(err error) bool {
	return errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrUnknown)
}
