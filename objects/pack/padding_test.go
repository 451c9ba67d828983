package pack

import "testing"

func TestPadme(t *testing.T) {
	t.Parallel()
	// E = ⌊log2 n⌋, S = ⌊log2 E⌋+1, the last E−S bits become zero.
	for _, c := range [][2]int64{
		{0, 0}, {1, 1}, {2, 2}, {3, 3}, {8, 8}, {9, 10}, {15, 16}, {100, 104}, {1000, 1024},
		{1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 1<<15}, {10_000_000, 10_223_616}, {MaxLen, MaxLen}, {MaxLen - 1, MaxLen},
	} {
		if got := Padme(c[0]); got != c[1] {
			t.Errorf("Padme(%d): got %d, want %d", c[0], got, c[1])
		}
	}
	for n := int64(1); n < MaxLen; n += 1 + n/7 {
		p := Padme(n)
		if p < n || Padme(p) != p || (p-n)*25 > n*3 {
			t.Errorf("Padme(%d): got %d", n, p)
		}
	}
}

// TestPaddingReaches pads packs of all sizes around the lengths at which a
// varint grows.
func TestPaddingReaches(t *testing.T) {
	t.Parallel()
	const quantum = 64 << 10
	for _, frames := range []int64{1, 126, 127, 128, 16383} {
		for stored := int64(17); stored < 3*quantum; stored += 1 + stored%3 {
			s := size{keys: 1, frames: frames, chunks: 1, entries: 9, stored: stored}
			for _, p := range []Padding{ToQuantum, ToPadme} {
				after := s
				lens := s.padding(p, quantum)
				for _, n := range lens {
					after = after.plus(entryLen(0, n, nil), n, 0)
				}
				got := after.pack()
				if got != p.next(got, quantum) || got > p.next(s.pack()+padReserve, quantum) || len(lens) > 2 {
					t.Fatalf("%d frames, %d bytes: got %d in %d frames", frames, s.pack(), got, len(lens))
				}
			}
		}
	}
}
