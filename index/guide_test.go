package index

import (
	"testing"

	"cairn/objects"
)

// The guide of a run has all of its chunks, and one in a hundred of the others
// seem to be there.
func TestGuide(t *testing.T) {
	t.Parallel()
	x := mustOpen(t, t.TempDir(), defaults())
	n := uint64(0)
	for ; n < 100_000; n += benchPack {
		p, h := benchHeader(n / benchPack)
		mustAdd(t, x, p, h)
	}
	mustCommit(t, x, State{})
	r := x.runs[0]
	for i := range n {
		id := benchID(i)
		if !mayHold(t, r, &id) {
			t.Fatalf("chunk %d is in the run and the guide does not have it", i)
		}
	}
	wrong := uint64(0)
	for i := range n {
		id := benchID(unknown + i)
		if mayHold(t, r, &id) {
			wrong++
		}
	}
	if wrong == 0 || wrong > n/80 {
		t.Errorf("%d of %d that are not in the run seem to be there, want one in 100", wrong, n)
	}
}

// Every row leads to its frame and pack, also where the guide has no room for
// that: here one chunk is in many packs, and some lines are full by chance.
func TestOverflow(t *testing.T) {
	t.Parallel()
	const packs = 3 * guideTags
	m := newMaker(81)
	x := mustOpen(t, t.TempDir(), defaults())
	everywhere := m.id()
	want := make(map[objects.ID]map[objects.ID]Place) // by pack and chunk
	for range packs {
		p, h := m.pack(append(m.ids(200), everywhere))
		mustAdd(t, x, p, h)
		want[p.ID] = places(p, h)
	}
	mustCommit(t, x, State{})
	wantRows(t, x, want)
	if least := uint32(packs - guideTags + 1); x.runs[0].header.overflow <= least {
		t.Errorf("%d leads are in the overflow, want the %d of one chunk and others", x.runs[0].header.overflow, least)
	}
	// A run that is made of runs has them again.
	p, h := m.pack(append(m.ids(20_000), everywhere))
	mustAdd(t, x, p, h)
	want[p.ID] = places(p, h)
	mustCommit(t, x, State{})
	wantRows(t, x, want)
}

// wantRows checks that the one run of x has a row for each of these places, and
// that each chunk is found in one of its own.
func wantRows(t *testing.T, x *Index, want map[objects.ID]map[objects.ID]Place) {
	t.Helper()
	if len(x.runs) != 1 {
		t.Fatalf("got %d runs, want 1", len(x.runs))
	}
	r := x.runs[0]
	rows := 0
	for _, places := range want {
		rows += len(places)
	}
	if got := int(r.header.counts.chunks); got != rows {
		t.Fatalf("got %d rows, want %d", got, rows)
	}
	seen := make(map[[2]objects.ID]bool)
	for i := range r.header.counts.chunks {
		c, err := r.chunk(i)
		if err != nil {
			t.Fatal(err)
		}
		var p Place
		if is, err := r.place(&c.id, i, c.lead, &p); !is || err != nil {
			t.Fatalf("row %d: got %v, %v, want its place", i, is, err)
		}
		if p != want[p.Pack][c.id] {
			t.Fatalf("row %d: got %v, want %v", i, p, want[p.Pack][c.id])
		}
		seen[[2]objects.ID{p.Pack, c.id}] = true
		p, ok, err := x.Lookup(c.id)
		if !ok || err != nil || p != want[p.Pack][c.id] {
			t.Fatalf("lookup: got %v, %v, %v, want %v", p, ok, err, want[p.Pack][c.id])
		}
	}
	if len(seen) != rows {
		t.Errorf("got %d different rows, want %d", len(seen), rows)
	}
}

func mayHold(t *testing.T, r *run, id *objects.ID) bool {
	t.Helper()
	l, _, err := r.line(id)
	if err != nil {
		t.Fatal(err)
	}
	return l.mayHave(id)
}

// Every tag is found at every place, and nothing else is.
func TestLine(t *testing.T) {
	t.Parallel()
	tags := []uint16{0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xffff, 0x0100, 0x00ff}
	for _, tag := range tags {
		for _, other := range tags {
			for at := range guideTags {
				wantNext(t, tag, other, at)
			}
		}
	}
}

// wantNext checks a line of all the one tag but for another one.
func wantNext(t *testing.T, tag, other uint16, at int) {
	t.Helper()
	var l line
	putTag := func(i int, tag uint16) { l[guideHead+2*i], l[guideHead+2*i+1] = byte(tag), byte(tag>>8) }
	for i := range guideTags {
		putTag(i, other)
	}
	putTag(at, tag)
	id := objects.ID{8: byte(tag), 9: byte(tag >> 8)}
	if !l.mayHave(&id) {
		t.Fatalf("tag %x among %x at %d: not there", tag, other, at)
	}
	for n := 0; n <= guideTags; n++ {
		want := guideTags
		switch {
		case tag == other:
			want = n
		case n <= at:
			want = at
		}
		if got := l.next(&id, n); got != want {
			t.Fatalf("tag %x among %x at %d, from %d on: got %d, want %d", tag, other, at, n, got, want)
		}
	}
	if strange := (objects.ID{8: 0x12, 9: 0x34}); l.mayHave(&strange) || l.next(&strange, 0) != guideTags {
		t.Fatalf("a tag that is not in the line is found")
	}
}
