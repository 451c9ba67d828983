package chunker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// namedFinder is one implementation this machine can run.
type namedFinder struct {
	name string
	find finder
}

// finders returns every implementation this machine can run, the reference
// first.
func finders() []namedFinder {
	return append([]namedFinder{{"one", findOne}, {"two", inLanes(findPair)}}, vectorFinders()...)
}

func testKey(seed byte) (key [32]byte) {
	for i := range key {
		key[i] = seed + byte(i)
	}
	return key
}

func testGear(t testing.TB, key [32]byte) *gear {
	t.Helper()
	g, err := newGear(key)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// random returns n bytes that depend on seed only.
func random(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	data := make([]byte, n)
	rand.NewChaCha8(key).Read(data) // never fails
	return data
}

// checkFinders compares every finder with the reference over one range.
func checkFinders(t *testing.T, g *gear, data []byte, from, to int, mask uint64) {
	t.Helper()
	fs := finders()
	want := fs[0].find(g, data, from, to, mask)
	for _, f := range fs[1:] {
		if got := f.find(g, data, from, to, mask); got != want {
			t.Fatalf("%s: find in [%d, %d) of %d bytes under %#x: got %d, want %d",
				f.name, from, to, len(data), mask, got, want)
		}
	}
}

// checkAllFinds compares the finders at each position they find, one after the
// other, so that every hit is both the first of a range and, later, before it.
func checkAllFinds(t *testing.T, g *gear, data []byte, mask uint64) {
	t.Helper()
	for from := window - 1; from < len(data); {
		checkFinders(t, g, data, from, len(data), mask)
		next := findOne(g, data, from, len(data), mask)
		if next < 0 {
			return
		}
		from = next + 1
	}
}

// TestFindOneIsTheSum holds the reference to the sum in the package comment.
func TestFindOneIsTheSum(t *testing.T) {
	t.Parallel()
	g := testGear(t, testKey(1))
	data := random(1, 64<<10)
	want := -1
	for i := window - 1; i < len(data) && want < 0; i++ {
		var h uint64
		for k := range window {
			h += g.table[data[i-k]] << k
		}
		if h&commonMask == 0 {
			want = i
		}
	}
	if want < 0 {
		t.Fatal("no position to find in the test's data")
	}
	if got := findOne(g, data, window-1, len(data), commonMask); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func TestFindersAgree(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	lowEntropy := random(2, size)
	for i := range lowEntropy {
		lowEntropy[i] = "ab"[lowEntropy[i]&1]
	}
	for name, data := range map[string][]byte{
		"random":      random(1, size),
		"low entropy": lowEntropy,
		"zeros":       make([]byte, size),
		"period 3":    bytes.Repeat([]byte{1, 2, 3}, size/3),
		"period 32":   bytes.Repeat(random(3, 32), size/32),
		"period 4095": bytes.Repeat(random(4, 4095), size/4095),
		"text":        bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog\n"), size/44),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range byte(4) {
				g := testGear(t, testKey(seed))
				for _, mask := range []uint64{commonMask, Params{Unit: 256 << 10}.loose()} {
					checkAllFinds(t, g, data[seed:], mask)
				}
			}
		})
	}
}

// TestFindersAgreeOnDenseHits uses a table under which the common bits are zero
// at every position, as under no derived one.
func TestFindersAgreeOnDenseHits(t *testing.T) {
	t.Parallel()
	var out [64 + 256*6]byte
	copy(out[64:], random(5, 256*6))
	g := expandGear(&out)
	checkAllFinds(t, g, random(6, 3*laneSize), commonMask)
	checkAllFinds(t, g, random(6, 16*laneSize), commonMask|highest(7))
}

func TestFindersAgreeOnEveryShortRange(t *testing.T) {
	t.Parallel()
	g := testGear(t, testKey(1))
	for name, data := range map[string][]byte{
		"random":  random(7, 1024),
		"one hit": oneHit(t, g, 1024),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for from := window - 1; from < window+40; from++ {
				for to := from - 1; to <= from+300; to++ {
					checkFinders(t, g, data, from, to, commonMask)
				}
			}
		})
	}
}

// oneHit returns n bytes with a hit at n/8 and nowhere else.
func oneHit(t *testing.T, g *gear, n int) []byte {
	t.Helper()
	data := quiet(t, g, n)
	copy(data[n/8-window+1:], hit(t, g, data[0], commonMask))
	return data
}

// quiet returns n equal bytes under which the common bits are never zero.
func quiet(t *testing.T, g *gear, n int) []byte {
	t.Helper()
	for b := range 256 {
		data := bytes.Repeat([]byte{byte(b)}, n)
		if findOne(g, data, window-1, n, commonMask) < 0 {
			return data
		}
	}
	t.Fatal("every byte is a hit when repeated")
	return nil
}

