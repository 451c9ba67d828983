package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"cairn/objects"
)

// sheetOf is a sheet in memory.
type sheetOf struct{ bytes.Buffer }

func (s *sheetOf) WriteAt(p []byte, at int64) (int, error) {
	return copy(s.Bytes()[at:], p), nil
}

// A cache outlives the program that wrote it. When this test fails, the layout
// has changed: give it a new version number, or older caches will be misread.
func TestGolden(t *testing.T) {
	t.Parallel()
	m := newMaker(99)
	var d draft
	var chunks []chunkRow
	for range 3 {
		p, h := m.pack(m.ids(100))
		first := d.add(p, h)
		for i, c := range h.Chunks {
			chunks = append(chunks, chunkRow{id: c.ID, frame: first + uint32(i/10), off: uint32(i), len: c.Len})
		}
	}
	var s sheetOf
	if _, err := writeRun(&s, repository, 0x0123456789abcdef, []source{newSorted(&d, chunks)}, nil); err != nil {
		t.Fatal(err)
	}
	wantSum(t, "run, version 2", s.Bytes(), "e5fb33b9e55000909f5c860d048bd56ad6397bd1efaa091f376fef91bc3788ae")
	state := State{Generation: 1 << 40, Commit: objects.ID{1, 2, 3}}
	wantSum(t, "manifest, version 1", manifest{state: state, runs: []runName{{1, 2}, {3, 4}}}.encode(repository),
		"af745d616d99cc9067f63d2ffeab20412bd1729e1f202d7296116740a3221a42")
}

func wantSum(t *testing.T, name string, p []byte, want string) {
	t.Helper()
	sum := sha256.Sum256(p)
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("%s: got %s, want %s", name, got, want)
	}
}
