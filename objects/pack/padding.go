package pack

import (
	"math/bits"

	"cairn/objects/crypt"
)

// Padding says to which lengths packs are rounded up, so that a store which
// sees lengths learns little (FORMAT.md §7.6).
type Padding uint8

const (
	ToQuantum Padding = iota // a multiple of 1/256 of the target: for full packs
	ToPadme                  // the next Padmé length: for packs that are closed before they are full
)

// Padme returns the smallest Padmé length that is at least n: at most 12 %
// above n, and under 3.2 % from 1 MiB on (Nikitin et al., PETS 2019).
func Padme(n int64) int64 {
	if n < 2 {
		return n
	}
	e := bits.Len64(uint64(n)) - 1       // n is in [2^e, 2^(e+1))
	keep := bits.Len64(uint64(e))        // leading bits that may be set besides the first
	mask := int64(1)<<max(0, e-keep) - 1 // the others become zero
	return (n + mask) &^ mask
}

// next returns the smallest length allowed that is at least n.
func (p Padding) next(n, quantum int64) int64 {
	if p == ToPadme {
		return Padme(n)
	}
	return (n + quantum - 1) / quantum * quantum
}

// size counts what a pack under construction takes, to the byte.
type size struct {
	keys, frames, chunks int64
	entries              int64 // of the frames in the header, bytes
	stored               int64 // of the frames, bytes
}

// header returns the length of the sealed header, bytes.
func (s size) header() int64 {
	return crypt.BoxOverhead + 1 + uvarintLen(uint64(s.keys)) + s.keys*keyLen +
		uvarintLen(uint64(s.frames)) + s.entries + s.chunks*idLen
}

// pack returns the length of the whole pack, bytes.
func (s size) pack() int64 { return 2*PreambleLen + s.header() + s.stored }

// plus returns the size with one frame more.
func (s size) plus(entry, stored int64, chunks int) size {
	s.frames++
	s.chunks += int64(chunks)
	s.entries += entry
	s.stored += stored
	return s
}

// entryLen returns how many bytes of the header a frame's entry takes, without
// the IDs of its chunks.
func entryLen(key uint32, stored int64, chunks []Chunk) int64 {
	n := uvarintLen(uint64(key)) + 4 + 1 + uvarintLen(uint64(stored)) + uvarintLen(uint64(len(chunks)))
	for i := range chunks {
		n += uvarintLen(uint64(chunks[i].Len))
	}
	return n
}

// padReserve is how much room above its frames every pack keeps: enough for a
// padding frame, whatever the length to reach.
const padReserve = 32

// padding returns the stored lengths of the padding frames, of key 0, that
// bring a pack of size s to a length that p allows: the next such length that
// frames can reach exactly.
func (s size) padding(p Padding, quantum int64) []int64 {
	for want := p.next(s.pack(), quantum); ; want = p.next(want+1, quantum) {
		if frames, ok := s.reach(want); ok {
			return frames
		}
	}
}

// reach returns the stored lengths of at most two padding frames that bring
// the pack to the given length.
func (s size) reach(want int64) ([]int64, bool) {
	if s.pack() == want {
		return nil, true
	}
	if n, ok := s.fill(want); ok {
		return []int64{n}, true
	}
	// A frame one byte longer may need two more in all, for its length's
	// varint; then a small frame in front shifts the step away.
	const small = minStored
	n, ok := s.plus(entryLen(0, small, nil), small, 0).fill(want)
	return []int64{small, n}, ok
}

// fill returns the stored length of the one padding frame that brings the pack
// to the given length.
func (s size) fill(want int64) (int64, bool) {
	for varint := range int64(4) {
		entry := minFrameEntry + varint
		n := want - s.plus(entry, 0, 0).pack()
		if n >= minStored && entryLen(0, n, nil) == entry {
			return n, true
		}
	}
	return 0, false
}
