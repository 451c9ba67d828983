package index

import (
	"encoding/binary"
	"slices"
	"sync"

	"cairn/objects"
	"cairn/objects/pack"
)

// shardCount spreads the workers of one machine over enough locks that they
// seldom meet.
const shardCount = 64

// recent is the table of the chunks that are in no run yet: claimed ones, and
// those of the draft. Its methods may be called concurrently.
type recent struct {
	shards [shardCount]shard
}

// shard is an open-addressed hash table: slots of numbers of rows, so that
// growing moves four bytes per chunk, and nothing in it is a pointer.
type shard struct {
	mu    sync.Mutex
	slots []uint32 // number of a row + 1, or 0; a power of two of them, at most 3/4 in use
	rows  []chunkRow
	_     [64]byte // keeps the locks of neighbours on different cache lines
}

func (t *recent) shard(id *objects.ID) *shard { return &t.shards[id[0]%shardCount] }

// claim reports whether id was not in the table; it is now.
func (t *recent) claim(id *objects.ID) bool {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(id) >= 0 {
		return false
	}
	s.insert(chunkRow{id: *id, lead: lead{frame: claimed}})
	return true
}

// find returns the row of a chunk of the draft.
func (t *recent) find(id *objects.ID) (c chunkRow, ok bool) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 || s.rows[i].frame == claimed {
		return chunkRow{}, false
	}
	return s.rows[i], true
}

// add makes c findable, in place of a claim if there is one. A chunk that is
// there already gets a second row: its packs may die at different times.
func (t *recent) add(c chunkRow) {
	s := t.shard(&c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(&c.id); i >= 0 && s.rows[i].frame == claimed {
		s.rows[i] = c
		return
	}
	s.insert(c)
}

// added returns a copy of the rows that are not mere claims.
func (t *recent) added(capacity int) []chunkRow {
	all := make([]chunkRow, 0, capacity)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, c := range s.rows {
			if c.frame != claimed {
				all = append(all, c)
			}
		}
		s.mu.Unlock()
	}
	return all
}

// unclaim gives up the claims of chunks.
func (t *recent) unclaim(chunks []pack.Chunk) {
	for _, c := range chunks {
		s := t.shard(&c.ID)
		s.mu.Lock()
		if i := s.find(&c.ID); i >= 0 && s.rows[i].frame == claimed {
			s.delete(i)
		}
		s.mu.Unlock()
	}
}

// release forgets all rows but the claims.
func (t *recent) release() { t.remove(func(chunkRow) bool { return true }) }

// remove forgets the rows that are no claims and for which gone holds, and
// returns how many they were.
func (t *recent) remove(gone func(chunkRow) bool) (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		rows := s.rows
		clear(s.slots)
		s.rows = s.rows[:0]
		for _, c := range rows { // insert writes at or behind where this reads
			if c.frame == claimed || !gone(c) {
				s.insert(c)
			}
		}
		n += len(rows) - len(s.rows)
		s.mu.Unlock()
	}
	return n
}

// reset forgets everything and gives the memory back.
func (t *recent) reset() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.slots, s.rows = nil, nil
		s.mu.Unlock()
	}
}

// find returns the first row of id, or -1.
func (s *shard) find(id *objects.ID) int {
	if len(s.slots) == 0 {
		return -1
	}
	mask := uint32(len(s.slots) - 1)
	for i := hash(id) & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if n := s.slots[i] - 1; s.rows[n].id == *id {
			return int(n)
		}
	}
	return -1
}

func (s *shard) insert(c chunkRow) {
	s.rows = append(s.rows, c)
	if 4*len(s.rows) > 3*len(s.slots) {
		s.grow()
		return
	}
	s.link(len(s.rows) - 1)
}

// delete forgets a row, and links the others anew.
func (s *shard) delete(row int) {
	s.rows = slices.Delete(s.rows, row, row+1)
	clear(s.slots)
	for i := range s.rows {
		s.link(i)
	}
}

// grow doubles the slots and links all rows, in their order.
func (s *shard) grow() {
	s.slots = make([]uint32, max(64, 2*len(s.slots)))
	for i := range s.rows {
		s.link(i)
	}
}

func (s *shard) link(row int) {
	mask := uint32(len(s.slots) - 1)
	i := hash(&s.rows[row].id) & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = uint32(row) + 1
}

// hash takes bits that do not choose the shard. IDs are keyed hashes: nobody
// can aim at one slot.
func hash(id *objects.ID) uint32 { return binary.LittleEndian.Uint32(id[4:]) }
