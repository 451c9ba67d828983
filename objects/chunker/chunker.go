package chunker

import (
	"fmt"
	"math/bits"
)

const (
	unitStep = 64 << 10 // every unit is a multiple of this, bytes
	maxUnit  = 4 << 20  // bytes
)

// Params are the sizes a content-defined chunker aims at.
// The zero value is invalid.
type Params struct {
	// Unit is close to the mean chunk length, in bytes: a multiple of 64 KiB,
	// at least 64 KiB and at most 4 MiB.
	Unit uint32
}

// Validate reports whether p can be used. The other methods need a valid p.
func (p Params) Validate() error {
	if p.Unit == 0 || p.Unit > maxUnit || p.Unit%unitStep != 0 {
		return fmt.Errorf("chunker unit %d: not a multiple of %d between %d and %d",
			p.Unit, unitStep, unitStep, maxUnit)
	}
	return nil
}

// Min returns the length, in bytes, below which only the end of the data cuts.
func (p Params) Min() int { return int(p.Unit / 8 * 3) }

// Normal returns the length, in bytes, from which cuts become likely.
func (p Params) Normal() int { return int(p.Unit / 8 * 7) }

// Max returns the length, in bytes, that no chunk exceeds.
func (p Params) Max() int { return int(p.Unit * 4) }

// strict and loose return the masks that are zero in the hash at a cut before
// Normal, and from Normal on.
func (p Params) strict() uint64 { return commonMask | highest(p.log2()-10) }
func (p Params) loose() uint64  { return commonMask | highest(p.log2()-16) }

// log2 returns the logarithm of the unit, rounded down: 16 to 22.
func (p Params) log2() int { return bits.Len32(p.Unit) - 1 }

// highest returns a mask of the n highest bits.
func highest(n int) uint64 { return ^(^uint64(0) >> n) }

// Chunker finds where content-defined chunks end. It is immutable: any number
// of goroutines may use it at once. The zero value is invalid.
type Chunker struct {
	params        Params
	strict, loose uint64
	gear          *gear
	find          finder
}

// New returns the chunker that key and p define. Equal arguments give equal
// cuts on every machine.
func New(key [32]byte, p Params) (*Chunker, error) {
	return newChunker(key, p, fastestFinder())
}

func newChunker(key [32]byte, p Params, find finder) (*Chunker, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	g, err := newGear(key)
	if err != nil {
		return nil, err
	}
	return &Chunker{params: p, strict: p.strict(), loose: p.loose(), gear: g, find: find}, nil
}

// Max returns the length, in bytes, that no chunk exceeds.
func (c *Chunker) Max() int { return c.params.Max() }

// Cut returns the length of the first chunk of data, which must hold at least
// Max bytes or everything up to the end of the stream. It is zero only if data
// is empty. Cut reads nothing outside data and keeps no reference to it.
func (c *Chunker) Cut(data []byte) int {
	data = data[:min(len(data), c.params.Max())]

	// A chunk of length L ends at position L-1.
	first := c.params.Min() - 1
	normal := min(c.params.Normal()-1, len(data))
	if i := c.find(c.gear, data, first, normal, c.strict); i >= 0 {
		return i + 1
	}
	if i := c.find(c.gear, data, normal, len(data), c.loose); i >= 0 {
		return i + 1
	}
	return len(data)
}
