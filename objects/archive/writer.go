package archive

import (
	"fmt"
	"slices"
)

// Writer makes the tree of an archive from its entries, in memory that does not
// grow with their number. It is not for concurrent use.
type Writer struct {
	seed  uint64
	put   Put
	leaf  leaf
	inner []level // inner[i] is of level i+1
	step  step
	root  Root
	err   error
}

// level is the open node of a level above the leaves.
type level struct {
	node
	stored bool // a node of this level was stored
	only   item // the first item: the root, if no other comes
}

// NewWriter returns a writer of one archive. The seed is that of FORMAT.md
// §3.2; put gets the nodes, each before the one that refers to it.
func NewWriter(seed uint64, put Put) *Writer {
	w := &Writer{seed: seed, put: put}
	w.leaf.reset()
	return w
}

// Add appends an entry. Entries come by rising path (ComparePaths), a directory
// before what is in it.
//
// An entry that is refused (ErrOrder, ErrParent, ErrPath, or a field out of
// range) leaves the writer as it was. After an error of put, every call returns
// it. The writer keeps strings of e, and nothing else.
func (w *Writer) Add(e *Entry) error {
	if w.err != nil {
		return w.err
	}
	shared := commonPrefix(w.step.path, e.Path)
	err := w.step.check(e.Path, shared)
	if err == nil {
		err = e.check()
	}
	if err == nil && w.root.Size+e.Size < e.Size {
		err = errOverflow
	}
	if err != nil {
		return fmt.Errorf("add %q to the archive: %w", e.Path, err)
	}
	begin := len(w.leaf.buf)
	n := w.leaf.add(e, shared)
	if n > entryMax {
		w.leaf.buf = w.leaf.buf[:begin]
		return fmt.Errorf("add %q to the archive: %w", e.Path, errEntrySize)
	}
	w.added(e)
	if endsLeaf(w.seed, e.Path, n) || len(w.leaf.buf)-headRoom >= leafMax {
		w.err = w.endLeaf()
	}
	return w.err
}

func (w *Writer) added(e *Entry) {
	w.leaf.added(e)
	w.step = step{e.Path, e.Type == Dir}
	w.root.Entries++
	w.root.Size += e.Size
	switch e.Type {
	case File:
		w.root.Files++
	case Dir:
		w.root.Dirs++
	}
}

// Finish stores what is still open and returns the root. The writer is of no
// use afterwards.
func (w *Writer) Finish() (Root, error) {
	if w.err == nil && (w.leaf.count > 0 || len(w.inner) == 0) {
		w.err = w.endLeaf()
	}
	for i := 0; w.err == nil; i++ {
		l := &w.inner[i]
		if !l.stored && l.count == 1 {
			w.root.ID, w.root.Level = l.only.id, uint8(i)
			break
		}
		if l.count > 0 {
			w.err = w.endInner(i)
		}
	}
	if w.err != nil {
		return Root{}, w.err
	}
	return w.root, nil
}

// Fork returns a writer that stands where w does, and goes on without it: what
// is added to one of them is not in the other. To finish the fork is to get the
// tree of the entries that w has so far. The nodes that are still open are put
// by both, should both be finished.
func (w *Writer) Fork() *Writer {
	f := *w
	f.leaf.node = w.leaf.node.clone()
	f.inner = slices.Clone(w.inner)
	for i := range f.inner {
		f.inner[i].node = w.inner[i].node.clone()
	}
	return &f
}

func (w *Writer) endLeaf() error {
	it, err := w.store(&w.leaf.node, 0)
	if err != nil {
		return err
	}
	return w.add(0, it)
}

// add appends an item to inner[i], and ends the node before or after it where
// FORMAT.md §8.5 says so.
func (w *Writer) add(i int, it item) error {
	if i == len(w.inner) {
		w.inner = append(w.inner, level{only: it})
		w.inner[i].reset()
	}
	if w.inner[i].count > 0 && endsInner(w.seed, i+1, it.path) {
		if err := w.endInner(i); err != nil {
			return err
		}
	}
	w.inner[i].addItem(it)
	if w.inner[i].count == itemsMax {
		return w.endInner(i)
	}
	return nil
}

func (w *Writer) endInner(i int) error {
	if i+1 > levelMax {
		return fmt.Errorf("store tree of the archive: %w", errLevel)
	}
	w.inner[i].stored = true
	it, err := w.store(&w.inner[i].node, i+1)
	if err != nil {
		return err
	}
	return w.add(i+1, it)
}

// store puts n, empties it and returns the item that stands for it.
func (w *Writer) store(n *node, level int) (item, error) {
	id, err := w.put(n.plain(level))
	if err != nil {
		return item{}, fmt.Errorf("store tree of the archive: %w", err)
	}
	it := item{n.first, id, n.entries, n.size}
	n.reset()
	return it, nil
}
