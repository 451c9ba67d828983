package index

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime/debug"
	"slices"

	"cairn/objects"
)

// errTooMany says that the chunks do not fit in one run.
var errTooMany = errors.New("more chunks than an index run can number")

// stretch is how many pages are written at a time, to a multiple of it: in the
// size and at the place of a large page of the processor. A kernel that keeps
// what is written in such pieces maps each with a single entry, and lookups
// wait less for the tables of pages. Nothing depends on it.
const stretch = 2 << 20 / pageSize

// paper writes pages of a run one after another. It needs the memory of a
// stretch.
type paper struct {
	file   io.WriterAt
	salt   uint64
	number uint64 // of the page being filled
	done   []byte // the pages before it that are not written yet
	page   [pageSize]byte
	used   int
}

// row returns room for the next row of size bytes, zeroed, valid until the
// next call.
func (p *paper) row(size int) ([]byte, error) {
	if p.used+size > pageBody {
		if err := p.flush(); err != nil {
			return nil, err
		}
	}
	b := p.page[p.used : p.used+size]
	p.used += size
	return b, nil
}

// flush ends a page that holds rows; it is called at the end of every table.
func (p *paper) flush() error {
	if p.used == 0 {
		return nil
	}
	seal(p.page[:], p.salt, p.number)
	p.done = append(p.done, p.page[:]...)
	clear(p.page[:])
	p.number, p.used = p.number+1, 0
	if p.number%stretch > 0 {
		return nil
	}
	return p.write()
}

// end is flush for the last table before a gap.
func (p *paper) end() error {
	if err := p.flush(); err != nil {
		return err
	}
	return p.write()
}

// write writes the pages that are done.
func (p *paper) write() error {
	_, err := p.file.WriteAt(p.done, int64(p.number)*pageSize-int64(len(p.done)))
	p.done = p.done[:0]
	return err
}

// fate is what becomes of a source's pack.
type fate struct {
	pack  uint32 // its row in the new run, or gone
	shift uint32 // to add to the numbers of its frames, modulo 2^32
}

// gone is the fate of packs that do not go into the new run.
const gone = math.MaxUint32

// merger makes one run of several sources. Beside the pages of mapped runs it
// needs 16 bytes of memory for each pack, and 8 for each lead in the overflow.
type merger struct {
	paper   paper
	sources []source
	dead    map[objects.ID]struct{}
	fates   [][]fate    // of every source
	order   []sourceRow // the kept packs, by rising ID
	header  header
}

// sourceRow is a row of one of the sources.
type sourceRow struct {
	source, row uint32
}

// writeRun writes what the sources hold, without the dead packs and their
// chunks, to f. It returns how much that is. ErrDamaged: one of
// the sources is.
func writeRun(f io.WriterAt, repo objects.RepositoryID, salt uint64, sources []source, dead map[objects.ID]struct{}) (c counts, err error) {
	// A fault in one of the sources' mappings; nobody knows in which.
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if p := recover(); isFault(p) {
			err = ErrDamaged
		} else if p != nil {
			panic(p)
		}
	}(debug.SetPanicOnFault(true))

	m := &merger{sources: sources, dead: dead}
	m.header = header{repository: repo, salt: salt}
	m.paper = paper{file: f, salt: salt, number: 1} // page 0 is left for the header
	if err := m.write(f); err != nil {
		return counts{}, err
	}
	return m.header.counts, nil
}

func (m *merger) write(f io.WriterAt) error {
	if err := m.sizeGuide(); err != nil {
		return err
	}
	for _, table := range []func() error{m.packs, m.keys, m.frames} {
		if err := table(); err != nil {
			return err
		}
		if err := m.paper.flush(); err != nil {
			return err
		}
	}
	if err := m.chunks(f); err != nil {
		return err
	}
	// The header comes last: until then the file is no run.
	var page [pageSize]byte
	m.header.encode(page[:])
	_, err := f.WriteAt(page[:], 0)
	return err
}

// sizeGuide takes all chunks that there are: how many of them are dead nobody
// knows yet.
func (m *merger) sizeGuide() error {
	var total uint64
	for _, s := range m.sources {
		total += uint64(s.counts().chunks)
	}
	if total >= math.MaxUint32 {
		return errTooMany
	}
	m.header.guide = guideLines(total)
	return nil
}

