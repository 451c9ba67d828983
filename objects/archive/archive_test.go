package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"

	"github.com/zeebo/xxh3"
)

const testSeed = 0x6361_6972_6e2f_3131

var errLost = errors.New("chunk is not there")

// store is a map of metadata chunks.
type store struct {
	chunks map[objects.ID][]byte
	puts   int
	gets   int
}

func newStore() *store { return &store{chunks: make(map[objects.ID][]byte)} }

func (s *store) put(p []byte) (objects.ID, error) {
	s.puts++
	id := objects.ID(slices.Repeat(sum128(p), 2))
	s.chunks[id] = slices.Clone(p)
	return id, nil
}

// sum128 is a hash that is fast even where the race detector watches.
func sum128(p []byte) []byte {
	sum := xxh3.Hash128(p).Bytes()
	return sum[:]
}

func (s *store) get(id objects.ID) ([]byte, error) {
	s.gets++
	p, ok := s.chunks[id]
	if !ok {
		return nil, errLost
	}
	return p, nil
}

func write(tb testing.TB, entries []*Entry, put Put) Root {
	tb.Helper()
	w := NewWriter(testSeed, put)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			tb.Fatal(err)
		}
	}
	root, err := w.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

// usr returns the entries of a tree shaped like /usr: about n, in order.
func usr(n int) []*Entry {
	rnd := rand.New(rand.NewPCG(1, 2))
	entries := make([]*Entry, 0, n)
	add := func(path string, typ Type) {
		entries = append(entries, usrEntry(rnd, path, typ, uint64(1_000_000+len(entries))))
	}
	add("usr", Dir)
	add("usr/share", Dir)
	for d := 0; len(entries) < n; d++ {
		parent := fmt.Sprintf("usr/share/%c%05d-package", 'a'+rnd.IntN(26), d)
		add(parent, Dir)
		for k := range 10 {
			dir := fmt.Sprintf("%s/module%d_%x", parent, k, rnd.Uint32N(1<<16))
			add(dir, Dir)
			for range 4 + rnd.IntN(16) {
				typ := File
				if rnd.IntN(20) == 0 {
					typ = Symlink
				}
				add(fmt.Sprintf("%s/%x_source.cpython-312.pyc", dir, rnd.Uint32()), typ)
			}
		}
	}
	return inOrder(entries[:n])
}

func usrEntry(rnd *rand.Rand, path string, typ Type, inode uint64) *Entry {
	e := &Entry{
		Path: path, Type: typ, Mode: 0o644, Inode: inode,
		Owner:      Owner{User: "root", Group: "root"},
		ModTime:    Time{1_650_000_000 + rnd.Int64N(50_000_000), 0},
		ChangeTime: Time{1_700_000_000 + rnd.Int64N(10_000_000), rnd.Uint32N(1e9)},
	}
	switch typ {
	case Dir:
		e.Mode = 0o755
	case Symlink:
		e.Mode, e.Target = 0o777, "../lib/target.so.1"
	case File:
		e.Size = 129 + uint64(rnd.ExpFloat64()*20_000)
		e.Content = Content{Form: Chunk, Extents: []Extent{{Len: e.Size, ID: randomID(rnd)}}}
	}
	return e
}

// inOrder sorts entries by path and drops those whose path occurred.
func inOrder(entries []*Entry) []*Entry {
	slices.SortStableFunc(entries, func(a, b *Entry) int { return ComparePaths(a.Path, b.Path) })
	return slices.CompactFunc(entries, func(a, b *Entry) bool { return a.Path == b.Path })
}

func randomID(rnd *rand.Rand) (id objects.ID) {
	for i := 0; i < len(id); i += 8 {
		binary.LittleEndian.PutUint64(id[i:], rnd.Uint64())
	}
	return id
}
