package index

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/zeebo/xxh3"

	"cairn/objects"
)

// The fuzzers sign what they are given: without that they would only ever
// test the checksums.

func FuzzManifest(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(manifestMagic))
	for _, m := range []manifest{
		{},
		{state: State{Generation: 9, Commit: objects.ID{1}}, runs: []runName{{1, 2}, {3, 4}}},
	} {
		b := m.encode(repository)
		f.Add(b[:len(b)-8])
		f.Add(m.encode(objects.RepositoryID{}))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, p := range [][]byte{p, binary.LittleEndian.AppendUint64(bytes.Clone(p), xxh3.Hash(p))} {
			m, found := decodeManifest(p, repository)
			if found == Intact && !bytes.Equal(m.encode(repository), p) {
				t.Errorf("manifest %x decodes and does not encode to itself", p)
			}
		}
	})
}

// FuzzRun opens a run with any header, and any contents behind it, of which
// each page carries its checksum.
func FuzzRun(f *testing.F) {
	dir := f.TempDir()
	_, want := built(f, dir, 200)
	whole, err := os.ReadFile(runFile(f, dir))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:pageSize])
	f.Add([]byte{})
	var page [pageSize]byte
	header{repository: repository, counts: counts{packs: 1 << 31, chunks: 1<<32 - 1}}.encode(page[:])
	f.Add(page[:])
	f.Fuzz(func(t *testing.T, p []byte) {
		p = bytes.Clone(p)
		var salt uint64
		if len(p) >= pageSize {
			salt = binary.LittleEndian.Uint64(p[32:])
		}
		for n := 0; (n+1)*pageSize <= len(p); n++ {
			seal(p[n*pageSize:(n+1)*pageSize], salt, uint64(n))
		}
		useRun(p, salt, want)
	})
}

// useRun calls everything that reads a run: it may fail, and no more.
func useRun(p []byte, salt uint64, ids map[objects.ID]Place) {
	r := &run{data: p}
	if len(p) < pageSize || r.readHeader(repository, salt) != nil {
		return
	}
	for id := range ids {
		var at Place
		_, _, _ = searchRuns([]*run{r}, &id, &at)
	}
	_, _ = r.packsAfter(nil)
	_, _ = writeRun(discard{}, repository, 1, []source{r}, nil)
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
