package index

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"cairn/objects"
)

// sheet is a file in memory.
type sheet []byte

func (s *sheet) WriteAt(p []byte, at int64) (int, error) {
	if end := int(at) + len(p); end > len(*s) {
		*s = append(*s, make([]byte, end-len(*s))...)
	}
	return copy((*s)[at:], p), nil
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
		number, first := d.add(p, h)
		for i, c := range h.Chunks {
			chunks = append(chunks, chunkRow{id: c.ID, lead: lead{first + uint32(i/10), number}, off: uint32(i), len: c.Len})
		}
	}
	var s sheet
	if _, err := writeRun(&s, repository, 0x0123456789abcdef, []source{newSorted(&d, chunks)}, nil); err != nil {
		t.Fatal(err)
	}
	wantSum(t, "run, version 4", s, "9138d96dd260ab1848cd39589fa6d74e29cb43d825a58eb00d3733dca5bd5629")
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
