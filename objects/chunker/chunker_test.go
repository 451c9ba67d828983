package chunker

import (
	"math"
	"testing"
)

func testChunker(t testing.TB, key [32]byte, p Params, find finder) *Chunker {
	t.Helper()
	c, err := newChunker(key, p, find)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cutter is what a reader of chunks needs.
type cutter interface {
	Cut([]byte) int
	Max() int
}

// lengths cuts all of data and returns the lengths of the chunks, having
// checked that they are within bounds.
func lengths(t testing.TB, c cutter, data []byte) []int {
	t.Helper()
	var ls []int
	for len(data) > 0 {
		n := c.Cut(data[:min(len(data), c.Max())])
		if n <= 0 || n > len(data) || n > c.Max() {
			t.Fatalf("cut of %d bytes: got %d", len(data), n)
		}
		ls = append(ls, n)
		data = data[n:]
	}
	return ls
}

func TestParams(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		unit          uint32
		strict, loose uint64
	}{
		{64 << 10, 0xfc0000000000fff8, 0x000000000000fff8},
		{128 << 10, 0xfe0000000000fff8, 0x800000000000fff8},
		{384 << 10, 0xff0000000000fff8, 0xc00000000000fff8},
		{1 << 20, 0xffc000000000fff8, 0xf00000000000fff8},
		{4 << 20, 0xfff000000000fff8, 0xfc0000000000fff8},
	} {
		p := Params{Unit: tt.unit}
		if err := p.Validate(); err != nil {
			t.Errorf("unit %d: %v", tt.unit, err)
		}
		if p.strict() != tt.strict || p.loose() != tt.loose {
			t.Errorf("unit %d: got masks %#x and %#x, want %#x and %#x",
				tt.unit, p.strict(), p.loose(), tt.strict, tt.loose)
		}
		u := int(tt.unit)
		if 8*p.Min() != 3*u || 8*p.Normal() != 7*u || p.Max() != 4*u {
			t.Errorf("unit %d: got lengths %d, %d, %d", u, p.Min(), p.Normal(), p.Max())
		}
	}
	for _, unit := range []uint32{0, 1, 32 << 10, 64<<10 + 1, 96 << 10, 4<<20 + 64<<10, math.MaxUint32} {
		if _, err := New(testKey(1), Params{Unit: unit}); err == nil {
			t.Errorf("unit %d: got no error", unit)
		}
	}
}

// TestCutShort: what is not longer than the minimum is one chunk.
func TestCutShort(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 64 << 10}
	data := random(1, p.Min())
	for _, f := range finders() {
		c := testChunker(t, testKey(1), p, f.find)
		for n := 0; n <= len(data); n += 1 + n/64 {
			if got := c.Cut(data[:n]); got != n {
				t.Fatalf("%s: cut of %d bytes: got %d", f.name, n, got)
			}
		}
		if got := c.Cut(data); got != len(data) {
			t.Errorf("%s: cut of the minimum: got %d, want %d", f.name, got, len(data))
		}
	}
}

// TestCutWhereMasksChange puts a hit of the loose mask only, and one of the
// strict mask, around the lengths at which they begin to count.
func TestCutWhereMasksChange(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 64 << 10}
	key := testKey(3)
	g := testGear(t, key)
	quiet := quiet(t, g, p.Max()+1)
	loose := hit(t, g, quiet[0], p.loose())
	strict := hit(t, g, quiet[0], p.strict())
	if findOne(g, loose, window-1, window, p.strict()) >= 0 {
		t.Fatal("the loose hit is a strict one")
	}
	for _, f := range finders() {
		c := testChunker(t, key, p, f.find)
		for _, tt := range []struct {
			name         string
			hit          []byte
			length, want int
		}{
			{"strict hit below min", strict, p.Min() - 1, p.Max()},
			{"strict hit at min", strict, p.Min(), p.Min()},
			{"loose hit at min", loose, p.Min(), p.Max()},
			{"strict hit below normal", strict, p.Normal() - 1, p.Normal() - 1},
			{"loose hit below normal", loose, p.Normal() - 1, p.Max()},
			{"loose hit at normal", loose, p.Normal(), p.Normal()},
			{"strict hit at normal", strict, p.Normal(), p.Normal()},
			{"loose hit below max", loose, p.Max() - 1, p.Max() - 1},
			{"loose hit at max", loose, p.Max(), p.Max()},
			{"loose hit above max", loose, p.Max() + 1, p.Max()},
		} {
			data := append([]byte(nil), quiet...)
			copy(data[tt.length-window:], tt.hit)
			if got := c.Cut(data); got != tt.want {
				t.Errorf("%s: %s: got %d, want %d", f.name, tt.name, got, tt.want)
			}
		}
	}
}

