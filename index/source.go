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
	key(i uint32) (pack.Key, error)
	frame(i uint32) (frameRow, error)
	chunk(i uint32) (chunkRow, error)
}

// placeOf follows a chunk's row to its frame, key and pack.
func placeOf(s source, c chunkRow) (Place, error) {
	f, err := s.frame(c.frame)
	if err != nil {
		return Place{}, err
	}
	p, err := s.pack(f.pack)
	if err != nil {
		return Place{}, err
	}
	k, err := s.key(f.key)
	if err != nil {
		return Place{}, err
	}
	return place(c, &f, &p, k), nil
}

func place(c chunkRow, f *frameRow, p *packRow, k pack.Key) Place {
	return Place{
		Pack: p.id,
		Kind: p.kind,
		Key:  k,
		Frame: pack.Frame{
			Key: f.key - p.firstKey, Number: f.number, Compression: f.compression,
			Off: f.off, Stored: f.stored, Raw: f.raw,
		},
		Off: c.off,
		Len: c.len,
	}
}

// draft holds the packs that were added since the last run, in the order of
// adding; their chunks are in the recent table.
type draft struct {
	packs  []packRow
	keys   []pack.Key
	frames []frameRow
	known  map[objects.ID]uint32 // the rows of packs, by ID
}

// add appends pack p and returns the number of its first frame.
func (d *draft) add(p Pack, h *pack.Header) (firstFrame uint32) {
	row := packRow{
		id: p.ID, kind: p.Kind, length: uint32(p.Len), headerLen: p.HeaderLen,
		firstKey: uint32(len(d.keys)), keys: uint32(len(h.Keys)),
		firstFrame: uint32(len(d.frames)), frames: uint32(len(h.Frames)),
	}
	for _, f := range h.Frames {
		d.frames = append(d.frames, frameRow{
			pack: uint32(len(d.packs)), key: row.firstKey + f.Key, number: f.Number,
			compression: f.Compression, off: f.Off, stored: f.Stored, raw: f.Raw,
		})
	}
	d.keys = append(d.keys, h.Keys...)
	d.packs = append(d.packs, row)
	if d.known == nil {
		d.known = make(map[objects.ID]uint32)
	}
	d.known[p.ID] = uint32(len(d.packs) - 1)
	return row.firstFrame
}

// place returns the place of a chunk of the recent table.
func (d *draft) place(c chunkRow) Place {
	f := &d.frames[c.frame]
	return place(c, f, &d.packs[f.pack], d.keys[f.key])
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

func (s *sorted) pack(i uint32) (packRow, error)   { return s.packs[s.order[i]], nil }
func (s *sorted) key(i uint32) (pack.Key, error)   { return s.keys[i], nil }
func (s *sorted) chunk(i uint32) (chunkRow, error) { return s.chunks[i], nil }

func (s *sorted) frame(i uint32) (frameRow, error) {
	f := s.frames[i]
	f.pack = s.rank[f.pack]
	return f, nil
}
