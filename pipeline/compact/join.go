package compact

import (
	"context"
	"errors"
	"slices"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"

	"github.com/zeebo/blake3"
)

// joinBytes is how much Join moves at most.
const joinBytes = 64 << 20

// Join makes larger packs of small ones, if there are more than JoinAbove: up
// to 64 MiB of them, so that a backup can afford it. It does not ask what of
// them is needed, and moves all frames as they are: that spares the marking, and
// condemns nothing that anybody could miss. Packs whose grace is over are
// deleted first. It does nothing while others write or wait, nor where the way to
// the store has turned out to carry only packs that are as small.
func Join(ctx, stop context.Context, repo *repository.Repository, o Options) (Summary, error) {
	if err := o.complete(); err != nil {
		return Summary{}, err
	}
	c := &compaction{o: o, repo: repo, stop: stop, count: o.Progress}
	small := c.smallPacks()
	if head := repo.Head(); len(small) == 0 || len(head.Holders)+len(head.Queue) > 0 || c.slow() {
		return Summary{}, nil
	}
	if err := c.sweep(ctx, locking.Grace); err != nil {
		return c.sum, err
	}
	if err := c.join(ctx, small); err != nil {
		return c.sum, err
	}
	if err := repo.Refresh(ctx); err != nil {
		return c.sum, err
	}
	return c.sum, repo.Sync(ctx)
}

// slow reports whether this run would make small packs on purpose.
func (c *compaction) slow() bool {
	n, measured := c.packSize()
	return measured && n < int64(c.o.PackTarget)/smallShare
}

// fast reports whether it is known that it would not.
func (c *compaction) fast() bool {
	n, measured := c.packSize()
	return measured && n >= int64(c.o.PackTarget)/smallShare
}

// packSize returns how long packs should be for now: packer.Options.Size.
func (c *compaction) packSize() (n int64, measured bool) {
	if size := c.repo.PackSize(); size != nil {
		return size()
	}
	return int64(c.o.PackTarget), true
}

// smallPacks returns the packs to be joined, the smallest first; none if there are
// few.
func (c *compaction) smallPacks() (list []record.Pack) {
	for p := range c.repo.State().Packs.All() {
		if c.small(p) {
			list = append(list, p)
		}
	}
	if len(list) <= c.o.JoinAbove {
		return nil
	}
	slices.SortFunc(list, func(a, b record.Pack) int {
		if a.Length != b.Length {
			return int(a.Length) - int(b.Length) // both are below 64 MiB
		}
		return a.ID.Compare(b.ID)
	})
	n, bytes := 0, uint64(0)
	for n < len(list) && bytes+list[n].Length <= joinBytes {
		bytes += list[n].Length
		n++
	}
	return list[:n]
}

// join moves the packs, in one turn and one commit.
func (c *compaction) join(ctx context.Context, list []record.Pack) (err error) {
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
	emptied, packs, err := c.moveAll(ctx, w, list)
	if err != nil {
		return err
	}
	w.Add(packs)
	for {
		basis, state, err := w.Basis(ctx)
		if err != nil {
			return err
		}
		var ids []objects.ID
		for _, p := range emptied {
			if state.Packs.Has(p.ID) {
				ids = append(ids, p.ID)
			}
		}
		// Whoever has come to need a chunk of them meanwhile finds it in the
		// packs that this commit adds.
		err = w.Condemn(ctx, &record.Commit{Made: c.o.Now(), Condemned: ids}, basis)
		if errors.Is(err, locking.ErrMarkStale) {
			continue
		}
		if err == nil {
			c.sum.Moved, c.sum.Condemned, c.sum.New = uint64(len(ids)), uint64(len(ids)), uint64(len(packs))
		}
		return err
	}
}

// moveAll stores all that is in the packs anew, and returns those that it could
// read, and the new ones.
func (c *compaction) moveAll(ctx context.Context, w *repository.Writer, list []record.Pack) (emptied, packs []record.Pack, err error) {
	p, ctx := packer.New(ctx, packer.Options{
		Keys: c.repo.Keys, Store: c.repo.Backend(), Index: c.repo.Index, Entropy: c.entropy,
		FrameSize: int(c.repo.Config.FrameSize), Target: c.o.PackTarget, Uploads: 1, Level: c.o.Level,
		Before: func(ctx context.Context) error { return w.Ensure(ctx, c.stop) },
		Stored: c.repo.KeepPack,
	})
	for _, old := range list {
		if c.stop.Err() != nil {
			break
		}
		if err = c.moveWhole(ctx, p, old); unreadable(err) {
			err = nil // it stays; cairn check names it
			continue
		}
		if err != nil {
			break
		}
		emptied = append(emptied, old)
	}
	packs, closeErr := p.Close()
	if closeErr != nil {
		return nil, nil, closeErr // the cause; err is what it did to the others
	}
	return emptied, packs, err
}

// moveWhole moves all frames of a pack.
func (c *compaction) moveWhole(ctx context.Context, p *packer.Packer, old record.Pack) error {
	h, stored, err := c.whole(ctx, old)
	if err != nil {
		return err
	}
	for _, f := range h.Frames {
		if f.Count == 0 {
			continue // padding
		}
		sealed := stored[f.Off : f.Off+f.Stored]
		if err := p.Move(ctx, h.Kind, h.Keys[f.Key], f, sealed, h.FrameChunks(f)); err != nil {
			return err
		}
	}
	return nil
}

// whole reads a pack, which is as it was written: its name says so.
func (c *compaction) whole(ctx context.Context, p record.Pack) (*pack.Header, []byte, error) {
	stored, err := c.repo.Backend().Get(ctx, packer.Key(p.ID), backend.Range{})
	if err != nil {
		return nil, nil, err
	}
	if objects.ID(blake3.Sum256(stored)) != p.ID {
		return nil, nil, objects.Corrupt("pack "+p.ID.String(), "it does not have the content that its name promises")
	}
	h, err := pack.OpenHeader(c.repo.Keys, stored[:pack.PreambleLen+int(p.HeaderLen)])
	return h, stored, err
}
