package restore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/pack"
)

const (
	windows      = 2 // one is planned while another is carried out
	windowPieces = 64 << 10
	windowFiles  = 16 << 10
	windowExtra  = 4 << 20 // bytes of names, attributes and the like

	gapMax = 128 << 10 // bytes that are read and thrown away rather than asked around

	batchMax = 64 // files without chunks that are one job
)

// window is a part of the archive whose chunks are fetched together, sorted by
// where they lie. It is used over and over.
type window struct {
	files int
	extra int // bytes that the files take besides themselves

	pieces []piece
	frames []frame    // that hold the pieces, once each
	keys   []pack.Key // that open the frames, once each
	packs  []objects.ID
	ready  []*file // files that need no chunks

	frameAt map[frameID]uint32 // index into frames
	keyAt   map[[32]byte]uint32
	packAt  map[objects.ID]uint32

	jobs atomic.Int64 // not done yet, and one while the planner gives them out
}

// piece is one chunk at one place of one file.
type piece struct {
	file  *file
	to    uint64 // place in the file, bytes
	id    objects.ID
	frame uint32 // index into window.frames
	from  uint32 // place in the frame's plaintext, bytes
	n     uint32 // length, bytes
}

type frameID struct{ pack, off uint32 }

// frame is a frame that holds some of the pieces.
type frame struct {
	pack   uint32 // index into window.packs, which are in the order of their first use
	key    uint32 // index into window.keys
	frame  pack.Frame
	pieces []piece // set by sort
}

func newWindow() *window {
	return &window{
		frameAt: make(map[frameID]uint32),
		keyAt:   make(map[[32]byte]uint32),
		packAt:  make(map[objects.ID]uint32),
	}
}

// reset empties the window; the next plan uses its memory.
func (w *window) reset() {
	clear(w.pieces) // lets go of the files
	clear(w.frames)
	clear(w.ready)
	w.pieces, w.frames, w.keys, w.packs, w.ready = w.pieces[:0], w.frames[:0], w.keys[:0], w.packs[:0], w.ready[:0]
	clear(w.frameAt)
	clear(w.keyAt)
	clear(w.packAt)
	w.files, w.extra = 0, 0
}

func (w *window) full() bool {
	return w.files >= windowFiles || len(w.pieces) >= windowPieces || w.extra >= windowExtra
}

func (w *window) empty() bool { return len(w.pieces) == 0 && len(w.ready) == 0 }

// add plans the chunk x, which lies at place, for f.
func (w *window) add(f *file, to uint64, x archive.Extent, place *index.Place) error {
	if place.Kind != objects.Data {
		return objects.Corrupt("chunk "+x.ID.String(), "it lies in a pack of metadata")
	}
	if uint64(place.Len) != x.Len {
		return objects.Corrupt("chunk "+x.ID.String(), "it has %d bytes where the archive has %d", place.Len, x.Len)
	}
	w.pieces = append(w.pieces, piece{
		file: f, to: to, id: x.ID, frame: w.frameOf(place), from: place.Off, n: place.Len,
	})
	return nil
}

func (w *window) frameOf(place *index.Place) uint32 {
	p := intern(w.packAt, &w.packs, place.Pack, place.Pack)
	id := frameID{p, place.Frame.Off}
	if i, ok := w.frameAt[id]; ok {
		return i
	}
	// Keys of one commitment are one key, however it is wrapped.
	key := intern(w.keyAt, &w.keys, place.Key.Commitment, place.Key)
	w.frames = append(w.frames, frame{pack: p, key: key, frame: place.Frame})
	i := uint32(len(w.frames) - 1)
	w.frameAt[id] = i
	return i
}

// intern returns the index of v in list, where it is once.
func intern[K comparable, V any](at map[K]uint32, list *[]V, k K, v V) uint32 {
	if i, ok := at[k]; ok {
		return i
	}
	i := uint32(len(*list))
	*list = append(*list, v)
	at[k] = i
	return i
}

// sort orders the pieces by place and gives every frame its own. The frames
// are returned in order.
func (w *window) sort() []*frame {
	slices.SortFunc(w.pieces, func(a, b piece) int {
		if a.frame != b.frame {
			return w.frames[a.frame].compare(&w.frames[b.frame])
		}
		return cmp.Compare(a.from, b.from)
	})
	order := make([]*frame, 0, len(w.frames))
	for i := 0; i < len(w.pieces); {
		end := i + 1
		for end < len(w.pieces) && w.pieces[end].frame == w.pieces[i].frame {
			end++
		}
		f := &w.frames[w.pieces[i].frame]
		f.pieces = w.pieces[i:end]
		order = append(order, f)
		i = end
	}
	return order
}

func (f *frame) compare(g *frame) int {
	if c := cmp.Compare(f.pack, g.pack); c != 0 {
		return c
	}
	return cmp.Compare(f.frame.Off, g.frame.Off)
}

func (f *frame) off() int64 { return int64(f.frame.Off) }
func (f *frame) end() int64 { return int64(f.frame.Off) + int64(f.frame.Stored) }

// job is what a worker does in one go: one read of a pack, or some files that
// need none.
type job struct {
	window *window
	frames []*frame // near each other in one pack
	ready  []*file
}

// giveOut cuts the window's work into jobs and hands them to the workers. The
// last of them returns the window.
func (p *planner) giveOut(ctx context.Context, w *window) error {
	w.jobs.Store(1)
	for batch := range slices.Chunk(w.ready, batchMax) {
		if err := p.hand(ctx, job{window: w, ready: batch}); err != nil {
			return err
		}
	}
	frames := w.sort()
	for len(frames) > 0 {
		n := p.near(frames)
		if err := p.hand(ctx, job{window: w, frames: frames[:n]}); err != nil {
			return err
		}
		frames = frames[n:]
	}
	p.r.jobDone(w)
	return nil
}

// near returns how many of the frames make one read.
func (p *planner) near(frames []*frame) int {
	first := frames[0]
	for i := 1; i < len(frames); i++ {
		next := frames[i]
		if next.pack != first.pack || next.off()-frames[i-1].end() > gapMax || next.end()-first.off() > p.r.o.ReadMax {
			return i
		}
	}
	return len(frames)
}

func (p *planner) hand(ctx context.Context, j job) error {
	j.window.jobs.Add(1)
	select {
	case p.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jobDone returns the window to the planner after its last job.
func (r *run) jobDone(w *window) {
	if w.jobs.Add(-1) == 0 {
		w.reset()
		r.free <- w // has room for all windows
	}
}

// errPiece says where a piece was to come from.
func (w *window) errPiece(f *frame, err error) error {
	return fmt.Errorf("pack %s: %w", w.packs[f.pack], err)
}
