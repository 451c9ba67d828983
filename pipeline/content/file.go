package content

import (
	"context"
	"fmt"
	"sync"

	"cairn/objects/archive"
)

// windowExtents is how many extents of a file are kept at hand.
const windowExtents = 1024

// File is the content of one file. Its methods may be called concurrently.
type File struct {
	r     *Reader
	lists *archive.Reader // for the lists of extents; used under mu
	c     archive.Content
	size  uint64

	mu     sync.Mutex
	window []archive.Placed // one behind another; guarded by mu
	next   uint64           // where a reader who goes on would read; guarded by mu
	asked  uint64           // how far was fetched ahead of him; guarded by mu
}

// Open returns the content c, which it clones. Meta may be called concurrently
// with other calls of it, but for one file it is called one at a time.
func (r *Reader) Open(c *archive.Content, meta archive.Get) *File {
	return &File{r: r, lists: archive.NewReader(archive.Root{}, meta), c: c.Clone(), size: c.Size()}
}

// Size returns how many bytes there are.
func (f *File) Size() uint64 { return f.size }

// ReadAt fills p from off on and returns how many bytes that are: fewer than
// asked for only at the end. An error comes with nothing. What is fetched ahead
// of someone who reads on and on is fetched under ctx, too.
func (f *File) ReadAt(ctx context.Context, p []byte, off uint64) (int, error) {
	if off >= f.size {
		return 0, nil
	}
	p = p[:min(uint64(len(p)), f.size-off)]
	if f.c.Form == archive.Inline {
		return copy(p, f.c.Inline[off:]), nil
	}
	extents, err := f.extents(nil, off, off+uint64(len(p)))
	if err != nil {
		return 0, err
	}
	if err := f.fill(ctx, p, off, extents); err != nil {
		return 0, err
	}
	f.readAhead(ctx, off, uint64(len(p)))
	return len(p), nil
}

// fill copies the part of the extents from off on to p.
func (f *File) fill(ctx context.Context, p []byte, off uint64, extents []archive.Placed) error {
	held := make([]chunk, len(extents))
	defer func() {
		for _, c := range held {
			if c.frame != nil {
				f.r.frames.release(c.frame)
			}
		}
	}()
	var missing []*frame
	for i := range extents {
		if extents[i].Hole {
			continue
		}
		c, fresh, err := f.r.hold(ctx, &extents[i].Extent)
		if err != nil {
			f.r.loadAll(ctx, missing)
			return err
		}
		held[i] = c
		if fresh {
			missing = append(missing, c.frame)
		}
	}
	f.r.loadAll(ctx, missing)
	for i, x := range extents {
		from, to := max(x.Off, off), min(x.Off+x.Len, off+uint64(len(p)))
		piece := p[from-off : to-off]
		if x.Hole {
			clear(piece)
			continue
		}
		raw, err := f.r.bytes(ctx, &held[i])
		if err != nil {
			return err
		}
		copy(piece, raw[from-x.Off:])
	}
	return nil
}

// loadAll fetches frames that nobody else does.
func (r *Reader) loadAll(ctx context.Context, frames []*frame) {
	for run := range r.runs(frames) {
		r.load(ctx, run)
	}
}

// extents appends those that have the bytes from…to, which there are.
func (f *File) extents(list []archive.Placed, from, to uint64) ([]archive.Placed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for from < to {
		if !f.inWindow(from) {
			if err := f.move(from); err != nil {
				return nil, err
			}
		}
		i := search(f.window, from)
		for ; i < len(f.window) && from < to; i++ {
			list = append(list, f.window[i])
			from = f.window[i].Off + f.window[i].Len
		}
	}
	return list, nil
}

// inWindow needs mu.
func (f *File) inWindow(off uint64) bool {
	n := len(f.window)
	return n > 0 && f.window[0].Off <= off && off < f.window[n-1].Off+f.window[n-1].Len
}

// move makes the window begin with the extent that has the byte at off. It
// needs mu.
func (f *File) move(off uint64) error {
	f.window = f.window[:0]
	for x, err := range f.lists.ExtentsFrom(&f.c, off) {
		if err != nil && len(f.window) == 0 {
			return err
		}
		if err != nil {
			break // whoever comes so far is told
		}
		if f.window = append(f.window, x); len(f.window) == windowExtents {
			break
		}
	}
	if !f.inWindow(off) {
		return fmt.Errorf("no extent has byte %d of %d", off, f.size)
	}
	return nil
}

// search returns the index of the extent that has the byte at off, which one of
// them has.
func search(window []archive.Placed, off uint64) int {
	low, high := 0, len(window)
	for high-low > 1 {
		if middle := (low + high) / 2; window[middle].Off <= off {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// Run returns where the data, or the hole, that has the byte at off ends.
func (f *File) Run(off uint64) (hole bool, end uint64, err error) {
	if f.c.Form == archive.Inline {
		return false, f.size, nil
	}
	for at := off; at < f.size; {
		list, err := f.extents(nil, at, at+1)
		if err != nil {
			return false, 0, err
		}
		x := list[0]
		if at == off {
			hole = x.Hole
		} else if x.Hole != hole {
			return hole, at, nil
		}
		at = x.Off + x.Len
	}
	return hole, f.size, nil
}

// reach is how far reads of someone who reads on may come out of order, bytes:
// the kernel asks for several pieces at once.
const reach = 2 << 20

// readAhead has fetched, in the background, what someone who has just read n
// bytes at off will want, if he has read what is before them, too.
func (f *File) readAhead(ctx context.Context, off, n uint64) {
	from, to := f.advance(off, n)
	if from == to {
		return
	}
	extents, err := f.extents(nil, from, to)
	if err != nil {
		return // whoever reads it is told
	}
	missing := f.r.missing(ctx, extents)
	for run := range f.r.runs(missing) {
		f.r.ahead.Go(func() error {
			f.r.load(ctx, run)
			return nil
		})
	}
}

// advance notes a read, and returns what is to be fetched ahead.
func (f *File) advance(off, n uint64) (from, to uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	onward := off+reach >= f.next && off <= f.next+reach && f.next > 0 || off == 0
	if !onward {
		f.next, f.asked = off+n, 0
		return 0, 0
	}
	f.next = max(f.next, off+n)
	ahead := uint64(f.r.o.Ahead)
	from = max(f.asked, f.next)
	to = min(f.next+ahead, f.size)
	if from >= to || to-from < ahead/2 && to < f.size {
		return 0, 0 // enough is under way
	}
	f.asked = to
	return from, to
}

// missing returns the frames of some extents that nobody else fetches. That one
// cannot be had is for whoever wants it.
func (r *Reader) missing(ctx context.Context, extents []archive.Placed) (frames []*frame) {
	for i := range extents {
		if extents[i].Hole {
			continue
		}
		c, fresh, err := r.hold(ctx, &extents[i].Extent)
		if err != nil {
			continue
		}
		if fresh {
			frames = append(frames, c.frame)
		}
		r.frames.release(c.frame) // whoever loads it holds it until then
	}
	return frames
}
