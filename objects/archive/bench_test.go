package archive

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"cairn/objects"
)

const benchEntries = 300_000

func perEntry(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/entry")
}

func BenchmarkWriter(b *testing.B) {
	entries := usr(benchEntries)
	b.ReportAllocs()
	var size int
	for b.Loop() {
		size = 0
		var n uint64
		write(b, entries, func(p []byte) (objects.ID, error) {
			size += len(p)
			n++
			var id objects.ID
			binary.LittleEndian.PutUint64(id[:], n)
			return id, nil
		})
	}
	perEntry(b, len(entries))
	b.ReportMetric(float64(size)/float64(len(entries)), "B-stored/entry")
}

func BenchmarkAll(b *testing.B) {
	entries := usr(benchEntries)
	s := newStore()
	root := write(b, entries, s.put)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range NewReader(root, s.get).All() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(entries) {
			b.Fatal(n)
		}
	}
	perEntry(b, len(entries))
}

func BenchmarkLookup(b *testing.B) {
	entries := usr(benchEntries)
	s := newStore()
	r := NewReader(write(b, entries, s.put), s.get)
	rnd := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Lookup(entries[rnd.IntN(len(entries))].Path); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChildren(b *testing.B) {
	entries := usr(benchEntries)
	s := newStore()
	r := NewReader(write(b, entries, s.put), s.get)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = 0
		for _, err := range r.Children("usr/share") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	perEntry(b, n)
}

// A backup reads and writes every entry of an unchanged tree.
func TestEntriesCostNoAllocations(t *testing.T) {
	entries := usr(20_000)
	s := newStore()
	root := write(t, entries, s.put)
	writing := testing.AllocsPerRun(1, func() {
		write(t, entries, func([]byte) (objects.ID, error) { return objects.ID{1}, nil })
	})
	reading := testing.AllocsPerRun(1, func() {
		for _, err := range NewReader(root, s.get).All() {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if limit := float64(len(entries)) / 50; writing > limit || reading > limit {
		t.Errorf("got %.0f allocations to write and %.0f to read %d entries, want below %.0f", writing, reading, len(entries), limit)
	}
}
