package pack

import "sync"

// Buffers passes the big buffers of packs that have been stored on to the
// builders of later packs, because fresh memory costs a page fault for every
// 4 KiB. A nil *Buffers keeps nothing. It is safe for concurrent use.
//
// At most keep idle buffers of size bytes are held. All in all a writer holds
// one buffer for every builder that has a frame and every pack not yet
// released.
type Buffers struct {
	size, keep int

	mu   sync.Mutex
	idle [][]byte // guarded by mu; at most keep
}

// NewBuffers returns a pool for packs with a target of size bytes, which holds
// on to at most keep idle buffers.
func NewBuffers(size, keep int) *Buffers { return &Buffers{size: size, keep: keep} }

// take returns a buffer with room for size bytes. Nothing is written to a
// fresh one, so that the pages a small pack never reaches cost no memory.
func (b *Buffers) take(size int) []byte {
	if b == nil || size > b.size {
		return make([]byte, 0, size)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.idle); n > 0 {
		buf := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return buf[:0]
	}
	return make([]byte, 0, b.size)
}

// put gives back a buffer that nobody uses any more.
func (b *Buffers) put(buf []byte) {
	if b == nil || cap(buf) < b.size || cap(buf) > 2*b.size {
		return // of another pool's size, or of one oversized frame: not worth its memory
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) < b.keep {
		b.idle = append(b.idle, buf)
	}
}
