package archive

import (
	"fmt"

	"cairn/objects"
)

// A Need is a chunk that an archive cannot do without.
type Need struct {
	ID   objects.ID
	Kind objects.Kind
	Len  uint64 // of a chunk of data, bytes; 0 for metadata
}

// Needs tells need of every chunk that the archive needs, of metadata before
// it is read. What need answers for a chunk of metadata says whether to read
// it, and to tell of what is needed below it: an archive that shares most of
// its tree with another is gone through in no time. A chunk may come more than
// once.
//
// Needs ends at the first error: of need, or of what could not be read, as From
// and Extents give them.
func (r *Reader) Needs(need func(Need) (below bool, err error)) error {
	w := needs{c: cursor{r: r}, need: need}
	root := r.root
	return w.node(ref{item: item{"", root.ID, root.Entries, root.Size}, level: root.Level, root: true})
}

// needs goes down a tree. The cursor reads leaves, one at a time, and never
// moves by itself.
type needs struct {
	c    cursor
	need func(Need) (below bool, err error)
}

func (w *needs) node(n ref) error {
	below, err := w.need(Need{ID: n.id, Kind: objects.Meta})
	if err != nil || !below {
		return err
	}
	if n.level == 0 {
		return w.leaf(n)
	}
	in, err := w.c.r.readInner(n)
	if err != nil {
		return w.c.failed(n, err)
	}
	for at := in.items; at.left > 0; {
		it, path, err := at.next()
		if err != nil {
			return err // parseInner saw none
		}
		it.path = string(path)
		if err := w.node(ref{item: it, level: n.level - 1}); err != nil {
			return err
		}
	}
	return nil
}

func (w *needs) leaf(n ref) error {
	w.c.leaf.step, w.c.leaf.known = step{}, false // leaves before it may have been left out
	if err := w.c.enter(n); err != nil {
		return err
	}
	for w.c.leaf.left > 0 {
		e, err := w.c.nextInLeaf()
		if err != nil {
			return err
		}
		if err := w.entry(e); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	err := w.c.leaf.finish()
	if err == nil && w.c.leaf.sum != n.size {
		err = errSums
	}
	if err != nil {
		return w.c.damaged(n, err)
	}
	return nil
}

func (w *needs) entry(e *Entry) error {
	for i := range e.Xattrs {
		if c := e.Xattrs[i].Spilled; c != nil {
			if err := w.extents(c.Extents, c.Level); err != nil {
				return err
			}
		}
	}
	return w.extents(e.Content.Extents, e.Content.Level)
}

// extents tells of what a list of a level names.
func (w *needs) extents(list []Extent, level uint8) error {
	for _, x := range list {
		switch {
		case x.Hole:
		case level == 0:
			if _, err := w.need(Need{x.ID, objects.Data, x.Len}); err != nil {
				return err
			}
		default:
			if err := w.list(x, level-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// list tells of the list of a level that x stands for.
func (w *needs) list(x Extent, level uint8) error {
	below, err := w.need(Need{ID: x.ID, Kind: objects.Meta})
	if err != nil || !below {
		return err
	}
	inside, err := w.c.r.readList(x, level)
	if err != nil {
		return err
	}
	return w.extents(inside, level)
}
