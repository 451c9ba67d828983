package record

import (
	"encoding/binary"
	"iter"
	"maps"

	"cairn/objects"
	"cairn/objects/wire"
)

// A PackSet is a set of packs. It is for reading; several may read at once.
type PackSet struct {
	rows    table
	headers map[objects.ID][]byte // of those packs that have one
}

// Bytes of a row: ID, kind, length and length of the header, both
// little-endian, hash of the header.
const (
	rowKind   = idSize
	rowLength = rowKind + 1
	rowHeader = rowLength + 8
	rowHash   = rowHeader + 4
	packRow   = rowHash + idSize
)

func newPackSet() PackSet {
	return PackSet{rows: newTable(packRow), headers: map[objects.ID][]byte{}}
}

func (s *PackSet) clone() PackSet { return PackSet{s.rows.clone(), maps.Clone(s.headers)} }

// Has reports whether the pack id is in s.
func (s *PackSet) Has(id objects.ID) bool { return s.rows.get(id) != nil }

// Get returns the pack id, and whether it is in s. Its header must not be
// changed.
func (s *PackSet) Get(id objects.ID) (p Pack, ok bool) {
	row := s.rows.get(id)
	if row == nil {
		return Pack{}, false
	}
	return s.pack(row), true
}

// Len returns how many packs there are.
func (s *PackSet) Len() int { return s.rows.n }

// All returns the packs, by rising ID. Their headers must not be changed.
func (s *PackSet) All() iter.Seq[Pack] {
	return func(yield func(Pack) bool) {
		for row := range s.rows.all() {
			if !yield(s.pack(row)) {
				return
			}
		}
	}
}

func (s *PackSet) pack(row []byte) Pack {
	p := packOf(row)
	p.Header = s.headers[p.ID]
	return p
}

func packOf(row []byte) Pack {
	return Pack{
		ID:         objects.ID(row),
		Kind:       objects.Kind(row[rowKind]),
		Length:     binary.LittleEndian.Uint64(row[rowLength:]),
		HeaderLen:  binary.LittleEndian.Uint32(row[rowHeader:]),
		HeaderHash: objects.ID(row[rowHash:]),
	}
}

func (s *PackSet) set(p *Pack) {
	row := make([]byte, 0, packRow)
	row = append(append(row, p.ID[:]...), byte(p.Kind))
	row = wire.AppendU32(wire.AppendU64(row, p.Length), p.HeaderLen)
	s.rows.set(append(row, p.HeaderHash[:]...))
	delete(s.headers, p.ID)
	if p.Header != nil {
		s.headers[p.ID] = p.Header
	}
}

func (s *PackSet) remove(id objects.ID) {
	s.rows.remove(id)
	delete(s.headers, id)
}
