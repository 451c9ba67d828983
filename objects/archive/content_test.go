package archive

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"
)

func TestContentForms(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 1))
	data := func(n uint64) Extent { return Extent{Len: n, ID: randomID(rnd)} }
	hole := func(n uint64) Extent { return Extent{Len: n, Hole: true} }
	for _, row := range []struct {
		name    string
		extents []Extent
		form    Form
		items   int
	}{
		{"nothing", nil, Inline, 0},
		{"one chunk", []Extent{data(5)}, Chunk, 1},
		{"one hole", []Extent{hole(5)}, Extents, 1},
		{"holes that touch", []Extent{hole(5), hole(6), data(1), hole(7), hole(8)}, Extents, 3},
		{"two chunks", []Extent{data(5), data(6)}, Extents, 2},
	} {
		s := newStore()
		c, err := PutContent(row.extents, s.put)
		if err != nil || c.Form != row.form || len(c.Extents) != row.items || c.Level != 0 || s.puts != 0 {
			t.Errorf("%s: got %+v, %v", row.name, c, err)
		}
		if err := c.check(sum(row.extents)); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	for _, n := range []int{64, 65} {
		s := newStore()
		c, err := PutContent(slices.Repeat([]Extent{data(3)}, n), s.put)
		if err != nil || int(c.Level) != n-64 || c.Size() != uint64(3*n) {
			t.Errorf("%d extents: got level %d, %v", n, c.Level, err)
		}
	}
}

func TestContentRejects(t *testing.T) {
	t.Parallel()
	id := objects.ID{1}
	for _, x := range []Extent{
		{Len: 0, ID: id}, {Len: 0, Hole: true}, {Len: chunkMax + 1, ID: id}, {Len: 1 << 63, Hole: true}, {Len: 1, ID: id, Hole: true},
	} {
		if _, err := PutContent([]Extent{x, {Len: 1, ID: id}}, newStore().put); err == nil {
			t.Errorf("PutContent(%+v): got nil, want an error", x)
		}
	}
	half := Extent{Len: math.MaxInt64, Hole: true}
	if _, err := PutContent([]Extent{half, half}, newStore().put); !errors.Is(err, errOverflow) {
		t.Errorf("hole too long: got %v, want errOverflow", err)
	}
}

func sum(list []Extent) (n uint64) {
	for _, x := range list {
		n += x.Len
	}
	return n
}

// image returns the extents of a disk image.
func image(rnd *rand.Rand, n int) []Extent {
	list := make([]Extent, n)
	for i := range list {
		list[i] = Extent{Len: 256 << 10, ID: randomID(rnd)}
		if i%5 == 4 {
			list[i] = Extent{Len: 64 << 10, Hole: true}
		}
	}
	return list
}

func TestExtentsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{63, 64, 65, 1000, 16_000, 200_000} {
		s := newStore()
		list := image(rand.New(rand.NewPCG(uint64(n), 1)), n)
		c, err := PutContent(list, s.put)
		if err != nil {
			t.Fatal(err)
		}
		var got []Extent
		for x, err := range NewReader(Root{}, s.get).Extents(&c) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, x)
		}
		if !slices.Equal(got, list) {
			t.Errorf("%d extents: got %d others", n, len(got))
		}
		t.Logf("%d extents: level %d, %d chunks", n, c.Level, s.puts)
	}
}

func TestChangedExtentCostsOneChunkPerLevel(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(2, 2))
	s := newStore()
	list := image(rnd, 16_000)
	c, err := PutContent(list, s.put)
	if err != nil {
		t.Fatal(err)
	}
	total := len(s.chunks)
	const changes = 100
	for range changes {
		list[5*rnd.IntN(3200)].ID = randomID(rnd)
		if c, err = PutContent(list, s.put); err != nil {
			t.Fatal(err)
		}
	}
	got := float64(len(s.chunks)-total) / changes / float64(c.Level)
	t.Logf("list of level %d, %d chunks: %.2f new ones per change and level", c.Level, total, got)
	if got > 1.1 {
		t.Errorf("got %.2f new chunks per level, want about 1", got)
	}
}

func TestContentWriterKeepsLittle(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 3))
	put := func([]byte) (objects.ID, error) { return randomID(rnd), nil }
	w := NewContentWriter(put)
	var id objects.ID // never ends a chunk, as lists are cut after 1024 at the latest
	id[0] = 1
	for range 500_000 {
		if err := w.Add(Extent{Len: 1, ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range w.levels {
		if cap(l.items) > 2*itemsMax {
			t.Errorf("level %d: room for %d items", i, cap(l.items))
		}
	}
	if c, err := w.Finish(); err != nil || c.Size() != 500_000 {
		t.Errorf("got %d, %v, want 500000", c.Size(), err)
	}
}

func TestContentWriterBeginsAnew(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(4, 4))
	s := newStore()
	w := NewContentWriter(s.put)
	for _, n := range []int{70_000, 1, 0, 3000, 65} {
		list := image(rnd, n)
		for _, x := range list {
			if err := w.Add(x); err != nil {
				t.Fatal(err)
			}
		}
		got, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		want, err := PutContent(list, s.put)
		if err != nil || got.Form != want.Form || got.Level != want.Level || !slices.Equal(got.Extents, want.Extents) {
			t.Errorf("%d extents: got %+v, want %+v, %v", n, got, want, err)
		}
	}
}

func TestLostListLeavesTheRest(t *testing.T) {
	t.Parallel()
	s := newStore()
	list := image(rand.New(rand.NewPCG(5, 5)), 16_000)
	c, err := PutContent(list, s.put)
	if err != nil {
		t.Fatal(err)
	}
	lost := c.Extents[1].ID
	delete(s.chunks, lost)
	var size uint64
	errs := 0
	for x, err := range NewReader(Root{}, s.get).Extents(&c) {
		size += x.Len
		if err != nil {
			errs++
			if !errors.Is(err, errLost) || objects.IsCorrupt(err) || x.Len != c.Extents[1].Len {
				t.Errorf("got %+v, %v", x, err)
			}
		}
	}
	if errs != 1 || size != sum(list) {
		t.Errorf("got %d errors and %d bytes, want 1 and %d", errs, size, sum(list))
	}
}
