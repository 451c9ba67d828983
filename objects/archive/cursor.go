package archive

import (
	"fmt"

	"cairn/objects"
)

// cursor is a place in an archive, between two entries.
type cursor struct {
	r    *Reader
	open []items // of the inner nodes above the place, the root's first
	leaf leafReader
	in   bool   // the place is in a leaf
	at   ref    // that leaf
	rank uint64 // of the next entry in it
	seen Root   // counts of the entries so far, while whole
	// whole: there was no gap since the archive's first entry.
	whole bool
	// visit, unless nil, gets the ID of every node before it is read.
	visit func(objects.ID)
}

// ref is what is known of a node before it is read.
type ref struct {
	item
	level uint8
	root  bool   // the path is not known
	rank  uint64 // of the first entry below
}

// choice says which item of a node is descended to.
type choice func(n ref, in *inner) items

func toFirst(_ ref, in *inner) items { return in.items }

func toPath(path string) choice {
	return func(_ ref, in *inner) items { return in.find(path) }
}

func toRank(rank uint64) choice {
	return func(n ref, in *inner) items { return in.findRank(rank - n.rank) }
}

// seek returns the first entry that is not below path, and moves behind it.
// Both results are nil where there is none.
func (c *cursor) seek(path string) (*Entry, error) {
	if err := c.place(path); err != nil {
		return nil, err
	}
	for {
		e, err := c.next()
		if e == nil || err != nil || path == "" || ComparePaths(e.Path, path) >= 0 {
			return e, err
		}
	}
}

// place moves to the beginning of the leaf that path belongs to.
func (c *cursor) place(path string) error { return c.placeAt(toPath(path), path == "") }

// placeRank moves to the beginning of the leaf that has the entry of a rank.
func (c *cursor) placeRank(rank uint64) error { return c.placeAt(toRank(rank), rank == 0) }

func (c *cursor) placeAt(to choice, first bool) error {
	c.close()
	c.leaf.step, c.leaf.known = step{}, first
	c.seen, c.whole = Root{}, first
	root := c.r.root
	return c.descend(ref{item: item{"", root.ID, root.Entries, root.Size}, level: root.Level, root: true}, to)
}

// close moves to the end.
func (c *cursor) close() { c.open, c.in = c.open[:0], false }

// skip is seek, for a path that is above the place.
func (c *cursor) skip(path string) (*Entry, error) {
	for c.in && c.leaf.left > 0 {
		if e, err := c.next(); err != nil || ComparePaths(e.Path, path) >= 0 {
			return e, err
		}
	}
	if bound := c.bound(); bound == "" || ComparePaths(bound, path) >= 0 {
		return c.next()
	}
	return c.seek(path)
}

// next returns the next entry, and moves behind it. Both results are nil at the
// end. After an error, the place is behind the node that has it.
func (c *cursor) next() (*Entry, error) {
	for c.in {
		if c.leaf.left > 0 {
			return c.nextInLeaf()
		}
		c.in = false
		err := c.leaf.finish()
		if err == nil && c.leaf.sum != c.at.size {
			err = errSums
		}
		if err != nil {
			return nil, c.damaged(c.at, err)
		}
		if err := c.nextLeaf(); err != nil {
			return nil, err
		}
	}
	// Not in a leaf, because the last one, or the way to it, could not be read.
	if len(c.open) > 0 {
		if err := c.nextLeaf(); err != nil {
			return nil, err
		}
		if c.in {
			return c.next()
		}
	}
	return nil, c.finish()
}

func (c *cursor) nextInLeaf() (*Entry, error) {
	first := c.leaf.first
	e, err := c.leaf.next()
	if err == nil && first && !c.at.root && e.Path != c.at.path {
		err = errFirst
	}
	if err != nil {
		return nil, c.damaged(c.at, err)
	}
	c.rank++
	c.seen.Entries++
	switch e.Type {
	case File:
		c.seen.Files++
	case Dir:
		c.seen.Dirs++
	}
	return e, nil
}

