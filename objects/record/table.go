package record

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"sort"

	"cairn/objects"
)

// idSize is how long an ID is, bytes.
const idSize = len(objects.ID{})

// maxChanged is how many rows a table keeps apart from the others: as many are
// copied by clone, and after so many changes all rows are.
const maxChanged = 512

// A table is a set of rows of one size, each of which begins with its ID. It is
// made for many rows of which few change, and takes them as they lie in a file:
// what that costs does not hang on how many they are, but for checking them.
// Rows are never changed in place, so that copies share them.
type table struct {
	size    int                   // bytes of a row
	base    []byte                // rows by rising ID
	changed map[objects.ID][]byte // what is to be in place of rows of base, or beside them; nil: nothing
	n       int                   // rows in all
}

func newTable(size int) table { return table{size: size, changed: map[objects.ID][]byte{}} }

// clone returns a copy that changes independently of t.
func (t *table) clone() table {
	c := *t
	c.base = slices.Clip(t.base) // else both would grow into the same room
	c.changed = maps.Clone(t.changed)
	return c
}

// find returns where in base the row with that ID is, or would be.
func (t *table) find(id objects.ID) (at int, there bool) {
	at = t.size * sort.Search(len(t.base)/t.size, func(i int) bool {
		return bytes.Compare(t.base[i*t.size:][:idSize], id[:]) >= 0
	})
	return at, at < len(t.base) && objects.ID(t.base[at:at+idSize]) == id
}

// get returns the row with that ID, nil if there is none. It must not be changed.
func (t *table) get(id objects.ID) []byte {
	if row, is := t.changed[id]; is {
		return row
	}
	if at, there := t.find(id); there {
		return t.base[at : at+t.size]
	}
	return nil
}

// set adds a row, in place of any with its ID. It keeps it.
func (t *table) set(row []byte) {
	id := objects.ID(row[:idSize])
	if t.get(id) == nil {
		t.n++
	}
	if at, _ := t.find(id); at == len(t.base) && len(t.changed) == 0 {
		t.base = append(t.base, row...)
		return
	}
	t.change(id, row)
}

// remove removes the row with that ID, if there is one.
func (t *table) remove(id objects.ID) {
	if t.get(id) != nil {
		t.n--
		t.change(id, nil)
	}
}

func (t *table) change(id objects.ID, row []byte) {
	t.changed[id] = row
	if len(t.changed) > maxChanged {
		t.base, t.changed = t.appendTo(make([]byte, 0, t.n*t.size)), map[objects.ID][]byte{}
	}
}

// appendTo appends all rows, by rising ID.
func (t *table) appendTo(b []byte) []byte {
	for rows := range t.spans() {
		b = append(b, rows...)
	}
	return b
}

// all returns the rows by rising ID. They must not be changed.
func (t *table) all() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rows := range t.spans() {
			for row := range slices.Chunk(rows, t.size) {
				if !yield(row) {
					return
				}
			}
		}
	}
}

// spans returns all rows, by rising ID, some at a time.
func (t *table) spans() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		from := 0 // what of base is still to come
		for _, id := range slices.SortedFunc(maps.Keys(t.changed), objects.ID.Compare) {
			at, there := t.find(id)
			if from < at && !yield(t.base[from:at]) {
				return
			}
			if from = at; there {
				from += t.size
			}
			if row := t.changed[id]; row != nil && !yield(row) {
				return
			}
		}
		if from < len(t.base) {
			yield(t.base[from:])
		}
	}
}

// An IDSet is a set of IDs. It is for reading; several may read at once.
type IDSet struct{ rows table }

func newIDSet() IDSet { return IDSet{newTable(idSize)} }

// Has reports whether id is in s.
func (s *IDSet) Has(id objects.ID) bool { return s.rows.get(id) != nil }

// Len returns how many IDs there are.
func (s *IDSet) Len() int { return s.rows.n }

// All returns the IDs, rising.
func (s *IDSet) All() iter.Seq[objects.ID] {
	return func(yield func(objects.ID) bool) {
		for row := range s.rows.all() {
			if !yield(objects.ID(row)) {
				return
			}
		}
	}
}

func (s *IDSet) add(id objects.ID) {
	if !s.Has(id) {
		s.rows.set(id[:])
	}
}
