package locking

import (
	"context"
	"fmt"
	"time"

	"cairn/objects/record"
)

// A Table is who holds the lease, and who waits for it.
type Table struct {
	Writers Writers
	Holders []Standing
	Queue   []Standing // the first is the next
}

// A Standing is one participant, as far as it was watched.
type Standing struct {
	record.Participant
	Silent   time.Duration // how long its beat is known to be unchanged
	Takeover time.Duration // it is taken over when it was silent for so long
	Process  Liveness      // Dead: it is taken over at once by whoever waits
}

// A Watch looks at the lease again and again, to tell for how long each
// participant has been silent. It is not for concurrent use.
type Watch struct {
	chain *Chain
	judge judge
}

// Watch returns a Watch that has seen nothing yet.
func (c *Chain) Watch() *Watch { return &Watch{chain: c} }

// Look reads the table: one request when nothing has changed.
func (w *Watch) Look(ctx context.Context) (Table, error) {
	s, err := w.chain.cell.load(ctx)
	if err != nil {
		return Table{}, err
	}
	order, err := w.chain.order(ctx)
	if err != nil {
		return Table{}, err
	}
	w.judge.see(s)
	return Table{Writers: order, Holders: w.standings(s.head.Holders), Queue: w.standings(s.head.Queue)}, nil
}

func (w *Watch) standings(list []record.Participant) []Standing {
	var out []Standing
	for _, p := range list {
		out = append(out, Standing{
			Participant: p, Silent: w.judge.silent(p), Takeover: takeover(p),
			Process: w.chain.options.Look(processOf(p)),
		})
	}
	return out
}

// Break takes p, a holder or a ticket, out of the table, alive or not: as if it
// had been silent for too long. It reports whether p was there. A run that is
// alive queues again; an exclusive one ends.
func (c *Chain) Break(ctx context.Context, p record.Participant) (broken bool, err error) {
	_, err = c.cell.update(ctx, func(h record.Head) (record.Head, bool, error) {
		next, changed, err := leave(p.ID, 1)(h)
		broken = broken || changed
		return next, changed, err
	})
	if err != nil {
		return false, fmt.Errorf("break the lease of %s@%s: %w", p.User, p.Host, err)
	}
	return broken, nil
}

// Swept notes that of the commits that had condemned packs when head was
// loaded, only left have any that may still be in the store. It needs no lease,
// and makes no request when head knows that already. Packs that are gone do not
// come back to count: so it is true for ever, whatever is condemned since.
func (c *Chain) Swept(ctx context.Context, head record.Head, left uint64) error {
	if _, err := c.cell.update(ctx, swept(head.GC, left)); err != nil {
		return fmt.Errorf("note what was swept: %w", err)
	}
	return nil
}
