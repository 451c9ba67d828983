package compact

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"

	"github.com/zeebo/blake3"
)

// move stores anew what is needed of packs, and returns the new packs and those
// that nothing has to be read from any more. Packs whose turn has not come when
// the run is asked to stop are left out, and so are those that cannot be read.
func (c *compaction) move(ctx context.Context, w *repository.Writer, m *mark, list []candidate) (emptied []record.Pack, packs []record.Pack, err error) {
	p, ctx := packer.New(ctx, packer.Options{
		Keys: c.repo.Keys, Store: c.repo.Backend(), Index: c.repo.Index, Entropy: c.entropy,
		FrameSize: int(c.repo.Config.FrameSize), Target: c.o.PackTarget, Uploads: c.o.Uploads, Level: c.o.Level,
		Before: func(ctx context.Context) error { return w.Ensure(ctx, c.stop) },
		Stored: c.repo.KeepPack,
	})
	emptied, err = c.empty(ctx, p, m, list)
	packs, closeErr := p.Close()
	if closeErr != nil {
		return nil, nil, closeErr // the cause; err is what it did to the others
	}
	return emptied, packs, err
}

// empty moves what is needed of packs to those of p.
func (c *compaction) empty(ctx context.Context, p *packer.Packer, m *mark, list []candidate) (emptied []record.Pack, err error) {
	group, ctx := errgroup.WithContext(ctx)
	todo, done := make(chan candidate), make(chan record.Pack, len(list))
	group.Go(func() error {
		defer close(todo)
		for _, cand := range list {
			if c.stop.Err() != nil {
				return nil
			}
			select {
			case todo <- cand:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range c.o.Workers {
		group.Go(func() error { return c.mover(ctx, p, m, todo, done) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	close(done)
	for p := range done {
		emptied = append(emptied, p)
	}
	return emptied, nil
}

// mover is one goroutine's share of the moving.
type mover struct {
	c       *compaction
	m       *mark
	p       *packer.Packer
	framers [2]*packer.Framer // by kind - 1
	hasher  *crypt.Hasher
	others  *repository.ChunkReader
	fates   []index.Fate
	raw     []byte
}

// mover empties packs until there are no more.
func (c *compaction) mover(ctx context.Context, p *packer.Packer, m *mark, todo <-chan candidate, done chan<- record.Pack) error {
	v := &mover{c: c, m: m, p: p, hasher: c.repo.Keys.NewHasher(), others: c.repo.NewChunkReader()}
	for i := range v.framers {
		f, err := p.NewFramer(objects.Kind(i + 1))
		if err != nil {
			return err
		}
		v.framers[i] = f
	}
	for cand := range todo {
		err := v.pack(ctx, cand.Pack)
		switch {
		case unreadable(err):
			c.left(fmt.Errorf("pack %s stays as it is, run cairn check to see what is affected: %w", cand.ID, err))
			continue
		case err != nil:
			return err
		}
		done <- cand.Pack
	}
	for _, f := range v.framers {
		if err := f.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unreadable reports whether err says that a pack is not there, or not as it
// was written.
func unreadable(err error) bool {
	var short *backend.ShortError
	return errors.Is(err, backend.ErrNotExist) || errors.As(err, &short) || objects.IsCorrupt(err) ||
		errors.Is(err, objects.ErrNewer) || errors.Is(err, crypt.ErrNoEpoch)
}

// pack moves what is needed of one pack.
func (v *mover) pack(ctx context.Context, p record.Pack) error {
	stored, err := v.c.repo.Backend().Get(ctx, packer.Key(p.ID), backend.Range{})
	if err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	v.c.count.Read.Add(uint64(len(stored)))
	n := pack.PreambleLen + int(p.HeaderLen)
	if len(stored) < n || objects.ID(blake3.Sum256(stored[:n])) != p.HeaderHash {
		return objects.Corrupt("pack", "its header is not the one that was committed")
	}
	h, err := pack.OpenHeader(v.c.repo.Keys, stored[:n])
	if err != nil {
		return err
	}
	if v.fates, err = v.m.Fates(v.fates[:0], p.ID, h.Chunks); err != nil {
		return err
	}
	// A pack that has the hash that is its name is as it was written. Of any
	// other one, each frame has to show that it is.
	s := source{header: h, stored: stored, whole: objects.ID(blake3.Sum256(stored)) == p.ID}
	for _, f := range h.Frames {
		if err := v.frame(ctx, &s, f); err != nil {
			return err
		}
	}
	return nil
}

// source is a pack that is being emptied.
type source struct {
	header *pack.Header
	stored []byte
	whole  bool // its name proves its bytes
}

// frame moves what is needed of one frame: the frame as it is if that is most
// of it, else its chunks.
func (v *mover) frame(ctx context.Context, s *source, f pack.Frame) error {
	chunks, fates := s.header.FrameChunks(f), v.fates[f.First:f.First+f.Count]
	var kept uint64
	for i := range chunks {
		if fates[i] == index.KeptThere && !v.readable(ctx, s.header.Kind, chunks[i].ID) {
			fates[i] = index.KeptHere
		}
		if fates[i] == index.KeptHere {
			kept += uint64(chunks[i].Len)
		}
	}
	if err := ctx.Err(); err != nil || kept == 0 {
		return err
	}
	end := uint64(f.Off) + uint64(f.Stored)
	if end > uint64(len(s.stored)) {
		return objects.Corrupt("frame", "the pack ends before it does")
	}
	sealed, key := s.stored[f.Off:end], s.header.Keys[f.Key]
	if asItIs := kept*200 >= uint64(f.Raw)*uint64(100+max(0, v.c.o.Threshold)); asItIs {
		if !s.whole {
			if err := v.open(s, f, append([]byte(nil), sealed...)); err != nil {
				return err
			}
			if err := pack.Verify(v.hasher, s.header.Kind, v.raw, chunks); err != nil {
				return err
			}
		}
		return v.p.Move(ctx, s.header.Kind, key, f, sealed, chunks)
	}
	if err := v.open(s, f, sealed); err != nil {
		return err
	}
	return v.anew(ctx, s.header.Kind, chunks, fates)
}

// open opens a frame into v.raw. Sealed is overwritten.
func (v *mover) open(s *source, f pack.Frame, sealed []byte) (err error) {
	v.raw, err = v.c.repo.OpenFrame(v.raw, s.header.Kind, s.header.Keys[f.Key], f, sealed)
	return err
}

// anew frames the chunks anew that v.raw holds and that are to be kept.
func (v *mover) anew(ctx context.Context, kind objects.Kind, chunks []pack.Chunk, fates []index.Fate) error {
	at := uint32(0)
	for i, c := range chunks {
		plain := v.raw[at : at+c.Len]
		at += c.Len
		if fates[i] != index.KeptHere {
			continue
		}
		if got := v.hasher.Sum(kind, plain); got != c.ID {
			return objects.Corrupt("chunk "+c.ID.String(), "its content has the ID %s", got)
		}
		if err := v.framers[kind-1].Keep(ctx, c.ID, plain); err != nil {
			return err
		}
	}
	return nil
}

// readable makes sure that another pack has a chunk as well as it should: this
// one will be gone.
func (v *mover) readable(ctx context.Context, kind objects.Kind, id objects.ID) bool {
	place, err := v.m.Keeper(id)
	if err == nil {
		_, err = v.others.At(ctx, place, kind, id)
	}
	return err == nil
}
