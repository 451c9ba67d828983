package archive

import (
	"fmt"
	"iter"

	"cairn/objects"
)

// Extents returns the extents of content in order, those of spilled lists
// included; inline content has none. Memory does not grow with their number.
//
// An error, of Get or a *objects.CorruptError, comes with an Extent that says
// how many bytes it concerns, and names nothing. Whoever goes on after it gets
// the extents behind them.
func (r *Reader) Extents(c *Content) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		for x, err := range r.ExtentsFrom(c, 0) {
			if !yield(x.Extent, err) {
				return
			}
		}
	}
}

// Placed is an extent and where in the content it begins.
type Placed struct {
	Extent
	Off uint64 // bytes
}

// ExtentsFrom is Extents, from the extent on that has the byte at off. It reads
// no list that ends before.
func (r *Reader) ExtentsFrom(c *Content, off uint64) iter.Seq2[Placed, error] {
	return func(yield func(Placed, error) bool) {
		w := extentWalk{r: r, from: off, yield: yield}
		w.walk(c.Extents, c.Level)
	}
}

type extentWalk struct {
	r     *Reader
	from  uint64
	yield func(Placed, error) bool
	at    uint64 // where the next extent begins
	hole  bool   // the extent before was a hole
}

// walk returns false if the consumer has enough.
func (w *extentWalk) walk(list []Extent, level uint8) bool {
	for _, x := range list {
		begin := w.at
		if begin+x.Len <= w.from {
			w.at += x.Len
			continue
		}
		if level == 0 {
			w.at += x.Len
			w.hole = x.Hole
			if !w.yield(Placed{x, begin}, nil) {
				return false
			}
			continue
		}
		below, err := w.r.readList(x, level-1)
		if err == nil && w.hole && level == 1 && below[0].Hole {
			err = corruptList(x.ID, errHoles)
		}
		if err != nil {
			w.at += x.Len
			w.hole = false
			if !w.yield(Placed{Extent{Len: x.Len}, begin}, err) {
				return false
			}
		} else if !w.walk(below, level-1) {
			return false
		}
	}
	return true
}

// readList returns the list of a level that x stands for; it is not empty.
func (r *Reader) readList(x Extent, level uint8) ([]Extent, error) {
	plain, err := r.get(x.ID)
	if err != nil {
		return nil, fmt.Errorf("read list of extents %s: %w", x.ID, err)
	}
	list, err := decodeExtentList(plain, x, level)
	if err != nil {
		return nil, corruptList(x.ID, err)
	}
	return list, nil
}

func corruptList(id objects.ID, reason error) error {
	return objects.Corrupt("list of extents "+id.String(), "%v", reason)
}

// MetaIDs returns the ID of every metadata chunk that the archive needs: nodes,
// and spilled lists of extents. It reads all of them but the lists that only
// name data. The ID of a chunk comes before the error that reading it gives, and
// whoever goes on after an error gets the IDs behind. An ID may come more than
// once; the ID with an error is zero.
func (r *Reader) MetaIDs() iter.Seq2[objects.ID, error] {
	return func(yield func(objects.ID, error) bool) {
		var nodes []objects.ID // since the last entry: one of each level at most
		c := cursor{r: r, visit: func(id objects.ID) { nodes = append(nodes, id) }}
		e, err := c.seek("")
		for {
			for _, id := range nodes {
				if !yield(id, nil) {
					return
				}
			}
			nodes = nodes[:0]
			switch {
			case err != nil:
				if !yield(objects.ID{}, err) {
					return
				}
			case e == nil:
				return
			case !r.metaOf(e, yield):
				return
			}
			e, err = c.next()
		}
	}
}

// metaOf yields the IDs of the lists of one entry.
func (r *Reader) metaOf(e *Entry, yield func(objects.ID, error) bool) bool {
	for i := range e.Xattrs {
		if c := e.Xattrs[i].Spilled; c != nil && !r.lists(c.Extents, c.Level, yield) {
			return false
		}
	}
	return r.lists(e.Content.Extents, e.Content.Level, yield)
}

// lists yields the IDs of the lists below one of a level.
func (r *Reader) lists(list []Extent, level uint8, yield func(objects.ID, error) bool) bool {
	if level == 0 {
		return true
	}
	for _, x := range list {
		if !yield(x.ID, nil) {
			return false
		}
		if level == 1 {
			continue
		}
		below, err := r.readList(x, level-1)
		if err != nil {
			if !yield(objects.ID{}, err) {
				return false
			}
		} else if !r.lists(below, level-1, yield) {
			return false
		}
	}
	return true
}
