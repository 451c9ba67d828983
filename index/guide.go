package index

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"cairn/objects"
)

// The guide tells of a chunk which row of a run it may be, or that it is not in
// the run, by one line of memory. A line stands for an equal share of all
// possible IDs. It has the number of the first chunk in its share, how many
// there are, and a tag of sixteen bits for each of the first of them: of the
// chunks that are not in the run, one in a hundred seems to be, most of them
// because their line has more chunks than tags. IDs are keyed hashes: their own
// bits choose line and tag.
//
// What counts is how many accesses to memory have to wait for each other, not
// how many there are. So the lines of all runs are read before one is used, and
// they name the very row. And each line has the leads of its chunks, by which
// the rows of frame and pack are read at the same time as the chunk's own: a
// lookup waits twice. They lie on the line's page, whose lines come first and
// then the leads of each: a search for what may not be there reads lines only.
//
// There are as many leads as tags. Where a line has more chunks, the last lead
// does not lead to a frame: it is the number of the first lead in the overflow,
// where that of its chunk is, and behind it those of the others.
const (
	guideSize     = 64 // bytes of a line: first u32, chunks u32, tags u16 each
	guideHead     = 8  // bytes before the tags
	guideTags     = (guideSize - guideHead) / 2
	guideChunks   = 18                                 // in a line, in the mean
	leadsSize     = guideTags * leadSize               // bytes of the leads of a line
	guidePage     = pageBody / (guideSize + leadsSize) // lines on a page
	guideLeads    = guidePage * guideSize              // bytes before the leads on a page
	guidePageSize = guidePage * (guideSize + leadsSize)
)

// guideLines returns how many lines the guide of n chunks has.
func guideLines(n uint64) uint32 { return uint32(n/guideChunks) + 1 }

// guideLine returns the line of id, of lines: greater IDs have no lesser lines.
func guideLine(id *objects.ID, lines uint32) uint32 {
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(id[:8]), uint64(lines))
	return uint32(hi)
}

// guideTag returns the tag of id: bits that do not choose its line.
func guideTag(id *objects.ID) uint16 { return binary.LittleEndian.Uint16(id[8:10]) }

// A line is a line of the guide.
type line [guideSize]byte

func (l *line) first() uint32  { return u32(l[:], 0) }
func (l *line) chunks() uint32 { return u32(l[:], 4) }

// four returns four tags.
func (l *line) four(n int) uint64 { return binary.LittleEndian.Uint64(l[guideHead+8*n:]) }

// leads are those of a line.
type leads [leadsSize]byte

func (l *leads) at(n uint32) lead { return decodeLead(l[n*leadSize:]) }

// touch asks memory for all of the leads, and waits for nothing unless its
// result is used. It is zero if there are none.
func (l *leads) touch() uint32 {
	return u32(l[:], 0) | u32(l[:], 64) | u32(l[:], 128) | u32(l[:], 192)
}

const (
	eachTag = 0x0001_0001_0001_0001 // times a tag: four of it
	tagLow  = 0x7fff_7fff_7fff_7fff
	tagHigh = 0x8000_8000_8000_8000
)

// mayHave reports whether id may be in the share of a line. It has no branch:
// nothing waits for it that need not.
func (l *line) mayHave(id *objects.ID) bool {
	want := uint64(guideTag(id)) * eachTag
	a, b, c, d := l.four(0)^want, l.four(1)^want, l.four(2)^want, l.four(3)^want
	e, f, g := l.four(4)^want, l.four(5)^want, l.four(6)^want
	// The highest bit of a tag that is zero gets set, and maybe that of a tag
	// above such a one: enough to tell whether there is any.
	zero := (a-eachTag)&^a | (b-eachTag)&^b | (c-eachTag)&^c | (d-eachTag)&^d |
		(e-eachTag)&^e | (f-eachTag)&^f | (g-eachTag)&^g
	return zero&tagHigh != 0 || l.chunks() > guideTags
}

// next returns the first tag of id, from number n on; guideTags if there is
// none.
func (l *line) next(id *objects.ID, n int) int {
	want := uint64(guideTag(id)) * eachTag
	for ; n < guideTags; n = (n | 3) + 1 {
		x := l.four(n/4) ^ want
		zero := ^(x&tagLow + tagLow | x | tagLow) // the highest bit of each tag that is
		zero &= ^uint64(0) << (n % 4 * 16)
		if zero != 0 {
			return n/4*4 + bits.TrailingZeros64(zero)/16
		}
	}
	return guideTags
}

