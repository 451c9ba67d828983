package index

import "testing"

// A filter has every chunk that was noted, and seems to have one in two hundred
// of the others.
func TestFilter(t *testing.T) {
	t.Parallel()
	const n = 100_000
	rows := filterRows(n)
	blocks := make([]byte, int(rows)*filterSize)
	block := func(i uint64) ([]byte, bool) {
		id := benchID(i)
		b := blocks[int(filterRow(&id, rows))*filterSize:][:filterSize]
		return b, filterHas(b, &id)
	}
	for i := range uint64(n) {
		b, _ := block(i)
		id := benchID(i)
		filterAdd(b, &id)
	}
	for i := range uint64(n) {
		if _, ok := block(i); !ok {
			t.Fatalf("chunk %d was noted and is not there", i)
		}
	}
	wrong := 0
	for i := range uint64(n) {
		if _, ok := block(unknown + i); ok {
			wrong++
		}
	}
	if wrong == 0 || wrong > n/100 {
		t.Errorf("%d of %d that were never noted seem to be there, want one in 200", wrong, n)
	}
}
