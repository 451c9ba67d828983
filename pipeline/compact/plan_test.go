package compact

import (
	"slices"
	"testing"

	"cairn/objects/record"
)

// packLen is how long all packs are here, bytes.
const packLen = 8 << 20

// packsOf returns packs of one length of which these shares are unused.
func packsOf(unused ...float64) (list []candidate) {
	for _, u := range unused {
		list = append(list, candidate{record.Pack{Length: packLen}, u})
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
		needed int // packs that are needed wholly
		want   int
	}{
		{"a fourth of a pack may not be unused, however large the rest is", 5, []float64{0.6, 0.25, 0.24}, 100, 2},
		{"a twentieth of all may stay", 5, []float64{0.05, 0.05, 0.05}, 0, 0},
		{"more may not: the rest of the first one is nothing", 5, []float64{0.2, 0.06, 0.02}, 0, 1},
		{"as many as it takes", 5, slices.Repeat([]float64{0.1}, 100), 0, 53},
		{"nothing may stay", -1, []float64{0.5, 0.001, 0}, 0, 2},
		{"more of a pack may stay where more of all may", 15, []float64{0.8, 0.7}, 8, 1},
		{"no packs", 5, nil, 0, 0},
	} {
		o := Options{MaxUnused: c.max}
		if got := o.tooEmpty(packsOf(c.unused...), float64(c.needed)*packLen); got != c.want {
			t.Errorf("%s: got %d packs, want %d", c.why, got, c.want)
		}
	}
}
