package record

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Values of the byte in front of a payload, FORMAT.md §9.2.
const (
	stored = 0
	zstded = 1
)

const (
	maxPayload = 1 << 30
	zstdBlock  = 128 << 10 // most plaintext that a block of a zstd frame can hold
	zstdHeader = 3         // least bytes of a block
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

func unzstd(frame []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, err
	}
	// The decoder allocates what the frame says it holds, so see first that
	// the input is long enough to hold it.
	if most := (uint64(len(frame))/zstdHeader + 1) * zstdBlock; h.FrameContentSize > most {
		return nil, fmt.Errorf("%d bytes cannot hold %d", len(frame), h.FrameContentSize)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPayload))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	payload, err := r.DecodeAll(frame, nil)
	if err != nil {
		return nil, err
	}
	if h.Skippable || h.HasFCS && uint64(len(payload)) != h.FrameContentSize {
		return nil, errors.New("it is more than one zstd frame")
	}
	return payload, nil
}
