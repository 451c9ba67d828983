package chunker

import (
	"testing"

	"golang.org/x/sys/unix"
)

// fenced returns n bytes with an unmapped page right before and right after
// them; n is a multiple of the page size.
func fenced(t *testing.T, n int) []byte {
	t.Helper()
	page := unix.Getpagesize()
	m, err := unix.Mmap(-1, 0, n+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	for _, fence := range [][]byte{m[:page], m[page+n:]} {
		if err := unix.Mprotect(fence, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return m[page : page+n]
}

// TestFindersStayInside faults if a finder reads outside its range's window.
func TestFindersStayInside(t *testing.T) {
	t.Parallel()
	g := testGear(t, testKey(1))
	const size = 4 * laneSize
	data := fenced(t, size)
	copy(data, random(1, size))
	for n := range 200 {
		checkFinders(t, g, data, window-1, window-1+n, ^uint64(0)) // close to the front
		checkFinders(t, g, data, size-n, size, ^uint64(0))         // up to the end
		checkFinders(t, g, data[n:], window-1, size-n, ^uint64(0)) // all of it
	}
}

// TestCutStaysInside faults if Cut reads outside its argument.
func TestCutStaysInside(t *testing.T) {
	t.Parallel()
	p := Params{Unit: 64 << 10}
	data := fenced(t, p.Max())
	copy(data, random(1, len(data)))
	for _, f := range finders() {
		c := testChunker(t, testKey(1), p, f.find)
		for n := 0; n < len(data); n += 4093 {
			for rest := data[n:]; len(rest) > 0; {
				rest = rest[c.Cut(rest):]
			}
			c.Cut(data[:n])
		}
	}
}
