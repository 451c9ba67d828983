package content

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
)

// gapMax is how many bytes between two frames are read and thrown away rather
// than asked around.
const gapMax = 128 << 10

type frameID struct {
	pack objects.ID
	off  uint32
}

// frame is one that is opened, or is about to be.
type frame struct {
	id    frameID
	place index.Place // of one of its chunks: how it is read and opened

	ready chan struct{} // closed when the next two are set
	raw   []byte
	err   error

	users int           // guarded by cache.mu
	idle  *list.Element // of cache.idle, while there are no users; guarded by cache.mu

	mu   sync.Mutex
	good map[uint32]objects.ID // chunks that were compared, by their place; guarded by mu
}

func (f *frame) off() int64 { return int64(f.place.Frame.Off) }
func (f *frame) end() int64 { return f.off() + int64(f.place.Frame.Stored) }

// chunk is a place in a frame that somebody holds.
type chunk struct {
	frame *frame
	from  uint32 // in the frame's plaintext, bytes
	n     uint32 // bytes
	id    objects.ID
}

// hold finds the chunk of an extent and holds its frame. If fresh, nobody else
// fetches the frame: the caller has to call load.
func (r *Reader) hold(ctx context.Context, x *archive.Extent) (c chunk, fresh bool, err error) {
	place, err := r.chunks.Lookup(ctx, x.ID)
	if err != nil {
		return chunk{}, false, err
	}
	return r.holdAt(&place, x.ID, x.Len)
}

// holdAt is hold for a chunk of n bytes that lies at place.
func (r *Reader) holdAt(place *index.Place, id objects.ID, n uint64) (c chunk, fresh bool, err error) {
	if place.Kind != objects.Data {
		return chunk{}, false, objects.Corrupt("chunk "+id.String(), "it lies in a pack of metadata")
	}
	if uint64(place.Len) != n {
		return chunk{}, false, objects.Corrupt("chunk "+id.String(), "it has %d bytes where the archive has %d", place.Len, n)
	}
	f, fresh := r.frames.hold(place)
	return chunk{f, place.Off, place.Len, id}, fresh, nil
}

// runs sorts frames by where they lie, and cuts them into what one read fetches:
// those who filled the packs took turns, so that neighbours in a file are near
// each other, and in no order.
func (r *Reader) runs(frames []*frame) iter.Seq[[]*frame] {
	slices.SortFunc(frames, func(f, g *frame) int {
		return cmp.Or(f.id.pack.Compare(g.id.pack), cmp.Compare(f.id.off, g.id.off))
	})
	return func(yield func([]*frame) bool) {
		for len(frames) > 0 {
			n := 1
			for n < len(frames) && r.near(frames[0], frames[n-1], frames[n]) {
				n++
			}
			if !yield(frames[:n]) {
				return
			}
			frames = frames[n:]
		}
	}
}

// near reports whether next can be fetched by the read that begins with first
// and has come to last.
func (r *Reader) near(first, last, next *frame) bool {
	return next.id.pack == last.id.pack && next.off()-last.end() <= gapMax && next.end()-first.off() <= r.o.ReadMax
}

// load fetches frames that lie near each other, by rising place in one pack,
// with one read, opens them, and ends the hold of whoever has to. What goes
// wrong is in the frames. It must be called even when ctx has ended.
func (r *Reader) load(ctx context.Context, run []*frame) {
	first := run[0]
	sealed, err := r.chunks.Read(ctx, first.id.pack, first.off(), run[len(run)-1].end()-first.off())
	if err != nil && len(run) > 1 && ctx.Err() == nil {
		for i := range run { // what cannot be read may be only a part
			r.load(ctx, run[i:i+1])
		}
		return
	}
	for _, f := range run {
		if f.err = err; err == nil {
			f.raw, f.err = r.open(f, sealed[f.off()-first.off():f.end()-first.off()])
		}
		close(f.ready)
		r.frames.release(f)
	}
}

func (r *Reader) open(f *frame, sealed []byte) ([]byte, error) {
	raw, err := r.chunks.OpenFrame(r.frames.buffer(), objects.Data, f.place.Key, f.place.Frame, sealed)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", f.id.pack, err)
	}
	return raw, nil
}

// bytes returns the verified bytes of a chunk that is held. They are valid until
// its frame is released, and not to be changed. Where others have moved the chunk
// meanwhile, c becomes where it is now.
func (r *Reader) bytes(ctx context.Context, c *chunk) ([]byte, error) {
	for {
		p, err := r.at(ctx, c)
		if err == nil {
			return p, nil
		}
		if err := r.follow(ctx, c, err); err != nil {
			return nil, err
		}
	}
}

// follow makes c where its chunk is now, after reading it has answered cause. Its
// error leaves c as it is.
func (r *Reader) follow(ctx context.Context, c *chunk, cause error) error {
	place, err := r.chunks.Elsewhere(ctx, c.id, c.frame.id.pack, cause)
	if err != nil {
		return err
	}
	moved, fresh, err := r.holdAt(&place, c.id, uint64(c.n))
	if err != nil {
		return err
	}
	if fresh {
		r.load(ctx, []*frame{moved.frame})
	}
	r.frames.release(c.frame)
	*c = moved
	return nil
}

// at is bytes for a chunk that nobody has moved.
func (r *Reader) at(ctx context.Context, c *chunk) ([]byte, error) {
	f := c.frame
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil {
		return nil, f.err
	}
	if uint64(c.from)+uint64(c.n) > uint64(len(f.raw)) {
		return nil, objects.Corrupt("chunk "+c.id.String(), "its frame ends too early")
	}
	p := f.raw[c.from : c.from+c.n]
	if !f.known(c) {
		if got := r.sum(p); got != c.id {
			return nil, fmt.Errorf("pack %s: %w", f.id.pack, objects.Corrupt("chunk "+c.id.String(), "its content has the ID %s", got))
		}
		f.note(c)
	}
	return p, nil
}

// known reports whether c was compared before.
func (f *frame) known(c *chunk) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, ok := f.good[c.from]
	return ok && id == c.id
}

func (f *frame) note(c *chunk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good == nil {
		f.good = make(map[uint32]objects.ID)
	}
	f.good[c.from] = c.id
}
