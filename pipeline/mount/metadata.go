//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"bytes"
	"container/list"
	"sync"

	"cairn/objects"
	"cairn/objects/archive"
)

const (
	metaKept    = 24 << 20 // bytes of metadata chunks that are kept
	metaReaders = 2        // who read them at a time
)

// metadata reads metadata chunks, for several at a time, and keeps those that
// were read last.
type metadata struct {
	free chan archive.Get // readers that nobody uses

	mu    sync.Mutex
	known map[objects.ID]*list.Element // guarded by mu
	order list.List                    // of *metaChunk, the one used last in front; guarded by mu
	size  int                          // bytes kept; guarded by mu
}

type metaChunk struct {
	id    objects.ID
	plain []byte
}

func newMetadata(reader func() archive.Get) *metadata {
	m := &metadata{free: make(chan archive.Get, metaReaders), known: map[objects.ID]*list.Element{}}
	for range metaReaders {
		m.free <- reader()
	}
	return m
}

// get implements archive.Get.
func (m *metadata) get(id objects.ID) ([]byte, error) {
	if plain := m.recall(id); plain != nil {
		return plain, nil
	}
	get := <-m.free
	plain, err := get(id)
	if err == nil {
		plain = bytes.Clone(plain) // the reader will use its memory again
	}
	m.free <- get
	if err != nil {
		return nil, err
	}
	m.keep(id, plain)
	return plain, nil
}

func (m *metadata) recall(id objects.ID) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.known[id]
	if e == nil {
		return nil
	}
	m.order.MoveToFront(e)
	return e.Value.(*metaChunk).plain
}

func (m *metadata) keep(id objects.ID, plain []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[id] != nil {
		return
	}
	m.known[id] = m.order.PushFront(&metaChunk{id, plain})
	for m.size += len(plain); m.size > metaKept && m.order.Len() > 1; {
		last := m.order.Remove(m.order.Back()).(*metaChunk)
		m.size -= len(last.plain)
		delete(m.known, last.id)
	}
}
