package compact

import (
	"slices"
	"testing"

	"cairn/objects/record"
)

// packsOf returns packs of one length of which these shares are unused.
func packsOf(unused ...float64) (list []candidate) {
	for _, u := range unused {
		list = append(list, candidate{record.Pack{Length: 8 << 20}, u})
	}
	return list
}

// TestTooEmpty holds which packs are emptied: the emptiest first, all of which
// much is unused, and further ones until little of the repository is.
func TestTooEmpty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why    string
		max    float64 // percent
		unused []float64
		want   int
	}{
		{"a fourth of a pack may not be unused, however large the rest is", 5, append([]float64{0.6, 0.25, 0.24}, make([]float64, 100)...), 2},
		{"a twentieth of all may stay", 5, []float64{0.05, 0.05, 0.05}, 0},
		{"more may not: the rest of the first one is nothing", 5, []float64{0.2, 0.06, 0.02}, 1},
		{"as many as it takes", 5, slices.Repeat([]float64{0.1}, 100), 53},
		{"nothing may stay", -1, []float64{0.5, 0.001, 0}, 2},
		{"more of a pack may stay where more of all may", 15, []float64{0.8, 0.7, 0, 0, 0, 0, 0, 0, 0, 0}, 1},
		{"no packs", 5, nil, 0},
	} {
		o := Options{MaxUnused: c.max}
		if got := o.tooEmpty(packsOf(c.unused...)); got != c.want {
			t.Errorf("%s: got %d packs, want %d", c.why, got, c.want)
		}
	}
}
