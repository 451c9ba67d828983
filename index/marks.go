package index

import (
	"cmp"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"cairn/objects"
	"cairn/objects/pack"
)

// Errors of Marks.
var (
	ErrUnsettled = errors.New("the index holds what was not committed to it")
	ErrStale     = errors.New("the index was changed meanwhile")
)

// Marks say which chunks of an index are wanted. Its methods may be called
// concurrently, except that Weigh comes between the Marks of a full count and
// everything that asks for its result.
//
// Memory: a bit for each chunk, 40 bytes for each pack. Ten million chunks in
// 80 000 packs take 5 MB.
type Marks struct {
	index *Index
	runs  []*run          // those committed at the beginning
	first []uint64        // number of each run's first chunk
	packs []uint32        // number of each run's first pack
	bits  []atomic.Uint64 // by number of chunk
	raw   []uint64        // by number of pack, bytes of all its chunks
	kept  []uint64        // of those that are wanted and kept in this pack
	spare []uint64        // of those that are wanted and kept in another pack
	alone []uint64        // of those that are wanted and in no other pack
	sum   []uint64        // of all that are wanted

	mu      sync.Mutex
	revived map[uint32]bool // packs of chunks that were marked after Weigh; guarded by mu
	weighed atomic.Bool
}

// A Weight says how much of a pack is wanted. Lengths are of plaintext, bytes.
type Weight struct {
	Pack
	Chunks uint64 // all of them
	Kept   uint64 // wanted, and to be kept in this pack
	Spare  uint64 // wanted, and to be kept in another pack that has them too
}

// Fate says what becomes of a chunk of one pack.
type Fate uint8

const (
	Unwanted  Fate = iota // nothing needs the chunk
	KeptHere              // it is to be kept in this pack, or moved from it
	KeptThere             // another pack has it too, and keeps it
)

// NewMarks returns marks for all packs that were committed to the index, which
// must hold nothing else. They are good until the next Commit or Reset: then
// every method answers ErrStale. What is added meanwhile is not among them.
func (x *Index) NewMarks() (*Marks, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.pending) > 0 || len(x.draft.packs) > 0 {
		return nil, ErrUnsettled
	}
	m := &Marks{index: x, runs: x.committed, revived: map[uint32]bool{}}
	var chunks uint64
	var packs uint32
	for _, r := range m.runs {
		m.first, m.packs = append(m.first, chunks), append(m.packs, packs)
		chunks += uint64(r.header.counts.chunks)
		packs += r.header.counts.packs
	}
	m.bits = make([]atomic.Uint64, chunks/64+1)
	for _, sums := range []*[]uint64{&m.raw, &m.kept, &m.spare, &m.alone, &m.sum} {
		*sums = make([]uint64, packs)
	}
	return m, nil
}

// use calls f while the runs are certain to stay mapped.
func (m *Marks) use(f func() error) error {
	m.index.mu.RLock()
	defer m.index.mu.RUnlock()
	if !slices.Equal(m.index.committed, m.runs) {
		return ErrStale
	}
	return f()
}

// Mark says that a chunk is wanted. fresh: nobody had said so before. A chunk
// that is in none of the packs is not known; nothing is noted of it. After
// Weigh, the packs of a fresh one are remembered as revived.
func (m *Marks) Mark(id objects.ID) (fresh, known bool, err error) {
	err = m.use(func() error {
		at, ok, err := m.find(&id)
		if !ok {
			return err
		}
		known = true
		fresh = m.set(m.first[at.source] + uint64(at.row))
		if fresh && m.weighed.Load() {
			return m.revive(&id)
		}
		return nil
	})
	return fresh, known, err
}

// find returns where the chunk is. It needs the index's mu.
func (m *Marks) find(id *objects.ID) (at sourceRow, ok bool, err error) {
	at, ok, whole := searchRuns(m.runs, id, nil)
	if ok || whole {
		return at, ok, nil
	}
	// One of the runs is damaged: another one may have it.
	for i, r := range m.runs {
		row, ok, e := r.find(id)
		if ok {
			return sourceRow{uint32(i), row}, true, nil
		}
		if e != nil {
			err = e
		}
	}
	return at, false, err
}

