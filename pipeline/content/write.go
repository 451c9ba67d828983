package content

import (
	"context"
	"io"
	"iter"

	"cairn/objects/archive"
)

// zeros is how many bytes of a hole are written at a time.
const zeros = 64 << 10

// WriteTo writes the content of a file to w, holes as zeros. It stops at the
// first byte that cannot be had: what was written is right, and not all.
func (r *Reader) WriteTo(ctx context.Context, w io.Writer, e *archive.Entry, lists *archive.Reader) error {
	for it, err := range r.Stream(ctx, only(e), lists) {
		if err == nil {
			err = it.Err
		}
		if err == nil && len(it.Data) > 0 {
			_, err = w.Write(it.Data)
		}
		if err == nil {
			err = WriteZeros(w, it.Hole)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// only returns a sequence of one entry.
func only(e *archive.Entry) iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) { yield(e, nil) }
}

// WriteZeros writes n zeros to w.
func WriteZeros(w io.Writer, n uint64) error {
	if n == 0 {
		return nil
	}
	p := make([]byte, min(n, zeros))
	for n > 0 {
		m, err := w.Write(p[:min(n, uint64(len(p)))])
		if err != nil {
			return err
		}
		n -= uint64(m)
	}
	return nil
}
