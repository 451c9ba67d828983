package index

import (
	"errors"
	"fmt"
	"testing"

	"cairn/objects"
	"cairn/objects/pack"
)

// marked is a pack of an index, as the tests know it.
type marked struct {
	Pack
	header *pack.Header
}

// markedIndex makes an index of packs that share some of their chunks, in
// several runs.
func markedIndex(t *testing.T, r maker) (*Index, []marked) {
	x := mustOpen(t, t.TempDir(), small)
	ids := r.ids(400)
	var packs []marked
	for i := range 24 {
		lot := r.ids(r.IntN(30)) // in this pack only
		for range r.IntN(20) {
			lot = append(lot, ids[r.IntN(len(ids))])
		}
		p, h := r.pack(once(lot))
		packs = append(packs, marked{p, h})
		mustAdd(t, x, p, h)
		if i%5 == 4 {
			mustCommit(t, x, State{Generation: uint64(i)})
		}
	}
	mustCommit(t, x, State{Generation: 99})
	return x, packs
}

func once(ids []objects.ID) (list []objects.ID) {
	seen := map[objects.ID]bool{}
	for _, id := range ids {
		if !seen[id] {
			list = append(list, id)
		}
		seen[id] = true
	}
	return list
}

// Of everything that is wanted one copy is kept, and sums and fates say the
// same.
func TestMarks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newMaker(seed)
			x, packs := markedIndex(t, r)
			m, err := x.NewMarks()
			must(t, err)
			wanted := map[objects.ID]bool{}
			for _, p := range packs {
				for _, c := range p.header.Chunks {
					if r.IntN(2) == 0 {
						continue
					}
					fresh, known, err := m.Mark(c.ID)
					must(t, err)
					if !known || fresh == wanted[c.ID] {
						t.Fatalf("mark: got fresh %v, known %v, want %v, true", fresh, known, !wanted[c.ID])
					}
					wanted[c.ID] = true
				}
			}
			if _, known, err := m.Mark(objects.ID{1}); known || err != nil {
				t.Errorf("mark what is nowhere: got known %v, %v", known, err)
			}
			must(t, m.Weigh())
			checkMarks(t, m, packs, wanted)
		})
	}
}

func checkMarks(t *testing.T, m *Marks, packs []marked, wanted map[objects.ID]bool) {
	t.Helper()
	weights := map[objects.ID]Weight{}
	must(t, m.Weights(func(w Weight) error { weights[w.ID] = w; return nil }))
	keepers := map[objects.ID]objects.ID{}
	for _, p := range packs {
		fates, err := m.Fates(nil, p.ID, p.header.Chunks)
		must(t, err)
		want := Weight{Pack: p.Pack}
		for i, c := range p.header.Chunks {
			want.Chunks += uint64(c.Len)
			switch fates[i] {
			case KeptHere:
				want.Kept += uint64(c.Len)
				if _, twice := keepers[c.ID]; twice || !wanted[c.ID] {
					t.Errorf("chunk %s is kept twice, or for nothing", c.ID.Short())
				}
				keepers[c.ID] = p.ID
			case KeptThere:
				want.Spare += uint64(c.Len)
				at, err := m.Keeper(c.ID)
				must(t, err)
				if at.Pack == p.ID {
					t.Errorf("chunk %s is kept elsewhere, and that is here", c.ID.Short())
				}
			case Unwanted:
				if wanted[c.ID] {
					t.Errorf("chunk %s is wanted and given up", c.ID.Short())
				}
			}
		}
		if weights[p.ID] != want {
			t.Errorf("pack %s: got %+v, want %+v", p.ID.Short(), weights[p.ID], want)
		}
	}
	for id := range wanted {
		at, err := m.Keeper(id)
		must(t, err)
		if keepers[id] != at.Pack {
			t.Errorf("chunk %s: no pack keeps it, or another one than Keeper says", id.Short())
		}
	}
}

// What is marked late saves all packs that hold it.
func TestMarksRevive(t *testing.T) {
	t.Parallel()
	r := newMaker(1)
	x, packs := markedIndex(t, r)
	m, err := x.NewMarks()
	must(t, err)
	must(t, m.Weigh())
	late := packs[3].header.Chunks[0].ID
	_, _, err = m.Mark(late)
	must(t, err)
	for _, p := range packs {
		want := false
		for _, c := range p.header.Chunks {
			want = want || c.ID == late
		}
		if got, err := m.Revived(p.ID); got != want || err != nil {
			t.Errorf("pack %s: got revived %v, %v, want %v", p.ID.Short(), got, err, want)
		}
	}
}

// Marks are of one state of the index.
func TestMarksOfAnother(t *testing.T) {
	t.Parallel()
	r := newMaker(2)
	x, packs := markedIndex(t, r)
	m, err := x.NewMarks()
	must(t, err)
	p, h := r.pack(r.ids(5))
	mustAdd(t, x, p, h)
	if _, known, err := m.Mark(h.Chunks[0].ID); known || err != nil {
		t.Errorf("a chunk that was added later: got known %v, %v", known, err)
	}
	if _, err := x.NewMarks(); !errors.Is(err, ErrUnsettled) {
		t.Errorf("marks of what is not committed: got %v, want %v", err, ErrUnsettled)
	}
	mustCommit(t, x, State{Generation: 100}, packs[0].ID)
	if _, _, err := m.Mark(h.Chunks[0].ID); !errors.Is(err, ErrStale) {
		t.Errorf("after a commit: got %v, want %v", err, ErrStale)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
