package index

import (
	"encoding/binary"
	"math/bits"
	"runtime/debug"

	"cairn/objects"
)

// A filter tells of most chunks that are not in a run that they are not, by one
// line of memory: a Bloom filter in blocks, split as in Putze, Sanders and
// Singler, "Cache-, Hash- and Space-Efficient Bloom Filters". A chunk has one
// block, and one bit in each of its eight words. IDs are keyed hashes: their own
// bits choose.
const (
	filterSize = 32 // bytes of a block: a row of the table
	filterBits = 12 // for each chunk, in the mean: of those that are not there, one in 200 seems to be
)

// filterRows returns how many blocks the filter of n chunks has.
func filterRows(n uint64) uint32 { return uint32(n*filterBits/(8*filterSize)) + 1 }

// filterRow returns the block of id, of rows: by bits that do not choose its
// place among the chunks.
func filterRow(id *objects.ID, rows uint32) uint32 {
	hi, _ := bits.Mul64(binary.LittleEndian.Uint64(id[8:16]), uint64(rows))
	return uint32(hi)
}

// filterMask returns the bits of id in its block, as four words of two each.
func filterMask(id *objects.ID) (mask [4]uint64) {
	choice := binary.LittleEndian.Uint64(id[16:24])
	for i := range mask {
		low, high := choice>>(10*i)&31, choice>>(10*i+5)&31
		mask[i] = 1<<low | 1<<(32+high)
	}
	return mask
}

// filterAdd notes id in a block.
func filterAdd(block []byte, id *objects.ID) {
	for i, m := range filterMask(id) {
		word := block[8*i : 8*i+8]
		binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)|m)
	}
}

// filterHas reports whether id may have been noted in a block.
func filterHas(block []byte, id *objects.ID) bool {
	lacking := uint64(0)
	for i, m := range filterMask(id) {
		lacking |= m &^ binary.LittleEndian.Uint64(block[8*i:8*i+8])
	}
	return lacking == 0
}

// mayHold reports whether the run may hold chunk id: where its filter is rotten,
// it may. It does not catch faults: who calls it does.
func (r *run) mayHold(id *objects.ID) bool {
	block, err := r.row(&r.layout.filter, filterRow(id, r.layout.filter.rows))
	return err != nil || filterHas(block, id)
}

// A choice is some of the runs: bit i stands for the i-th.
type choice uint64

func (c choice) has(i int) bool { return c>>i&1 == 1 }

// holding returns the runs that may hold chunk id. It asks all of them before
// one is searched, so that they are waited for together. It needs mu.
func (x *Index) holding(id *objects.ID) choice {
	var c choice
	for first := 0; first < len(x.runs); {
		first += x.ask(x.runs[first:], first, id, &c)
	}
	return c
}

// ask adds to c those of runs, the first of which is number first, that may hold
// id, and returns how many it has asked: up to one whose mapping fails.
func (x *Index) ask(runs []*run, first int, id *objects.ID, c *choice) (asked int) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		p := recover()
		if p == nil {
			return
		}
		if !isFault(p) {
			panic(p)
		}
		_ = runs[asked].rotten()
		*c |= 1 << (first + asked)
		asked++
	}(debug.SetPanicOnFault(true))
	for ; asked < len(runs); asked++ {
		if runs[asked].mayHold(id) {
			*c |= 1 << (first + asked)
		}
	}
	return asked
}
