package restore_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"cairn/pipeline/restore"
)

// BenchmarkSmall restores 20 000 files of up to 4 KiB, the sync included.
func BenchmarkSmall(b *testing.B) {
	s := newStore(b)
	for i := range 20_000 {
		s.file(fmt.Sprintf("d%03d/f%03d", i/100, i%100), noise(uint64(i), i%4096))
	}
	benchmark(b, s)
}

// BenchmarkLarge restores 1 GiB in files of 4 MiB, or a quarter of it with -short.
func BenchmarkLarge(b *testing.B) {
	s := newStore(b)
	s.chunk = 256 << 10
	n := 256
	if testing.Short() {
		n = 64
	}
	for i := range n {
		s.file(fmt.Sprintf("f%03d", i), noise(uint64(i), 4<<20))
	}
	benchmark(b, s)
}

func benchmark(b *testing.B, s *store) {
	root := s.finish()
	size := int64(root.Size)
	b.SetBytes(size)
	b.ReportAllocs()
	b.StopTimer()
	for i := range b.N {
		target := filepath.Join(b.TempDir(), fmt.Sprint(i))
		b.StartTimer()
		sum, err := restore.Run(b.Context(), s.source(), root, restore.Options{Target: target})
		b.StopTimer()
		if err != nil || sum.Failed > 0 {
			b.Fatalf("got %+v, %v", sum, err)
		}
		b.ReportMetric(sum.Sync.Seconds(), "s-of-sync")
	}
}