// finish checks, once, the counts that only the root states.
func (c *cursor) finish() error {
	root := c.r.root
	if !c.whole || c.seen.Files == root.Files && c.seen.Dirs == root.Dirs {
		return nil
	}
	c.whole = false
	return c.damaged(ref{item: item{id: root.ID}}, errSums)
}

// nextLeaf moves to the beginning of the next leaf, or to the end.
func (c *cursor) nextLeaf() error {
	for len(c.open) > 0 {
		above := &c.open[len(c.open)-1]
		if above.left == 0 {
			c.open = c.open[:len(c.open)-1]
			continue
		}
		level, rank := c.r.root.Level-uint8(len(c.open)), above.rank
		it, path, err := above.next()
		if err != nil {
			return err // parseInner saw none
		}
		it.path = string(path)
		return c.descend(ref{item: it, level: level, rank: rank}, toFirst)
	}
	return nil
}

// descend moves to the beginning of a leaf below n.
func (c *cursor) descend(n ref, to choice) error {
	for {
		if c.visit != nil {
			c.visit(n.id)
		}
		if n.level == 0 {
			return c.enter(n)
		}
		in, err := c.r.readInner(n)
		if err != nil {
			return c.failed(n, err)
		}
		at := to(n, in)
		at.rank += n.rank
		rank := at.rank
		it, p, err := at.next()
		if err != nil {
			return err // parseInner saw none
		}
		it.path = string(p)
		c.open = append(c.open, at)
		n = ref{item: it, level: n.level - 1, rank: rank}
	}
}

// enter moves to the beginning of a leaf.
func (c *cursor) enter(n ref) error {
	plain, err := c.r.get(n.id)
	if err != nil {
		return c.failed(n, fmt.Errorf("read node %s: %w", n.id, err))
	}
	if err := c.leaf.open(plain); err != nil {
		return c.damaged(n, err)
	}
	switch {
	case uint64(c.leaf.left) != n.entries:
		return c.damaged(n, errSums)
	case c.leaf.left == 0 && !n.root:
		return c.damaged(n, errEmpty)
	}
	c.at, c.in, c.rank = n, true, n.rank
	return nil
}

// readInner returns an inner node that is what n says.
func (r *Reader) readInner(n ref) (*inner, error) {
	in := r.inner.get(n.id)
	if in == nil {
		plain, err := r.get(n.id)
		if err != nil {
			return nil, fmt.Errorf("read node %s: %w", n.id, err)
		}
		if in, err = parseInner(plain, n.level); err != nil {
			return nil, corrupt(n.id, err)
		}
		r.inner.add(n.id, in)
	}
	switch {
	case n.level > levelMax || in.level != n.level:
		return nil, corrupt(n.id, errLevel)
	case n.root && in.items.left < 2:
		return nil, corrupt(n.id, errEmpty)
	case !n.root && in.first != n.path:
		return nil, corrupt(n.id, errFirst)
	case in.entries != n.entries || in.sum != n.size:
		return nil, corrupt(n.id, errSums)
	}
	return in, nil
}

func corrupt(id objects.ID, reason error) error {
	return objects.Corrupt("node "+id.String(), "%v", reason)
}

// damaged is failed, for a node that is not as it should be.
func (c *cursor) damaged(n ref, reason error) error { return c.failed(n, corrupt(n.id, reason)) }

// failed gives up n. The entries behind it follow a gap.
func (c *cursor) failed(n ref, err error) error {
	c.in, c.whole, c.leaf.known = false, false, false
	return &NodeError{ID: n.id, From: n.path, To: c.bound(), Err: err}
}

// bound returns the path of the first node that was not descended to, or "".
func (c *cursor) bound() string {
	for i := len(c.open) - 1; i >= 0; i-- {
		if at := c.open[i]; at.left > 0 {
			at.path = append([]byte(nil), at.path...)
			if _, path, err := at.next(); err == nil {
				return string(path)
			}
		}
	}
	return ""
}