// set marks chunk n and reports whether it was not marked.
func (m *Marks) set(n uint64) bool {
	bit := uint64(1) << (n % 64)
	return m.bits[n/64].Or(bit)&bit == 0
}

func (m *Marks) marked(n uint64) bool { return m.bits[n/64].Load()>>(n%64)&1 == 1 }

// revive notes all packs that hold a chunk. It needs the index's mu.
func (m *Marks) revive(id *objects.ID) error {
	rows, _, err := m.rows(nil, id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		m.revived[r.pack] = true
	}
	return nil
}

// markedRow is one of the places of a chunk.
type markedRow struct {
	chunk uint64 // number
	pack  uint32 // number
	len   uint32
}

// rows appends all places of a chunk to list, in no order that matters, and
// reports whether it is wanted. It needs the index's mu.
func (m *Marks) rows(list []markedRow, id *objects.ID) (rows []markedRow, wanted bool, err error) {
	for i, r := range m.runs {
		if list, err = m.rowsOf(list, i, r, id); err != nil {
			return list, false, err
		}
	}
	for _, row := range list {
		wanted = wanted || m.marked(row.chunk)
	}
	return list, wanted, nil
}

// rowsOf is rows for one run.
func (m *Marks) rowsOf(list []markedRow, n int, r *run, id *objects.ID) (rows []markedRow, err error) {
	err = r.each(id, func(i uint32, c chunkRow) (more bool, err error) {
		row, err := m.row(sourceRow{uint32(n), i}, c)
		if err == nil {
			list = append(list, row)
		}
		return true, err
	})
	return list, err
}

// row numbers a chunk's row and its pack.
func (m *Marks) row(at sourceRow, c chunkRow) (markedRow, error) {
	if c.pack >= m.runs[at.source].header.counts.packs {
		return markedRow{}, m.runs[at.source].rotten()
	}
	return markedRow{m.first[at.source] + uint64(at.row), m.packs[at.source] + c.pack, c.len}, nil
}

// Weigh adds up, for every pack, what the marks so far say. Of a wanted chunk
// that is in several packs one of those keeps it of which the largest share is
// wanted, to a quarter: who moves chunks and is interrupted need not move them
// again. Among these it is the one that has the most wanted chunks which are in no
// other pack: others may be needed for nothing.
func (m *Marks) Weigh() error {
	defer m.weighed.Store(true)
	return m.use(func() error {
		twice := false
		err := m.groups(func(rows []markedRow, wanted bool) {
			twice = twice || wanted && len(rows) > 1
			for _, r := range rows {
				m.raw[r.pack] += uint64(r.len)
				if wanted {
					m.sum[r.pack] += uint64(r.len)
				}
			}
			if wanted && len(rows) == 1 {
				m.alone[rows[0].pack] += uint64(rows[0].len)
			}
		})
		copy(m.kept, m.alone)
		if err != nil || !twice {
			return err
		}
		return m.groups(func(rows []markedRow, wanted bool) {
			if !wanted || len(rows) == 1 {
				return
			}
			keeper := m.keeper(rows)
			for _, r := range rows {
				if r.chunk == keeper.chunk {
					m.kept[r.pack] += uint64(r.len)
				} else {
					m.spare[r.pack] += uint64(r.len)
				}
			}
		})
	})
}

// keeper chooses among the places of a chunk.
func (m *Marks) keeper(rows []markedRow) markedRow {
	return slices.MaxFunc(rows, func(a, b markedRow) int {
		return cmp.Or(
			cmp.Compare(m.quarters(a.pack), m.quarters(b.pack)),
			cmp.Compare(m.alone[a.pack], m.alone[b.pack]),
			cmp.Compare(b.pack, a.pack),
		)
	})
}

// quarters returns how many quarters of a pack are wanted, to the nearest.
func (m *Marks) quarters(pack uint32) uint64 { return (4*m.sum[pack] + m.raw[pack]/2) / m.raw[pack] }

