package compact

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
)

// move stores anew what is needed of the next packs of a plan, and returns the new
// packs and those that nothing has to be read from any more. Packs that cannot be
// read are left out.
func (c *compaction) move(ctx context.Context, w *repository.Writer, m *mark, plan *plan) (emptied []record.Pack, packs []record.Pack, err error) {
	p, ctx := packer.New(ctx, packer.Options{
		Keys: c.repo.Keys, Store: c.repo.Backend(), Index: c.repo.Index, Entropy: c.entropy,
		FrameSize: int(c.repo.Config.FrameSize), Target: c.o.PackTarget, Uploads: c.o.Uploads, Level: c.o.Level,
		Size:   c.repo.PackSize(),
		Before: func(ctx context.Context) error { return w.Ensure(ctx, c.stop) },
		Stored: c.stored,
	})
	emptied, err = c.empty(ctx, p, m, plan)
	packs, closeErr := p.Close()
	if closeErr != nil {
		return nil, nil, closeErr // the cause; err is what it did to the others
	}
	return emptied, packs, err
}

// stored is told of every new pack.
func (c *compaction) stored(p *pack.Pack) {
	c.count.Written.Add(uint64(p.Size))
	c.repo.KeepPack(p)
}

// empty moves what is needed of packs to those of p.
func (c *compaction) empty(ctx context.Context, p *packer.Packer, m *mark, plan *plan) (emptied []record.Pack, err error) {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex // guards emptied
	done := func(p record.Pack) {
		mu.Lock()
		defer mu.Unlock()
		emptied = append(emptied, p)
	}
	todo := make(chan candidate)
	group.Go(func() error {
		defer close(todo)
		return c.feed(ctx, plan, todo)
	})
	for range c.o.Workers {
		group.Go(func() error { return c.mover(ctx, p, m, todo, done) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return emptied, nil
}

// feed takes packs from the plan until they are enough for a commit: what was
// moved before it may have to be moved again after an interruption. It ends early
// when the run is asked to stop.
func (c *compaction) feed(ctx context.Context, plan *plan, todo chan<- candidate) error {
	begun := c.o.Now()
	for bytes := int64(0); bytes < c.o.Batch && c.o.Now().Sub(begun) < c.o.Every && c.stop.Err() == nil; {
		next, ok := c.nextMove(plan)
		if !ok {
			return nil
		}
		select {
		case todo <- next:
			bytes += int64(next.Length)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
func (c *compaction) mover(ctx context.Context, p *packer.Packer, m *mark, todo <-chan candidate, done func(record.Pack)) error {
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
		done(cand.Pack)
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

// pack moves what is needed of one pack. Only that is read.
func (v *mover) pack(ctx context.Context, p record.Pack) error {
	h, err := v.c.repo.Header(ctx, p)
	if err != nil {
		return err
	}
	if v.fates, err = v.m.Fates(v.fates[:0], p.ID, h.Chunks); err != nil {
		return err
	}
	needed, err := v.needed(ctx, h)
	if err != nil {
		return err
	}
	for len(needed) > 0 {
		n := v.c.near(needed)
		if err := v.span(ctx, p, h, needed[:n]); err != nil {
			return err
		}
		needed = needed[n:]
	}
	return nil
}

// A need is a frame of which something is to be moved.
type need struct {
	pack.Frame
	kept uint64 // of its plaintext, bytes
}

func (n *need) end() int64 { return int64(n.Off) + int64(n.Stored) }

// needed returns the frames that something is to be moved of. What another pack
// is to keep is moved from here, if it cannot be read there.
func (v *mover) needed(ctx context.Context, h *pack.Header) (list []need, err error) {
	for _, f := range h.Frames {
		chunks, fates := h.FrameChunks(f), v.fates[f.First:f.First+f.Count]
		n := need{Frame: f}
		for i := range chunks {
			if fates[i] == index.KeptThere && !v.readable(ctx, h.Kind, chunks[i].ID) {
				fates[i] = index.KeptHere
			}
			if fates[i] == index.KeptHere {
				n.kept += uint64(chunks[i].Len)
			}
		}
		if n.kept > 0 {
			list = append(list, n)
		}
	}
	return list, ctx.Err() // which makes everything unreadable
}

// gapMax is how many bytes between two frames are read and thrown away rather
// than asked around.
const gapMax = 128 << 10

// slowRead is how many bytes one read asks for, unless a single frame is longer,
// where the way to the store is slow or nobody knows yet: a read that breaks off is
// begun anew.
const slowRead = 1 << 20

// near returns how many of the frames one read fetches: at least one.
func (c *compaction) near(list []need) (n int) {
	most := c.o.ReadMax
	if !c.fast() {
		most = min(most, slowRead)
	}
	for n = 1; n < len(list); n++ {
		if int64(list[n].Off)-list[n-1].end() > gapMax || list[n].end()-int64(list[0].Off) > most {
			break
		}
	}
	return n
}

// span moves what is needed of frames that lie near each other.
func (v *mover) span(ctx context.Context, p record.Pack, h *pack.Header, frames []need) error {
	off := int64(frames[0].Off)
	sealed, err := v.c.repo.Read(ctx, p.ID, off, frames[len(frames)-1].end()-off)
	if err != nil {
		return err
	}
	v.c.count.Read.Add(uint64(len(sealed)))
	for _, f := range frames {
		if err := v.frame(ctx, h, f, sealed[int64(f.Off)-off:f.end()-off]); err != nil {
			return err
		}
	}
	return nil
}

// frame moves what is needed of one frame: the frame as it is if that is most
// of it, else its chunks. Either way its seal is held against its key first.
func (v *mover) frame(ctx context.Context, h *pack.Header, f need, sealed []byte) (err error) {
	chunks, key := h.FrameChunks(f.Frame), h.Keys[f.Key]
	if v.c.o.asItIs(f) {
		if v.raw, err = v.c.repo.Authenticate(v.raw, h.Kind, key, f.Frame, sealed); err != nil {
			return err
		}
		return v.p.Move(ctx, h.Kind, key, f.Frame, sealed, chunks)
	}
	if v.raw, err = v.c.repo.OpenFrame(v.raw, h.Kind, key, f.Frame, sealed); err != nil {
		return err
	}
	return v.anew(ctx, h.Kind, chunks, v.fates[f.First:f.First+f.Count])
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
