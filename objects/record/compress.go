package record

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"cairn/objects/wire"
)

// Values of the byte in front of a payload, FORMAT.md §9.2.
const (
	stored = 0
	zstded = 1
)

const (
	maxPayload = 1 << 30
	zstdBlock  = 128 << 10 // most plaintext that a block of a zstd frame can hold
	zstdRLE    = 1         // type of a block that is one byte, repeated
)

var errPayload = fmt.Errorf("its payload is longer than %d bytes", maxPayload)

// compress returns the plaintext of a box: the payload, as one zstd frame if
// that is shorter.
func compress(payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, errPayload
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	packed := w.EncodeAll(payload, []byte{zstded})
	if len(packed) <= len(payload) {
		return packed, nil
	}
	return append([]byte{stored}, payload...), nil
}

// decompress returns the payload from the plaintext of a box.
func decompress(plaintext []byte) ([]byte, error) {
	if len(plaintext) == 0 {
		return nil, errors.New("it is empty")
	}
	switch body := plaintext[1:]; plaintext[0] {
	case stored:
		if len(body) > maxPayload {
			return nil, errPayload
		}
		return body, nil
	case zstded:
		return unzstd(body)
	}
	return nil, fmt.Errorf("its compression %d is not known", plaintext[0])
}

// unzstd returns what one zstd frame holds.
func unzstd(frame []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, err
	}
	n, ok := countBlocks(&h, frame)
	if !ok {
		return nil, errors.New("it is not one zstd frame")
	}
	// The decoder allocates what the frame says it holds, so see first that
	// its blocks can.
	if h.FrameContentSize > n*zstdBlock {
		return nil, fmt.Errorf("%d blocks cannot hold %d bytes", n, h.FrameContentSize)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPayload))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(frame, nil)
}

// countBlocks walks the blocks of a zstd frame (RFC 8878 §3.1.1) and says how
// many there are, and whether they, and the checksum, are all that follows
// the header h.
func countBlocks(h *zstd.Header, frame []byte) (n uint64, ok bool) {
	d := wire.NewDecoder(frame)
	d.Raw(h.HeaderSize)
	for last := h.Skippable; !last && d.Err() == nil; n++ {
		head := uint32(d.U16()) | uint32(d.U8())<<16
		last = head&1 != 0
		size := int(head >> 3)
		if head>>1&3 == zstdRLE {
			size = 1
		}
		d.Raw(size)
	}
	if h.HasCheckSum {
		d.U32()
	}
	return n, d.Finish() == nil && n > 0
}
