package walk

import (
	"os"
	"runtime"
	"testing"
)

// BenchmarkWalk visits /usr, or what CAIRN_WALK names, from a warm cache. The
// ballast stands for the packs that a backup holds: with next to no heap, the
// collector would run for every few thousand items.
func BenchmarkWalk(b *testing.B) {
	root := os.Getenv("CAIRN_WALK")
	if root == "" {
		root = "/usr"
	}
	roots, err := Plan([]string{root}, "/")
	if err != nil {
		b.Fatal(err)
	}
	ballast := make([]byte, 64<<20)
	defer runtime.KeepAlive(ballast)
	b.ReportAllocs()
	items := 0
	for b.Loop() {
		for _, err := range Walk(b.Context(), roots, Options{}) {
			if err != nil {
				b.Fatal(err)
			}
			items++
		}
	}
	b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
}
