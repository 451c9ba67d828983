package compact

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/index"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// batch moves and condemns some packs, in one turn and one commit.
func (c *compaction) batch(ctx context.Context, m *mark, p *plan) (err error) {
	w, ctx, err := c.repo.Begin(ctx, c.stop)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // what was stored is adopted by the next turn
			c.repo.Index.Discard()
		}
		err = errors.Join(err, w.End(context.WithoutCancel(ctx)))
	}()
	var packs []record.Pack
	dead := p.nextDead() // first, for it costs nothing
	moving := len(dead) == 0
	if moving {
		if dead, packs, err = c.move(ctx, w, m, p); err != nil {
			return err
		}
	}
	w.Add(packs)
	if len(dead) == 0 && len(packs) == 0 {
		return nil
	}
	condemned, err := c.commit(ctx, w, m, dead)
	if err != nil {
		return err
	}
	c.account(m, dead, condemned, packs)
	if moving {
		c.sum.Moved += uint64(len(condemned))
	}
	return nil
}

// commit condemns packs, as far as nobody has come to need them meanwhile, and
// names what replaces them. It returns those that are condemned.
func (c *compaction) commit(ctx context.Context, w *repository.Writer, m *mark, dead []record.Pack) ([]objects.ID, error) {
	for {
		basis, state, err := w.Basis(ctx)
		if err != nil {
			return nil, err
		}
		if err := m.cover(ctx, state); err != nil {
			return nil, stale(err)
		}
		var ids []objects.ID
		for _, p := range dead {
			revived, err := m.Revived(p.ID)
			if err != nil {
				return nil, stale(err)
			}
			if !revived {
				ids = append(ids, p.ID)
			}
		}
		err = w.Condemn(ctx, &record.Commit{Made: c.o.Now(), Condemned: ids}, basis)
		if !errors.Is(err, locking.ErrMarkStale) {
			return ids, err
		}
	}
}

// stale returns an errRestart for marks of an index that is not there any more.
func stale(err error) error {
	if errors.Is(err, index.ErrStale) {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	return err
}

// account counts what a commit did.
func (c *compaction) account(m *mark, dead []record.Pack, condemned []objects.ID, packs []record.Pack) {
	m.condemned += len(condemned)
	for _, p := range dead {
		if slices.Contains(condemned, p.ID) {
			c.sum.Condemned++
			c.sum.CondemnedBytes += p.Length
		} else {
			c.sum.Kept++
		}
	}
	for _, p := range packs {
		c.sum.New++
		c.sum.NewBytes += p.Length
	}
	c.count.Packs.Add(uint64(len(dead)))
}