// groups calls f with the places of every chunk. It needs the index's mu.
func (m *Marks) groups(f func(rows []markedRow, wanted bool)) (err error) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if p := recover(); isFault(p) {
			markDamaged(ErrDamaged, sources(m.runs)) // nobody knows in which
			err = ErrDamaged
		} else if p != nil {
			panic(p)
		}
	}(debug.SetPanicOnFault(true))

	var rows []markedRow
	var last objects.ID
	wanted := false
	chunks := func(c counts) uint32 { return c.chunks }
	err = mergeRows(sources(m.runs), chunks, source.chunk, chunkID, func(at sourceRow, c chunkRow) error {
		if c.id != last && len(rows) > 0 {
			f(rows, wanted)
			rows, wanted = rows[:0], false
		}
		row, err := m.row(at, c)
		if err != nil {
			return err
		}
		last, rows, wanted = c.id, append(rows, row), wanted || m.marked(row.chunk)
		return nil
	})
	if err == nil && len(rows) > 0 {
		f(rows, wanted)
	}
	return err
}

// Weights calls f with what Weigh found of every pack, until f answers an
// error.
func (m *Marks) Weights(f func(Weight) error) error {
	for i, r := range m.runs {
		for n := range r.header.counts.packs {
			var w Weight
			err := m.use(func() (err error) {
				defer r.caught(debug.SetPanicOnFault(true), &err)
				row, err := r.pack(n)
				at := m.packs[i] + n
				w = Weight{Pack: row.public(), Chunks: m.raw[at], Kept: m.kept[at], Spare: m.spare[at]}
				return err
			})
			if err == nil {
				err = f(w)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Fates appends what becomes of chunks of one pack, in their order, to list.
func (m *Marks) Fates(list []Fate, in objects.ID, chunks []pack.Chunk) ([]Fate, error) {
	err := m.use(func() error {
		at, err := m.number(in)
		if err != nil {
			return err
		}
		var rows []markedRow
		for i := range chunks {
			wanted := false
			rows, wanted, err = m.rows(rows[:0], &chunks[i].ID)
			if err != nil {
				return err
			}
			list = append(list, m.fate(at, rows, wanted))
		}
		return nil
	})
	return list, err
}

func (m *Marks) fate(in uint32, rows []markedRow, wanted bool) Fate {
	switch {
	case !wanted:
		return Unwanted
	case m.keeper(rows).pack == in:
		return KeptHere
	}
	return KeptThere
}

// Keeper returns the place that keeps a chunk which is KeptThere.
func (m *Marks) Keeper(id objects.ID) (p Place, err error) {
	err = m.use(func() (err error) {
		rows, _, err := m.rows(nil, &id)
		if err != nil || len(rows) == 0 {
			return errors.Join(err, errNotMarked)
		}
		keeper := m.keeper(rows)
		i := m.run(keeper.chunk)
		r := m.runs[i]
		defer r.caught(debug.SetPanicOnFault(true), &err)
		row := uint32(keeper.chunk - m.first[i])
		c, err := r.chunk(row)
		if err != nil {
			return err
		}
		_, err = r.place(&c.id, row, c.lead, &p)
		return err
	})
	return p, err
}

// run returns the run that chunk n is in.
func (m *Marks) run(n uint64) int {
	i, exact := slices.BinarySearch(m.first, n)
	for exact && i+1 < len(m.first) && m.first[i+1] == n {
		i++ // an empty run
	}
	if exact {
		return i
	}
	return i - 1
}

// number returns the number of a pack.
func (m *Marks) number(id objects.ID) (uint32, error) {
	for i, r := range m.runs {
		if n, ok, err := r.findPack(id); ok || err != nil {
			return m.packs[i] + n, err
		}
	}
	return 0, errNotMarked
}

// errNotMarked says that the caller asks for what is not among the marks.
var errNotMarked = errors.New("no such pack or chunk when marking began")

// Revived reports whether a pack holds a chunk that was marked after Weigh.
func (m *Marks) Revived(in objects.ID) (yes bool, err error) {
	err = m.use(func() error {
		at, err := m.number(in)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		yes = m.revived[at]
		return nil
	})
	return yes, err
}
