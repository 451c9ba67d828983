package chunker

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
)

const (
	// window is the number of bytes the hash depends on.
	window = 64

	// commonMask is part of every mask. Its bits lie in the low 16 of the hash,
	// which depend on 16 bytes only: a scan of those alone meets every cut, and
	// one position in 8192 of random data besides.
	commonMask = 0xfff8

	gearContext = "cairn/1 chunker gear table"
)

// gear holds the table of the hash. It does not change once made.
type gear struct {
	table   [256]uint64
	nibbles nibbles
}

// nibbles is the low 16 bits of the gear table in the form of byte shuffles:
// the low and the high bytes of A, then those of B, 16 bytes each.
type nibbles [64]byte

// newGear derives the table from the repository's cdc key, as the package
// comment defines it.
func newGear(key [32]byte) (*gear, error) {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		return nil, fmt.Errorf("derive gear table: %w", err)
	}
	if _, err := h.WriteString(gearContext); err != nil {
		return nil, fmt.Errorf("derive gear table: %w", err)
	}
	var out [64 + 256*6]byte
	if _, err := io.ReadFull(h.Digest(), out[:]); err != nil {
		return nil, fmt.Errorf("derive gear table: %w", err)
	}
	return expandGear(&out), nil
}

func expandGear(out *[64 + 256*6]byte) *gear {
	a, b, c := out[:32], out[32:64], out[64:]
	g := new(gear)
	for i := range g.table {
		low := binary.LittleEndian.Uint16(a[i&15*2:]) ^ binary.LittleEndian.Uint16(b[i>>4*2:])
		high := uint64(binary.LittleEndian.Uint32(c[6*i:])) |
			uint64(binary.LittleEndian.Uint16(c[6*i+4:]))<<32
		g.table[i] = high<<16 | uint64(low)
	}
	for i := range 16 {
		g.nibbles[i], g.nibbles[16+i] = a[2*i], a[2*i+1]
		g.nibbles[32+i], g.nibbles[48+i] = b[2*i], b[2*i+1]
	}
	return g
}
