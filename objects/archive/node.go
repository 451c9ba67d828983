package archive

import (
	"bytes"
	"encoding/binary"
	"errors"

	"cairn/objects"
	"cairn/objects/wire"

	"github.com/zeebo/xxh3"
)

// headRoom is the room for a level and a count in front of a node's items.
const headRoom = 1 + binary.MaxVarintLen64

// Bytes that an item takes at least.
const (
	entryMin = 11
	itemMin  = 1 + 2 + 32 + 2
)

// node is one that is being written. FORMAT.md §8.5.
type node struct {
	buf     []byte // headRoom, then the items
	count   int
	first   string // paths of the first and the last item
	last    string
	entries uint64 // below the node
	size    uint64
}

// reset makes n a node without items.
func (n *node) reset() {
	if n.buf == nil {
		n.buf = make([]byte, headRoom)
	}
	*n = node{buf: n.buf[:headRoom]}
}

// clone returns a copy that shares no memory with n.
func (n *node) clone() node {
	c := *n
	c.buf = bytes.Clone(n.buf)
	return c
}

// added notes that an item was appended to buf.
func (n *node) added(path string, entries, size uint64) {
	if n.count == 0 {
		n.first = path
	}
	n.last = path
	n.count++
	n.entries += entries
	n.size += size
}

// plain returns the node's encoding, which is valid until the next reset.
func (n *node) plain(level int) []byte {
	var room [headRoom]byte
	head := wire.AppendUvarint(room[:0], uint64(level))
	head = wire.AppendUvarint(head, uint64(n.count))
	plain := n.buf[headRoom-len(head):]
	copy(plain, head)
	return plain
}

// item is one of an inner node: a node one level below.
type item struct {
	path    string // of the first entry below
	id      objects.ID
	entries uint64
	size    uint64
}

// addItem appends an item to an inner node.
func (n *node) addItem(it item) {
	shared := commonPrefix(n.last, it.path)
	b := wire.AppendUvarint(n.buf, uint64(shared))
	b = wire.AppendBytes(b, it.path[shared:])
	b = append(b, it.id[:]...)
	b = wire.AppendUvarint(b, it.entries)
	n.buf = wire.AppendUvarint(b, it.size)
	n.added(it.path, it.entries, it.size)
}

// cutHash is h(k, path) of FORMAT.md §8.5.
func cutHash(seed uint64, k int, path string) uint64 {
	return xxh3.HashStringSeed(path, seed+uint64(k)) >> 32
}

// endsLeaf reports whether a leaf may end after the entry path, whose encoding
// has n bytes.
func endsLeaf(seed uint64, path string, n int) bool {
	return cutHash(seed, 0, path) < uint64(n)<<17
}

// endsInner reports whether an inner node of level k ends before the item path.
func endsInner(seed uint64, k int, path string) bool {
	return cutHash(seed, k, path) < 1<<24
}

// Errors of nodes.
var (
	errShared = errors.New("item does not share with the one before it what it could")
	errFirst  = errors.New("path of the first entry is not the one that the node above states")
	errSums   = errors.New("number or size of the entries is not the one that the node above states")
	errEmpty  = errors.New("node has too few items")
)

// openNode reads the front of a node of a level whose items take at least size
// bytes each.
func openNode(plain []byte, level uint8, size int) (d wire.Decoder, count int, err error) {
	d = *wire.NewDecoder(plain)
	if d.UvarintMax(levelMax) != uint64(level) {
		d.Fail(errLevel)
	}
	count = d.Count(size)
	return d, count, d.Err()
}

// items reads the items of an inner node.
type items struct {
	d    wire.Decoder
	left int
	path []byte // of the item before; nil before the first
	rank uint64 // of the next item's first entry, counted from wherever it was set
}

// next reads the next item. The caller makes sure that one is left; the path
// that it returns is valid until the next call.
func (r *items) next() (it item, path []byte, err error) {
	r.left--
	shared := r.d.UvarintMax(uint64(len(r.path)))
	suffix := r.d.Bytes()
	r.d.Fill(it.id[:])
	it.entries = r.d.Uvarint()
	it.size = r.d.Uvarint()
	if err := r.d.Err(); err != nil {
		return item{}, nil, err
	}
	if err := checkSuffix(r.path, suffix, int(shared)); err != nil {
		return item{}, nil, err
	}
	r.path = append(r.path[:shared], suffix...)
	r.rank += it.entries
	return it, r.path, nil
}

// checkSuffix returns nil if n bytes of prev and then suffix are a path above
// prev, of a legal length, and n is as large as possible.
func checkSuffix(prev, suffix []byte, n int) error {
	switch {
	case n+len(suffix) > pathMax:
		return ErrPath
	case len(suffix) == 0:
		return ErrOrder
	case n == len(prev):
		return nil
	case suffix[0] == prev[n]:
		return errShared
	case rank(suffix[0]) < rank(prev[n]):
		return ErrOrder
	}
	return nil
}
