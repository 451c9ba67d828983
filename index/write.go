package index

import (
	"bufio"
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

// paper writes the pages of a run one after another.
type paper struct {
	out    *bufio.Writer
	salt   uint64
	number uint64 // of the page being filled
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
	if _, err := p.out.Write(p.page[:]); err != nil {
		return err
	}
	clear(p.page[:])
	p.number, p.used = p.number+1, 0
	return nil
}

// fate is what becomes of a source's pack.
type fate struct {
	kept  bool
	shift uint32 // to add to the numbers of its frames, modulo 2^32
}

// merger makes one run of several sources. Beside the pages of mapped runs it
// needs 16 bytes of memory for each pack, and the fan-out and the filter, which
// has a byte and a half for each chunk.
type merger struct {
	paper   paper
	sources []source
	dead    map[objects.ID]struct{}
	fates   [][]fate    // of every source
	order   []sourceRow // the kept packs, by rising ID
	header  header
	fan     []uint32
	filter  []byte
}

// sourceRow is a row of one of the sources.
type sourceRow struct {
	source, row uint32
}

// sheet is an empty file.
type sheet interface {
	io.Writer
	io.WriterAt
}

// writeRun writes what the sources hold, without the dead packs and their
// chunks, to f. It returns how much that is. ErrDamaged: one of
// the sources is.
func writeRun(f sheet, repo objects.RepositoryID, salt uint64, sources []source, dead map[objects.ID]struct{}) (c counts, err error) {
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
	m.paper = paper{out: bufio.NewWriterSize(f, 1<<18), salt: salt}
	if err := m.write(f); err != nil {
		return counts{}, err
	}
	return m.header.counts, nil
}

func (m *merger) write(f sheet) error {
	if err := m.begin(); err != nil {
		return err
	}
	for _, table := range []func() error{m.packs, m.keys, m.frames, m.chunks, m.fanOut, m.filterOut} {
		if err := table(); err != nil {
			return err
		}
		if err := m.paper.flush(); err != nil {
			return err
		}
	}
	if err := m.paper.out.Flush(); err != nil {
		return err
	}
	// The header comes last: until then the file is no run.
	var page [pageSize]byte
	m.header.encode(page[:])
	_, err := f.WriteAt(page[:], 0)
	return err
}

// begin leaves room for the header and sizes fan-out and filter.
func (m *merger) begin() error {
	var total uint64
	for _, s := range m.sources {
		total += uint64(s.counts().chunks)
	}
	if total >= math.MaxUint32 {
		return errTooMany
	}
	m.header.fanBits = fanBits(uint32(total))
	m.fan = make([]uint32, 1<<m.header.fanBits+1)
	m.header.filter = filterRows(total)
	m.filter = make([]byte, int(m.header.filter)*filterSize)
	var page [pageSize]byte
	m.paper.number = 1
	_, err := m.paper.out.Write(page[:])
	return err
}

// packs writes the table of packs and decides their fates. Keys and frames are
// numbered anew in the order of the packs.
func (m *merger) packs() error {
	m.fates = make([][]fate, len(m.sources))
	for i, s := range m.sources {
		m.fates[i] = make([]fate, s.counts().packs)
	}
	var last objects.ID
	rows := func(c counts) uint32 { return c.packs }
	return mergeRows(m.sources, rows, source.pack, packID, func(from sourceRow, p packRow) error {
		c := &m.header.counts
		if _, dead := m.dead[p.id]; dead || c.packs > 0 && p.id == last {
			return nil
		}
		last = p.id
		m.fates[from.source][from.row] = fate{kept: true, shift: c.frames - p.firstFrame}
		m.order = append(m.order, from)
		p.firstKey, p.firstFrame = c.keys, c.frames
		c.packs, c.keys, c.frames = c.packs+1, c.keys+p.keys, c.frames+p.frames
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
		for i := range p.keys {
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
	var firstKey uint32
	for n, from := range m.order {
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
			f.pack, f.key = uint32(n), firstKey+f.key-p.firstKey
			b, err := m.paper.row(frameSize)
			if err != nil {
				return err
			}
			f.encode(b)
		}
		firstKey += p.keys
	}
	return nil
}

func (m *merger) chunks() error {
	rows := func(c counts) uint32 { return c.chunks }
	return mergeRows(m.sources, rows, source.chunk, chunkID, func(from sourceRow, c chunkRow) error {
		f, err := m.sources[from.source].frame(c.frame)
		if err != nil {
			return err
		}
		fates := m.fates[from.source]
		if uint64(f.pack) >= uint64(len(fates)) {
			return ErrDamaged
		}
		if !fates[f.pack].kept {
			return nil
		}
		c.frame += fates[f.pack].shift
		b, err := m.paper.row(chunkSize)
		if err != nil {
			return err
		}
		c.encode(b)
		m.header.counts.chunks++
		m.fan[bucket(&c.id, m.header.fanBits)+1]++ // the size of the bucket, for now
		filterAdd(m.filter[int(filterRow(&c.id, m.header.filter))*filterSize:], &c.id)
		return nil
	})
}

func (m *merger) fanOut() error {
	var row uint32
	for _, n := range m.fan {
		row += n
		b, err := m.paper.row(fanSize)
		if err != nil {
			return err
		}
		putU32s(b, row)
	}
	return nil
}

func (m *merger) filterOut() error {
	for block := range slices.Chunk(m.filter, filterSize) {
		b, err := m.paper.row(filterSize)
		if err != nil {
			return err
		}
		copy(b, block)
	}
	return nil
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