// hit returns a window of bytes whose hash is zero under mask, and that makes no
// other hit of the common bits when it stands among bytes equal to around.
func hit(t *testing.T, g *gear, around byte, mask uint64) []byte {
	t.Helper()
	pad := bytes.Repeat([]byte{around}, window)
	for seed := range uint64(1 << 10) {
		data := random(seed, 64<<10)
		i := findOne(g, data, window-1, len(data), mask)
		if i < 0 {
			continue
		}
		w := data[i-window+1 : i+1]
		all := bytes.Join([][]byte{pad, w, pad}, nil)
		if findOne(g, all, window-1, len(all), commonMask) == 2*window-1 &&
			findOne(g, all, 2*window, len(all), commonMask) < 0 {
			return w
		}
	}
	t.Fatal("no hit found")
	return nil
}

// TestFindersAtLaneBorders puts the only hit at every position around the
// borders of lanes and steps, and two hits on either side of them.
func TestFindersAtLaneBorders(t *testing.T) {
	t.Parallel()
	g := testGear(t, testKey(9))
	const from, size = 100, 5 * laneSize
	background := quiet(t, g, size)
	w := hit(t, g, background[0], commonMask)

	data := bytes.Clone(background)
	at := func(end int) []byte { return data[end-window+1 : end+1] }
	for border := from + laneSize; border < size-2*window; border += laneSize {
		for end := border - 80; end <= border+80; end++ {
			copy(at(end), w)
			for _, f := range finders() {
				if got := f.find(g, data, from, size, commonMask); got != end {
					t.Fatalf("%s: hit at %d: got %d", f.name, end, got)
				}
			}
			checkFinders(t, g, data, from, end, commonMask)
			checkFinders(t, g, data, from, end+1, commonMask)
			checkFinders(t, g, data, end, size, commonMask)
			checkFinders(t, g, data, end+1, size, commonMask)
			copy(data, background)
		}
	}
	for first := from + laneSize - 400; first < from+laneSize; first += 7 {
		for second := from + laneSize + window; second < from+laneSize+400; second += 11 {
			copy(at(first), w)
			copy(at(second), w)
			checkFinders(t, g, data, from, size, commonMask)
			checkFinders(t, g, data, first+1, size, commonMask)
			copy(data, background)
		}
	}
}

func FuzzFinders(f *testing.F) {
	f.Add(uint64(1), []byte{0}, uint32(9000), uint16(0), uint8(0))
	f.Add(uint64(2), []byte("abcabcabd"), uint32(70000), uint16(31), uint8(3))
	f.Add(uint64(3), random(1, 300), uint32(40000), uint16(4096), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, pattern []byte, size uint32, from uint16, extra uint8) {
		if len(pattern) == 0 {
			return
		}
		// The pattern, repeated, with a random byte here and there.
		n := window + int(size%(64<<10))
		data := bytes.Repeat(pattern, n/len(pattern)+1)[:n]
		r := rand.New(rand.NewPCG(seed, 0))
		for range r.IntN(64) {
			data[r.IntN(n)] = byte(r.Uint32())
		}
		g := testGear(t, testKey(byte(seed)))
		start := window - 1 + int(from)%(n-window+1)
		mask := commonMask | highest(int(extra%8))
		checkFinders(t, g, data, start, n, mask)
		checkFinders(t, g, data, start, start+(n-start)/2, mask)
	})
}

func BenchmarkFind(b *testing.B) {
	g := testGear(b, testKey(1))
	for _, d := range []struct {
		name string
		data []byte
	}{
		{"256KiB", random(1, 256<<10)},
		{"64MiB", random(1, 64<<20)},
		{"zeros", make([]byte, 1<<20)},
	} {
		for _, f := range finders() {
			b.Run(fmt.Sprintf("%s/%s", d.name, f.name), func(b *testing.B) {
				b.SetBytes(int64(len(d.data)))
				for b.Loop() {
					// Nothing is zero under a full mask, but candidates are
					// met and verified.
					f.find(g, d.data, window-1, len(d.data), ^uint64(0))
				}
			})
		}
	}
}

// BenchmarkFindDense is the worst case: every position is a candidate, none a hit.
func BenchmarkFindDense(b *testing.B) {
	var out [64 + 256*6]byte
	copy(out[64:], random(5, 256*6))
	g := expandGear(&out)
	data := random(1, 256<<10)
	for _, f := range finders() {
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				f.find(g, data, window-1, len(data), ^uint64(0))
			}
		})
	}
}
