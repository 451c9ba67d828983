package locking

import (
	"context"
	"slices"

	"cairn/objects/record"
)

// bury takes everybody but self out of the table whose process is known to be
// gone. It makes no request where there is nobody. Who waits does so with those
// ahead; but where runs go side by side nobody is ahead, and one that died would
// stand in the table for ever, with packs that nobody looks for.
func (c *Chain) bury(ctx context.Context, self record.ParticipantID) error {
	head, err := c.cell.last(ctx)
	if err != nil {
		return err
	}
	for _, p := range slices.Concat(head.Holders, head.Queue) {
		if p.ID == self || c.options.Look(processOf(p)) != Dead {
			continue
		}
		if _, err := c.cell.update(ctx, evict(p)); err != nil {
			return err
		}
	}
	return nil
}

// vigil is what a run watches the holders beside it with, at its own beats. They
// hold the lease together, so that nobody may be waiting for one that is silent.
type vigil struct {
	chain *Chain
	judge judge
}

// look takes out those who have been silent for too long. It makes no request as
// long as, by the head last known, nobody is beside self.
func (v *vigil) look(ctx context.Context, self record.ParticipantID) error {
	head, err := v.chain.cell.last(ctx)
	if err != nil || !slices.ContainsFunc(head.Holders, func(p record.Participant) bool { return p.ID != self }) {
		return err
	}
	s, err := v.chain.cell.load(ctx)
	if err != nil {
		return err
	}
	v.judge.see(s)
	for _, p := range s.head.Holders {
		if p.ID == self || !v.judge.dead(p) {
			continue
		}
		if _, err := v.chain.cell.update(ctx, evict(p)); err != nil {
			return err
		}
	}
	return v.chain.bury(ctx, self)
}
