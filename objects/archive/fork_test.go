package archive

import (
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"
)

// TestFork holds that a fork gives the tree of what was added before, and that
// the writer it came from does not notice.
func TestFork(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	s := newStore()
	entries := randomTree(t, rnd, s.put)
	const seed = 7
	whole := finish(t, entries, NewWriter(seed, s.put))
	w := NewWriter(seed, s.put)
	for i, e := range entries {
		if i%(1+len(entries)/50) == 0 {
			got := finish(t, nil, w.Fork())
			if want := finish(t, entries[:i], NewWriter(seed, s.put)); got != want {
				t.Fatalf("fork after %d entries: got %+v, want %+v", i, got, want)
			}
			// What is added to the fork must not be seen by the writer.
			finish(t, entries[i:min(i+3, len(entries))], w.Fork())
		}
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := finish(t, nil, w); got != whole {
		t.Errorf("writer that was forked: got %+v, want %+v", got, whole)
	}
}

// finish adds entries to w and returns its root.
func finish(t *testing.T, entries []*Entry, w *Writer) Root {
	t.Helper()
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	root, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestContentFork(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	s := newStore()
	w := NewContentWriter(s.put)
	var extents []Extent
	for i := range 5000 {
		x := Extent{Len: 1 + rnd.Uint64N(1000), Hole: rnd.IntN(9) == 0}
		if !x.Hole {
			x.ID = objects.ID{byte(rnd.Uint32()), byte(rnd.Uint32()), 0, 0, byte(i), byte(i >> 8)}
		}
		if i%97 == 0 {
			got, err := w.Fork().Finish()
			if err != nil {
				t.Fatal(err)
			}
			want, err := PutContent(extents, s.put)
			if err != nil {
				t.Fatal(err)
			}
			if !sameContent(got, want) {
				t.Fatalf("fork after %d extents: got %+v, want %+v", i, got, want)
			}
		}
		extents = append(extents, x)
		if err := w.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := PutContent(extents, s.put); err != nil || !sameContent(got, want) {
		t.Errorf("writer that was forked: got %+v, want %+v, %v", got, want, err)
	}
}

func sameContent(a, b Content) bool {
	return a.Form == b.Form && a.Level == b.Level && slices.Equal(a.Extents, b.Extents)
}
