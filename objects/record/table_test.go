package record

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"
)

// tableModel is what a table should hold.
type tableModel struct {
	table table
	rows  map[objects.ID]byte // the byte that follows the ID
}

func (m *tableModel) clone() *tableModel {
	return &tableModel{m.table.clone(), maps.Clone(m.rows)}
}

func (m *tableModel) set(id objects.ID, value byte) {
	m.table.set(append(id[:], value))
	m.rows[id] = value
}

func (m *tableModel) remove(id objects.ID) {
	m.table.remove(id)
	delete(m.rows, id)
}

func (m *tableModel) check(t *testing.T) {
	t.Helper()
	var want []byte
	for _, id := range slices.SortedFunc(maps.Keys(m.rows), objects.ID.Compare) {
		want = append(append(want, id[:]...), m.rows[id])
	}
	if got := m.table.appendTo(nil); !bytes.Equal(got, want) || m.table.n != len(m.rows) {
		t.Fatalf("got %d rows (%d bytes), want %d, in order", m.table.n, len(got), len(m.rows))
	}
	if got := slices.Concat(slices.Collect(m.table.all())...); !bytes.Equal(got, want) {
		t.Fatal("row by row they differ")
	}
}

// TestTableIsASetOfRows changes tables that come from one another at random:
// each is to stay what it is, whatever becomes of the others.
func TestTableIsASetOfRows(t *testing.T) {
	t.Parallel()
	rng := rand.New(fixedRandom("table"))
	tables := []*tableModel{{newTable(idSize + 1), map[objects.ID]byte{}}}
	id := func() (id objects.ID) {
		binary.BigEndian.PutUint16(id[:], uint16(rng.IntN(3000)))
		return id
	}
	for step := range 30_000 {
		m := tables[rng.IntN(len(tables))]
		switch at := id(); rng.IntN(5) {
		case 0, 1:
			m.set(at, byte(step))
		case 2:
			m.remove(at)
		case 3: // what comes last is handled apart
			binary.BigEndian.PutUint32(at[:], 1<<30+uint32(step))
			m.set(at, byte(step))
		case 4:
			value, want := m.rows[at]
			if row := m.table.get(at); (row != nil) != want || want && row[idSize] != value {
				t.Fatalf("step %d: got row %x, want one: %t", step, row, want)
			}
		}
		if rng.IntN(500) == 0 {
			tables = append(tables, m.clone())
		}
		if len(tables) > 6 {
			tables = slices.Delete(tables, 0, 1)
		}
		if step%1000 == 0 {
			for _, m := range tables {
				m.check(t)
			}
		}
	}
}

// TestTableStops: who has seen enough sees no more.
func TestTableStops(t *testing.T) {
	t.Parallel()
	s := newIDSet()
	for _, n := range []byte{7, 3, 5, 1} {
		s.add(objects.ID{n})
	}
	for limit := range s.Len() + 1 {
		var got []byte
		for id := range s.All() {
			if len(got) == limit {
				break
			}
			got = append(got, id[0])
		}
		if want := []byte{1, 3, 5, 7}[:limit]; !bytes.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
