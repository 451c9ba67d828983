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

func mayHold(t *testing.T, r *run, id *objects.ID) bool {
	t.Helper()
	l, err := r.line(id)
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
