package sftp

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"cairn/backend"
)

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

// TestRequestsAreSeen: each request is told of once, however it is cut into
// pieces.
func TestRequestsAreSeen(t *testing.T) {
	t.Parallel()
	packets := initPacket()
	packets = append(packets, 0, 0, 0, 3, 6, 'a', 'b')          // a write
	packets = append(packets, 0, 0, 0, 1, fxpExtended)          // with nothing in it
	packets = append(packets, 0, 0, 0, 6, 17, 0, 0, 0, 6, 6)    // a stat whose body looks like a head
	packets = append(packets, 0, 0, 0, 2, 99, 0, 0, 0, 0, 1, 4) // unknown; a close
	want := []string{"INIT", "WRITE", "EXTENDED", "STAT", "99", "CLOSE"}
	for size := 1; size <= len(packets); size++ {
		var got []string
		var passed bytes.Buffer
		r := &requests{WriteCloser: closer{&passed}, tap: &backend.Tap{Request: func(kind string) { got = append(got, kind) }}}
		for piece := range slices.Chunk(packets, size) {
			if _, err := r.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) || !bytes.Equal(passed.Bytes(), packets) {
			t.Errorf("in pieces of %d: got %q, want %q", size, got, want)
		}
	}
}