// packs writes the table of packs and decides their fates. Keys and frames are
// numbered anew in the order of the packs.
func (m *merger) packs() error {
	m.fates = make([][]fate, len(m.sources))
	for i, s := range m.sources {
		m.fates[i] = slices.Repeat([]fate{{pack: gone}}, int(s.counts().packs))
	}
	var last objects.ID
	rows := func(c counts) uint32 { return c.packs }
	return mergeRows(m.sources, rows, source.pack, packID, func(from sourceRow, p packRow) error {
		c := &m.header.counts
		if _, dead := m.dead[p.id]; dead || c.packs > 0 && p.id == last {
			return nil
		}
		last = p.id
		m.fates[from.source][from.row] = fate{pack: c.packs, shift: c.frames - p.firstFrame}
		m.order = append(m.order, from)
		p.firstKey, p.firstFrame = c.keys, c.frames
		c.packs, c.keys, c.frames = c.packs+1, c.keys+p.others(), c.frames+p.frames
		b, err := m.paper.row(packSize)
		if err != nil {
			return err
		}
		p.encode(b)
		return nil
	})
}

func packID(p *packRow) *objects.ID   { return &p.id }
func chunkID(c *chunkRow) *objects.ID { return &c.id }

func (m *merger) keys() error {
	for _, from := range m.order {
		s := m.sources[from.source]
		p, err := s.pack(from.row)
		if err != nil {
			return err
		}
		for i := range p.others() {
			k, err := s.key(p.firstKey + i)
			if err != nil {
				return err
			}
			b, err := m.paper.row(keySize)
			if err != nil {
				return err
			}
			encodeKey(b, &k)
		}
	}
	return nil
}

func (m *merger) frames() error {
	for _, from := range m.order {
		s := m.sources[from.source]
		p, err := s.pack(from.row)
		if err != nil {
			return err
		}
		for i := range p.frames {
			f, err := s.frame(p.firstFrame + i)
			if err != nil {
				return err
			}
			b, err := m.paper.row(frameSize)
			if err != nil {
				return err
			}
			f.encode(b)
		}
	}
	return nil
}

// chunks writes the table of chunks, the guide, which lies before it, and the
// overflow behind it.
func (m *merger) chunks(f io.WriterAt) error {
	at := m.header.layout()
	if err := m.paper.end(); err != nil {
		return err
	}
	m.paper.number = at.chunks.page
	guide := guideWriter{
		paper: paper{file: f, salt: m.header.salt, number: at.guide.page},
		lines: m.header.guide,
	}
	rows := func(c counts) uint32 { return c.chunks }
	err := mergeRows(m.sources, rows, source.chunk, chunkID, func(from sourceRow, c chunkRow) error {
		fates := m.fates[from.source]
		if uint64(c.pack) >= uint64(len(fates)) {
			return ErrDamaged
		}
		fate := fates[c.pack]
		if fate.pack == gone {
			return nil
		}
		c.pack, c.frame = fate.pack, c.frame+fate.shift
		b, err := m.paper.row(chunkSize)
		if err != nil {
			return err
		}
		c.encode(b)
		m.header.counts.chunks++
		return guide.add(&c)
	})
	if err != nil {
		return err
	}
	if err := guide.end(); err != nil {
		return err
	}
	if err := m.paper.flush(); err != nil {
		return err
	}
	for _, l := range guide.overflow {
		b, err := m.paper.row(leadSize)
		if err != nil {
			return err
		}
		l.encode(b)
	}
	m.header.overflow = uint32(len(guide.overflow))
	return m.paper.end()
}

// head is the first row of a source that mergeRows did not yield yet.
type head[R any] struct {
	from sourceRow
	rows uint32
	row  R
}

// mergeRows yields the rows of one table of all sources by rising ID; of equal
// ones, those of earlier sources first.
func mergeRows[R any](
	sources []source,
	rows func(counts) uint32,
	get func(source, uint32) (R, error),
	id func(*R) *objects.ID,
	yield func(sourceRow, R) error,
) error {
	heads := make([]head[R], 0, len(sources))
	for i, s := range sources {
		n := rows(s.counts())
		if n == 0 {
			continue
		}
		row, err := get(s, 0)
		if err != nil {
			return err
		}
		heads = append(heads, head[R]{from: sourceRow{source: uint32(i)}, rows: n, row: row})
	}
	for len(heads) > 0 {
		least := 0
		for i := 1; i < len(heads); i++ {
			if bytes.Compare(id(&heads[i].row)[:], id(&heads[least].row)[:]) < 0 {
				least = i
			}
		}
		h := &heads[least]
		if err := yield(h.from, h.row); err != nil {
			return err
		}
		if h.from.row++; h.from.row == h.rows {
			heads = slices.Delete(heads, least, least+1)
			continue
		}
		var err error
		if h.row, err = get(sources[h.from.source], h.from.row); err != nil {
			return err
		}
	}
	return nil
}