// line returns the line of id in the run's guide, and its leads. It does not
// catch faults.
func (r *run) line(id *objects.ID) (*line, *leads, error) {
	i := guideLine(id, r.header.guide)
	page, i := i/guidePage, i%guidePage
	b, err := r.rowAt(&r.layout.guide, page, page, 0)
	if err != nil {
		return nil, nil, err
	}
	return (*line)(b[i*guideSize:]), (*leads)(b[guideLeads+i*leadsSize:]), nil
}

// lead returns the lead of the n-th chunk of line l, which has more than n. It
// does not catch faults.
func (r *run) lead(l *line, in *leads, n uint32) (lead, error) {
	const last = guideTags - 1
	if n < last || l.chunks() <= guideTags {
		return in.at(n), nil
	}
	const perPage = pageBody / leadSize
	i := in.at(last).frame + n - last
	b, err := r.rowAt(&r.layout.overflow, i, i/perPage, i%perPage*leadSize)
	if err != nil {
		return lead{}, err
	}
	return decodeLead(b), nil
}

// search returns a row of chunk id, whose line and leads are these, and sets p to
// its place, unless it is nil. It does not catch faults.
func (r *run) search(l *line, in *leads, id *objects.ID, p *Place) (row uint32, ok bool, err error) {
	first, chunks := l.first(), l.chunks()
	tagged := int(min(chunks, guideTags))
	for n := l.next(id, 0); n < tagged; n = l.next(id, n+1) {
		ok, err := r.is(id, l, in, uint32(n), p)
		if ok || err != nil {
			return first + uint32(n), ok, err
		}
	}
	if chunks <= guideTags {
		return 0, false, nil
	}
	row, ok, err = r.halve(id, first+guideTags, first+chunks)
	if !ok || err != nil {
		return 0, false, err
	}
	ok, err = r.is(id, l, in, row-first, p)
	return row, ok, err
}

// is reports whether the n-th chunk of line l is chunk id, and then sets p to
// its place, unless it is nil.
func (r *run) is(id *objects.ID, l *line, in *leads, n uint32, p *Place) (bool, error) {
	row := l.first() + n
	if p == nil {
		b, err := r.chunkBytes(row)
		return err == nil && *(*objects.ID)(b) == *id, err
	}
	at, err := r.lead(l, in, n)
	if err != nil {
		return false, err
	}
	return r.place(id, row, at, p)
}

// halve returns a row of chunk id, of those from lo to before hi.
func (r *run) halve(id *objects.ID, lo, hi uint32) (row uint32, ok bool, err error) {
	for lo < hi {
		mid := lo + (hi-lo)/2
		b, err := r.chunkBytes(mid)
		if err != nil {
			return 0, false, err
		}
		switch order := bytes.Compare(b[:len(id)], id[:]); {
		case order == 0:
			return mid, true, nil
		case order < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false, nil
}

// guideWriter writes the guide while the chunks go by, by rising ID. It keeps
// the overflow: two of a thousand leads, unless chunks are in many packs.
type guideWriter struct {
	paper    paper
	page     []byte // the one that is being written
	overflow []lead
	lines    uint32     // in all
	next     uint32     // the first that is not written yet
	first    uint32     // chunk of its share
	share    []chunkRow // the chunks of its share so far
}

// add notes the next chunk.
func (g *guideWriter) add(c *chunkRow) error {
	if err := g.advance(guideLine(&c.id, g.lines)); err != nil {
		return err
	}
	g.share = append(g.share, *c)
	return nil
}

// advance writes the lines before the given one.
func (g *guideWriter) advance(to uint32) (err error) {
	for ; g.next < to; g.next++ {
		i := g.next % guidePage
		if i == 0 {
			if g.page, err = g.paper.row(guidePageSize); err != nil {
				return err
			}
		}
		g.encode(g.page[i*guideSize:], g.page[guideLeads+i*leadsSize:])
		g.first += uint32(len(g.share))
		g.share = g.share[:0]
	}
	return nil
}

// encode writes the share's line and leads.
func (g *guideWriter) encode(line, leads []byte) {
	putU32s(line, g.first, uint32(len(g.share)))
	for i, c := range g.share[:min(len(g.share), guideTags)] {
		binary.LittleEndian.PutUint16(line[guideHead+2*i:], guideTag(&c.id))
		c.lead.encode(leads[leadSize*i:])
	}
	if len(g.share) <= guideTags {
		return
	}
	const last = guideTags - 1
	lead{frame: uint32(len(g.overflow))}.encode(leads[leadSize*last:])
	for _, c := range g.share[last:] {
		g.overflow = append(g.overflow, c.lead)
	}
}

// end writes the lines that are left.
func (g *guideWriter) end() error {
	if err := g.advance(g.lines); err != nil {
		return err
	}
	return g.paper.end()
}
