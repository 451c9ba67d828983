package index

import (
	"cmp"
	"slices"

	"cairn/objects"
	"cairn/objects/pack"
)

// source is what a run is made from: a run, or what was added since the last
// one. Packs rise by ID and so do chunks; a row that is not there is
// ErrDamaged.
type source interface {
	counts() counts
	pack(i uint32) (packRow, error)
	frame(i uint32) (frameRow, error)
	chunk(i uint32) (chunkRow, error)
	key(i uint32) (pack.Key, error)
}

// draft holds the packs that were added since the last run, in the order of
// adding; their chunks are in the recent table.
type draft struct {
	packs  []packRow
	keys   []pack.Key
	frames []frameRow
	known  map[objects.ID]uint32 // the rows of packs, by ID
}

// add appends pack p and returns its row, and that of its first frame.
func (d *draft) add(p Pack, h *pack.Header) (number, firstFrame uint32) {
	row := packRow{id: p.ID, kind: p.Kind, length: uint32(p.Len), headerLen: p.HeaderLen}
	row.owned = owned{
		firstKey: uint32(len(d.keys)), keys: uint32(len(h.Keys)),
		firstFrame: uint32(len(d.frames)), frames: uint32(len(h.Frames)),
	}
	if len(h.Keys) > 0 {
		row.key = h.Keys[0]
		d.keys = append(d.keys, h.Keys[1:]...)
	}
	number = uint32(len(d.packs))
	for _, f := range h.Frames {
		d.frames = append(d.frames, frameRow{
			key: f.Key, number: f.Number, compression: f.Compression,
			off: f.Off, stored: f.Stored, raw: f.Raw,
		})
	}
	d.packs = append(d.packs, row)
	if d.known == nil {
		d.known = make(map[objects.ID]uint32)
	}
	d.known[p.ID] = number
	return number, row.firstFrame
}

func (d *draft) key(i uint32) (pack.Key, error)   { return d.keys[i], nil }
func (d *draft) frame(i uint32) (frameRow, error) { return d.frames[i], nil }

// place returns the place of a chunk of the recent table.
func (d *draft) place(c chunkRow) Place {
	in, f := &d.packs[c.pack], &d.frames[c.frame]
	p := Place{Pack: in.id, Kind: in.kind, Key: in.key, Frame: f.public(), Off: c.off, Len: c.len}
	if f.key > 0 {
		p.Key = d.keys[in.other(f.key)]
	}
	return p
}

// sorted is a draft as a source.
type sorted struct {
	*draft
	order  []uint32 // packs by rising ID
	rank   []uint32 // the inverse of order
	chunks []chunkRow
}

// newSorted takes the chunks, which it sorts in place.
func newSorted(d *draft, chunks []chunkRow) *sorted {
	s := &sorted{draft: d, chunks: chunks}
	s.order = make([]uint32, len(d.packs))
	s.rank = make([]uint32, len(d.packs))
	for i := range s.order {
		s.order[i] = uint32(i)
	}
	slices.SortFunc(s.order, func(a, b uint32) int { return d.packs[a].id.Compare(d.packs[b].id) })
	for i, n := range s.order {
		s.rank[n] = uint32(i)
	}
	slices.SortFunc(chunks, func(a, b chunkRow) int {
		return cmp.Or(a.id.Compare(b.id), cmp.Compare(a.frame, b.frame))
	})
	return s
}

func (s *sorted) counts() counts {
	return counts{
		packs: uint32(len(s.packs)), keys: uint32(len(s.keys)),
		frames: uint32(len(s.frames)), chunks: uint32(len(s.chunks)),
	}
}

func (s *sorted) pack(i uint32) (packRow, error) { return s.packs[s.order[i]], nil }

func (s *sorted) chunk(i uint32) (chunkRow, error) {
	c := s.chunks[i]
	c.pack = s.rank[c.pack]
	return c, nil
}
