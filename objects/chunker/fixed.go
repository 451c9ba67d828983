package chunker

import "fmt"

const (
	fixedStep = 4 << 10  // every fixed size is a multiple of this, bytes
	maxFixed  = 16 << 20 // bytes
)

// Fixed cuts chunks of one length. It is immutable: any number of goroutines
// may use it at once. The zero value is invalid.
type Fixed struct {
	size int // bytes
}

// NewFixed returns the chunker that cuts every size bytes: a multiple of 4 KiB,
// at least 4 KiB and at most 16 MiB.
func NewFixed(size uint32) (Fixed, error) {
	if size == 0 || size > maxFixed || size%fixedStep != 0 {
		return Fixed{}, fmt.Errorf("fixed chunk size %d: not a multiple of %d between %d and %d",
			size, fixedStep, fixedStep, maxFixed)
	}
	return Fixed{size: int(size)}, nil
}

// Max returns the length of every chunk but the last, in bytes.
func (f Fixed) Max() int { return f.size }

// Cut returns the length of the first chunk of data, which must hold at least
// Max bytes or everything up to the end of the stream. It is zero only if data
// is empty.
func (f Fixed) Cut(data []byte) int { return min(len(data), f.size) }
