package content

import (
	"container/list"
	"context"
	"sync"

	"cairn/index"
)

// bufferMax is how large a buffer may be that is used again, bytes: writers make
// frames of about 1 MiB, though 32 MiB are allowed.
const bufferMax = 4 << 20

// cache holds frames: those in use, and those that were used last.
type cache struct {
	keep int64 // bytes of idle frames

	mu      sync.Mutex
	freed   sync.Cond          // of mu: used has sunk
	frames  map[frameID]*frame // guarded by mu
	idle    list.List          // of *frame without users, the one used last at the end; guarded by mu
	size    int64              // bytes of idle frames; guarded by mu
	used    int64              // bytes of frames with users; guarded by mu
	buffers [][]byte           // of frames that went; guarded by mu
}

func (c *cache) init(keep int64) {
	c.keep = keep
	c.frames = make(map[frameID]*frame)
	c.freed.L = &c.mu
}

func weight(p *index.Place) int64 { return int64(p.Frame.Raw) }

// hold returns the frame that p lies in, to be released. If fresh, it is the
// caller who has to load it, and whoever loads it holds it too.
func (c *cache) hold(p *index.Place) (f *frame, fresh bool) {
	id := frameID{p.Pack, p.Frame.Off}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.frames[id]
	if !ok {
		f = &frame{id: id, place: *p, ready: make(chan struct{}), users: 1}
		c.frames[id] = f
		c.used += weight(&f.place)
	}
	f.users++
	if f.idle != nil {
		c.size -= weight(&f.place)
		c.used += weight(&f.place)
		c.idle.Remove(f.idle)
		f.idle = nil
	}
	return f, !ok
}

// release ends what hold began. The frame's bytes are not to be used after it.
func (c *cache) release(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	c.used -= weight(&f.place)
	c.freed.Broadcast()
	if f.err != nil { // it may be had next time
		delete(c.frames, f.id)
		return
	}
	// Whoever loaded it has released it, so nobody writes to it any more.
	f.idle = c.idle.PushBack(f)
	for c.size += weight(&f.place); c.size > c.keep; {
		c.drop(c.idle.Front())
	}
}

// drop forgets an idle frame. The caller has mu.
func (c *cache) drop(e *list.Element) {
	f := c.idle.Remove(e).(*frame)
	c.size -= weight(&f.place)
	delete(c.frames, f.id)
	if cap(f.raw) <= bufferMax && len(c.buffers) < buffersKept {
		c.buffers = append(c.buffers, f.raw[:0])
	}
}

// buffersKept is how many buffers wait to be used again.
const buffersKept = 8

// buffer returns room for a frame, or nil.
func (c *cache) buffer() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.buffers)
	if n == 0 {
		return nil
	}
	p := c.buffers[n-1]
	c.buffers = c.buffers[:n-1]
	return p
}

// wait returns when no more than limit bytes are in use.
func (c *cache) wait(ctx context.Context, limit int64) error {
	defer context.AfterFunc(ctx, func() {
		c.mu.Lock() // or the wait below could miss it
		defer c.mu.Unlock()
		c.freed.Broadcast()
	})()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.used > limit && ctx.Err() == nil {
		c.freed.Wait()
	}
	return context.Cause(ctx)
}

// full reports whether more than limit bytes are in use.
func (c *cache) full(limit int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used > limit
}
