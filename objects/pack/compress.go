package pack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Level is how hard a Compressor tries. The zero value is invalid.
//
// On frames of 1 MiB of source text and of programs, on one core of a Xeon,
// with the memory that a compressor holds on to:
//
//	fastest  314 MB/s 3.9:1   281 MB/s 2.15:1    2 MiB
//	default  232 MB/s 4.3:1   173 MB/s 2.30:1    3 MiB
//	better   162 MB/s 4.6:1   110 MB/s 2.33:1    6 MiB
//	best      26 MB/s 4.9:1    13 MB/s 2.48:1   36 MiB
type Level uint8

const (
	Fastest Level = iota + 1
	Default
	Better
	Best
)

// String returns the name of the level.
func (l Level) String() string {
	switch l {
	case Fastest:
		return "fastest"
	case Default:
		return "default"
	case Better:
		return "better"
	case Best:
		return "best"
	}
	return fmt.Sprintf("level %d", uint8(l))
}

func (l Level) zstd() (zstd.EncoderLevel, error) {
	switch l {
	case Fastest:
		return zstd.SpeedFastest, nil
	case Default:
		return zstd.SpeedDefault, nil
	case Better:
		return zstd.SpeedBetterCompression, nil
	case Best:
		return zstd.SpeedBestCompression, nil
	}
	return 0, fmt.Errorf("compression %v is not known", l)
}

// window is how far back zstd looks for repetitions, bytes: as far as the
// frames that writers make are long.
const window = 1 << 20

// minGain is the part of the plaintext, 1/minGain, that compression must save
// to be worth decompressing ever after: about 3 %.
const minGain = 32

// Compressor compresses frames. It is not for concurrent use: every worker has
// its own.
type Compressor struct {
	enc *zstd.Encoder
}

// NewCompressor returns a compressor that works at the given level.
func NewCompressor(level Level) (*Compressor, error) {
	l, err := level.zstd()
	if err != nil {
		return nil, err
	}
	enc, err := zstd.NewWriter(nil,
		zstd.WithWindowSize(window),
		zstd.WithEncoderLevel(l),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithAllLitEntropyCompression(true), // 0.4 % smaller on programs for 1.5 % of the time
		zstd.WithEncoderCRC(false),              // the AEAD's tag and the chunks' IDs say more
	)
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return &Compressor{enc: enc}, nil
}

// Compress returns the payload for a frame of plaintext raw. Where compression
// saves too little the payload is raw itself; else it is built in dst's array,
// from its start, or in a larger one. dst must not share memory with raw.
func (c *Compressor) Compress(dst, raw []byte) (payload []byte, compression Compression) {
	if len(raw) == 0 {
		return raw, Stored
	}
	dst = slices.Grow(dst[:0], c.enc.MaxEncodedSize(len(raw)))
	payload = c.enc.EncodeAll(raw, dst)
	if len(payload) > len(raw)-len(raw)/minGain-1 {
		return raw, Stored
	}
	return payload, Zstd
}

// decompressor decompresses frames; safe for concurrent use.
type decompressor struct {
	dec *zstd.Decoder
}

var errRawLen = errors.New("its plaintext has another length than its header says")

func newDecompressor() *decompressor {
	dec, err := zstd.NewReader(nil, // of no stream: no goroutines, nothing to close
		zstd.WithDecoderConcurrency(0), // as many at once as there are cores
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxRaw),
		zstd.WithDecoderMaxWindow(MaxRaw),
		zstd.WithDecodeAllCapLimit(true), // never allocate for what a frame claims
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return &decompressor{dec: dec}
}

// decodeOverrun is how much room behind its output lets the decoder copy in
// whole vectors to the end: a tenth of its speed.
const decodeOverrun = 16

// decompress appends the plaintext of payload, raw bytes long, to dst. Any
// other length is an error, found at the first block, of at most 128 KiB, that
// goes beyond raw.
func (d *decompressor) decompress(dst, payload []byte, raw int) ([]byte, error) {
	start := len(dst)
	if cap(dst)-start < raw {
		dst = slices.Grow(dst, raw+decodeOverrun)
	}
	// The decoder may fill the capacity it is given, and no more.
	room := dst[start:start:min(start+raw+decodeOverrun, cap(dst))]
	plain, err := d.dec.DecodeAll(payload, room)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if len(plain) != raw {
		return nil, errRawLen
	}
	return dst[:start+raw], nil
}
