package local_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/backend"
	"cairn/backend/local"
)

const packSize = 16 << 20

// BenchmarkPut compares Puts of packs, one and two in flight, with files that
// are only written and flushed.
func BenchmarkPut(b *testing.B) {
	data := make([]byte, packSize)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	b.Run("plain", func(b *testing.B) {
		dir := b.TempDir()
		inFlight(b, 1, func(i int64) error { return writeAndFlush(fmt.Sprintf("%s/%d", dir, i%8), data) })
	})
	for _, width := range []int{1, 2} {
		b.Run(fmt.Sprintf("inflight=%d", width), func(b *testing.B) {
			s := open(b, create(b), local.Options{})
			defer s.Close()
			inFlight(b, width, func(i int64) error {
				if err := s.Delete(b.Context(), key(i-8)); err != nil {
					return err
				}
				return s.Put(b.Context(), key(i), data)
			})
		})
	}
}

func key(i int64) backend.Key { return backend.Key(fmt.Sprintf("packs/%02x/%d", i&7, i)) }

// inFlight calls put b.N times, width at a time.
func inFlight(b *testing.B, width int, put func(i int64) error) {
	b.SetBytes(packSize)
	b.ResetTimer()
	var next atomic.Int64
	var group sync.WaitGroup
	for range width {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := put(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func writeAndFlush(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func BenchmarkGet(b *testing.B) {
	s := open(b, create(b), local.Options{})
	defer s.Close()
	if err := s.Put(b.Context(), "k", make([]byte, packSize)); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int64{4 << 10, packSize} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(n)
			for b.Loop() {
				if _, err := s.Get(b.Context(), "k", backend.Range{Len: n}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
