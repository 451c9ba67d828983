package walk

import (
	"os"
	"testing"
)

// BenchmarkWalk visits /usr, or what CAIRN_WALK names, from a warm cache.
func BenchmarkWalk(b *testing.B) {
	root := os.Getenv("CAIRN_WALK")
	if root == "" {
		root = "/usr"
	}
	roots, err := Plan([]string{root}, "/")
	if err != nil {
		b.Fatal(err)
	}
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
