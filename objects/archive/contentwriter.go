package archive

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"cairn/objects/wire"
)

// PutContent returns the content that extents make up, one behind another; put
// gets the chunks of its lists if there are too many for an entry (FORMAT.md
// §8.4). Holes that touch are merged. The result may refer to extents.
func PutContent(extents []Extent, put Put) (Content, error) {
	if len(extents) == 1 && !extents[0].Hole {
		c := Content{Form: Chunk, Extents: extents}
		return c, c.check(extents[0].Len)
	}
	w := NewContentWriter(put)
	for _, x := range extents {
		if err := w.Add(x); err != nil {
			return Content{}, err
		}
	}
	return w.Finish()
}

// ContentWriter makes the content of one file after another from their extents,
// in memory that does not grow with their number. It is not for concurrent use.
type ContentWriter struct {
	put    Put
	levels []list
	hole   uint64 // length of the hole that the next data end, or 0
	size   uint64
	buf    []byte
	err    error
}

// list is the open end of the list of one level.
type list struct {
	items   []Extent // not yet in a chunk
	spilled bool     // there are more items than an entry holds
}

// NewContentWriter returns a writer that stores spilled lists with put.
func NewContentWriter(put Put) *ContentWriter { return &ContentWriter{put: put} }

// Add appends x. After an error of put, every call returns it.
func (w *ContentWriter) Add(x Extent) error {
	if w.err != nil {
		return w.err
	}
	if err := x.check(0); err != nil {
		return err
	}
	if w.size+x.Len < w.size || x.Hole && w.hole+x.Len > math.MaxInt64 {
		return errOverflow
	}
	w.size += x.Len
	if x.Hole {
		w.hole += x.Len
		return nil
	}
	w.flushHole()
	w.add(0, x)
	return w.err
}

// Finish returns the content, and begins the next one. The caller owns the
// result. Content without extents is empty.
func (w *ContentWriter) Finish() (Content, error) {
	w.flushHole()
	var c Content
	for level := 0; w.err == nil && level < len(w.levels); level++ {
		l := &w.levels[level]
		if !l.spilled {
			c = content(level, l.items)
			break
		}
		w.spill(level, len(l.items))
	}
	for i := range w.levels {
		w.levels[i] = list{items: w.levels[i].items[:0]}
	}
	w.levels, w.size = w.levels[:0], 0
	if w.err != nil {
		return Content{}, w.err
	}
	return c, nil
}

// Fork returns a writer that stands where w does, and goes on without it: to
// finish the fork is to get the content of the extents that w has so far.
func (w *ContentWriter) Fork() *ContentWriter {
	f := *w
	f.buf = nil
	f.levels = slices.Clone(w.levels)
	for i := range f.levels {
		f.levels[i].items = slices.Clone(w.levels[i].items)
	}
	return &f
}

// content returns the content of a list that fits in an entry.
func content(level int, items []Extent) Content {
	c := Content{Form: Extents, Level: uint8(level), Extents: append([]Extent(nil), items...)}
	switch {
	case len(items) == 0:
		return Content{}
	case len(items) == 1 && level == 0 && !items[0].Hole:
		c.Form = Chunk
	}
	return c
}

func (w *ContentWriter) flushHole() {
	if w.hole > 0 {
		w.add(0, Extent{Len: w.hole, Hole: true})
		w.hole = 0
	}
}

// add appends x to the list of a level. The first items wait until it is known
// that there are too many for an entry; then all are cut as they come.
func (w *ContentWriter) add(level int, x Extent) {
	l := w.level(level)
	l.items = append(l.items, x)
	switch {
	case w.err != nil:
	case l.spilled:
		if endsList(&x) || len(l.items) == itemsMax {
			w.spill(level, len(l.items))
		}
	case len(l.items) > extentsMax:
		l.spilled = true
		w.cut(level)
	}
}

// cut spills the items that waited, as far as a chunk ends among them.
func (w *ContentWriter) cut(level int) {
	for i := 0; i < len(w.levels[level].items); {
		i++
		if endsList(&w.levels[level].items[i-1]) {
			w.spill(level, i)
			i = 0
		}
	}
}

// endsList reports whether a chunk of a list ends after x. FORMAT.md §8.4.
func endsList(x *Extent) bool {
	return !x.Hole && binary.LittleEndian.Uint32(x.ID[:])%256 == 0
}

// spill stores the first n items of a level, if any, as a chunk, and adds it to
// the next level.
func (w *ContentWriter) spill(level, n int) {
	if n == 0 || w.err != nil {
		return
	}
	if level == listLevelMax {
		w.err = errTooMany
		return
	}
	l := &w.levels[level]
	var sum uint64
	for i := range n {
		sum += l.items[i].Len
	}
	w.buf = appendList(w.buf[:0], l.items[:n], uint8(level))
	l.items = l.items[:copy(l.items, l.items[n:])]
	id, err := w.put(w.buf)
	if err != nil {
		w.err = fmt.Errorf("store list of extents: %w", err)
		return
	}
	w.add(level+1, Extent{Len: sum, ID: id})
}

// level returns the list of a level, which is there or the next one.
func (w *ContentWriter) level(i int) *list {
	if i == len(w.levels) {
		if i < cap(w.levels) {
			w.levels = w.levels[:i+1] // with the buffer it had for an earlier file
		} else {
			w.levels = append(w.levels, list{})
		}
	}
	return &w.levels[i]
}

// decodeExtentList returns the items of a chunk that stands for x in a list of
// level+1.
func decodeExtentList(plain []byte, x Extent, level uint8) ([]Extent, error) {
	d := wire.NewDecoder(plain)
	items := decodeList(d, level, itemsMax, nil)
	if err := d.Finish(); err != nil {
		return nil, err
	}
	sum, err := checkList(items, level)
	if err == nil && sum != x.Len {
		err = errSize
	}
	return items, err
}