// TestCutDependsOnTheChunkAlone: neither what follows Max bytes nor alignment
// changes a cut.
func TestCutDependsOnTheChunkAlone(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 128 << 10}
	c := testChunker(t, testKey(1), p, fastestFinder())
	data := random(1, 2*p.Max())
	want := c.Cut(data)
	for shift := range 70 {
		moved := make([]byte, shift+p.Max())
		copy(moved[shift:], data)
		if got := c.Cut(moved[shift:]); got != want {
			t.Errorf("moved by %d: got %d, want %d", shift, got, want)
		}
	}
}

func TestCutsDependOnTheKey(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 64 << 10}
	data := random(1, 4<<20)
	ends := func(key [32]byte) map[int]bool {
		m, end := map[int]bool{}, 0
		for _, n := range lengths(t, testChunker(t, key, p, fastestFinder()), data) {
			end += n
			m[end] = true
		}
		return m
	}
	key := testKey(1)
	before := ends(key)
	key[31] ^= 1
	common := 0
	for end := range ends(key) {
		if before[end] {
			common++
		}
	}
	if common > 2 { // the end of the data is one
		t.Errorf("%d cuts of two keys are the same, of %d", common, len(before))
	}
}

// meanUnits is the mean chunk length on random data, in units that are powers
// of two: the minimum, then a wait for one in 8 units up to the normal length,
// then one for 8 in a unit.
func meanUnits() float64 {
	early := math.Exp(-1.0 / 16)
	return 3.0/8 + 8*(1-early) + early/8
}

func TestMeanLength(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 64 << 10}
	data := random(11, 16<<20)
	var size, count float64
	for seed := range byte(4) {
		size += float64(len(data))
		count += float64(len(lengths(t, testChunker(t, testKey(seed), p, fastestFinder()), data)))
	}
	got := size / count / float64(p.Unit)
	if want := meanUnits(); math.Abs(got-want) > 0.02 {
		t.Errorf("mean of %v chunks: got %.3f units, want %.3f", count, got, want)
	}
}

// TestEditsStayLocal inserts three bytes: all but a few chunks stay the same.
func TestEditsStayLocal(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 64 << 10}
	c := testChunker(t, testKey(1), p, fastestFinder())
	data := random(12, 4<<20)
	chunks := func(data []byte) map[string]bool {
		m := map[string]bool{}
		for _, n := range lengths(t, c, data) {
			m[string(data[:n])] = true
			data = data[n:]
		}
		return m
	}
	old := chunks(data)
	total, edits := 0, 0
	for at := 1000; at < len(data)*7/8; at += 311_111 {
		edited := append(append(append([]byte(nil), data[:at]...), "new"...), data[at:]...)
		fresh := 0
		for chunk := range chunks(edited) {
			if !old[chunk] {
				fresh++
			}
		}
		if fresh == 0 || fresh > 8 {
			t.Errorf("edit at %d: %d new chunks of %d", at, fresh, len(old))
		}
		total += fresh
		edits++
	}
	if total > 2*edits {
		t.Errorf("%d edits: %d new chunks, want at most 2 an edit", edits, total)
	}
}

func TestFixed(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{0, 1, 4095, 4097, 16<<20 + 4096, math.MaxUint32} {
		if _, err := NewFixed(size); err == nil {
			t.Errorf("size %d: got no error", size)
		}
	}
	c, err := NewFixed(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	got := lengths(t, c, make([]byte, 130<<10))
	if len(got) != 3 || got[0] != 64<<10 || got[1] != 64<<10 || got[2] != 2<<10 {
		t.Errorf("got %d", got)
	}
	if n := c.Cut(nil); n != 0 {
		t.Errorf("cut of nothing: got %d", n)
	}
}

func BenchmarkCut(b *testing.B) {
	for _, unit := range []struct {
		name string
		size uint32
	}{{"256KiB", 256 << 10}, {"1MiB", 1 << 20}} {
		data := random(1, 64<<20)
		for _, f := range finders() {
			b.Run(unit.name+"/"+f.name, func(b *testing.B) {
				c := testChunker(b, testKey(1), Params{Unit: unit.size}, f.find)
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					for rest := data; len(rest) > 0; {
						rest = rest[c.Cut(rest):]
					}
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(testKey(1), Params{Unit: 256 << 10}); err != nil {
			b.Fatal(err)
		}
	}
}
