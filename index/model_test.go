package index

import (
	"maps"
	"math"
	"slices"
	"testing"

	"cairn/objects"
)

// model is an index as one would write it if memory and crashes did not
// matter.
type model struct {
	state              State
	committed, pending contents
	dropped            contents // were committed; gone from disk with the next commit
	claims             map[objects.ID]bool
}

// contents are packs and the places in them.
type contents map[objects.ID]modelPack

type modelPack struct {
	Pack
	places map[objects.ID]Place
}

func newModel() *model {
	return &model{committed: contents{}, pending: contents{}, dropped: contents{}, claims: map[objects.ID]bool{}}
}

func (m *model) places(id objects.ID) (all []Place) {
	for _, c := range []contents{m.committed, m.pending} {
		for _, p := range c {
			if at, ok := p.places[id]; ok {
				all = append(all, at)
			}
		}
	}
	return all
}

// TestModel does random operations on an index and on the model, and compares
// all answers after each.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		runModel(t, seed, 150)
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	r := newMaker(seed)
	ids := r.ids(600)
	dir := t.TempDir()
	x := mustOpen(t, dir, small)
	m := newModel()
	for range steps {
		switch n := r.IntN(20); {
		case n < 8:
			r.add(t, x, m, ids)
		case n < 12:
			for range 30 {
				id := ids[r.IntN(len(ids))]
				want := m.places(id) == nil && !m.claims[id]
				if got := x.Claim(id); got != want {
					t.Fatalf("seed %d: claim: got %v, want %v", seed, got, want)
				}
				m.claims[id] = m.claims[id] || want
			}
		case n < 15:
			r.commit(t, x, m)
		case n < 16:
			r.drop(x, m)
		case n < 17:
			x.Discard()
			m.pending, m.claims = contents{}, map[objects.ID]bool{}
		case n < 18 && r.IntN(4) == 0:
			if err := x.Reset(); err != nil {
				t.Fatal(err)
			}
			*m = *newModel()
		default:
			mustClose(t, x)
			x = mustOpen(t, dir, small)
			m.pending, m.claims = contents{}, map[objects.ID]bool{}
			maps.Copy(m.committed, m.dropped)
			m.dropped = contents{}
		}
		m.compare(t, x, ids)
	}
	mustClose(t, x)
}

func (r maker) add(t *testing.T, x *Index, m *model, ids []objects.ID) {
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	p, h := r.pack(ids[:r.IntN(60)])
	mustAdd(t, x, p, h)
	m.pending[p.ID] = modelPack{p, places(p, h)}
	for _, c := range h.Chunks {
		delete(m.claims, c.ID)
	}
}

func (r maker) commit(t *testing.T, x *Index, m *model) {
	m.state = State{Generation: m.state.Generation + 1, Commit: r.id()}
	maps.Copy(m.committed, m.pending)
	m.pending, m.dropped = contents{}, contents{}
	var dead []objects.ID
	for id := range m.committed {
		if r.IntN(8) == 0 {
			dead = append(dead, id)
			delete(m.committed, id)
		}
	}
	mustCommit(t, x, m.state, dead...)
	if got := len(x.runs); got > small.committed {
		t.Fatalf("got %d runs after a commit, want at most %d", got, small.committed)
	}
}

// drop takes packs out of the index that will be out of every state to come.
func (r maker) drop(x *Index, m *model) {
	var gone []objects.ID
	for _, c := range []contents{m.committed, m.pending} {
		for id := range c {
			if r.IntN(8) == 0 {
				gone = append(gone, id)
			}
		}
	}
	x.Drop(gone...)
	for _, id := range gone {
		if p, ok := m.committed[id]; ok {
			m.dropped[id] = p
		}
		delete(m.committed, id)
		delete(m.pending, id)
	}
}

func (m *model) compare(t *testing.T, x *Index, ids []objects.ID) {
	t.Helper()
	if x.State() != m.state {
		t.Fatalf("state: got %v, want %v", x.State(), m.state)
	}
	if got := len(x.runs); got > small.committed+small.pending {
		t.Fatalf("got %d runs, want at most %d", got, small.committed+small.pending)
	}
	known := []objects.ID{}
	for _, id := range ids {
		want := m.places(id)
		if want != nil {
			known = append(known, id)
		}
		got, ok, err := x.Lookup(id)
		if err != nil || ok != (want != nil) || ok && !slices.Contains(want, got) {
			t.Fatalf("lookup: got %+v, %v, %v, want one of %+v", got, ok, err, want)
		}
		if has, err := x.Has(id); err != nil || has != ok {
			t.Fatalf("has: got %v, %v, want %v", has, err, ok)
		}
	}
	if all, err := x.HasAll(ids); err != nil || all != (len(known) == len(ids)) {
		t.Fatalf("has all: got %v, %v, want %v", all, err, !all)
	}
	if all, err := x.HasAll(known); err != nil || !all {
		t.Fatalf("has all known ones: got %v, %v, want true", all, err)
	}
	m.comparePacks(t, x)
}

func (m *model) comparePacks(t *testing.T, x *Index) {
	t.Helper()
	var want []Pack
	for _, c := range []contents{m.committed, m.pending} {
		for _, p := range c {
			want = append(want, p.Pack)
		}
	}
	slices.SortFunc(want, func(a, b Pack) int { return a.ID.Compare(b.ID) })
	if got := allPacks(t, x); !slices.Equal(got, want) {
		t.Fatalf("packs: got %d, want %d", len(got), len(want))
	}
}

func allPacks(t *testing.T, x *Index) (all []Pack) {
	t.Helper()
	for p, err := range x.Packs() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// More packs than fit in one batch, in runs and in memory.
func TestPacksInBatches(t *testing.T) {
	t.Parallel()
	r := newMaker(1)
	x := mustOpen(t, t.TempDir(), limits{recent: 500, committed: 3, pending: 2})
	m := newModel()
	for i := range 5*packBatch + 3 {
		p, h := r.pack(r.ids(r.IntN(3)))
		mustAdd(t, x, p, h)
		m.pending[p.ID] = modelPack{Pack: p}
		if i == 600 {
			mustCommit(t, x, State{})
		}
	}
	m.comparePacks(t, x)
	for range x.Packs() {
		break
	}
}

// IDs that share their first bytes fall into one line of the guide; IDs at both ends of
// the range fall into the first and the last.
func TestUnevenIDs(t *testing.T) {
	t.Parallel()
	r := newMaker(2)
	ids := r.ids(3000)
	for i := range ids {
		copy(ids[i][:], []byte{7, 7, 7, 7, 7})
	}
	top := objects.ID{}
	for i := range top {
		top[i] = math.MaxUint8
	}
	ids = append(ids, objects.ID{}, top)
	x := mustOpen(t, t.TempDir(), defaults())
	p, h := r.pack(ids)
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{})
	wantPlaces(t, x, places(p, h))
	if x.runs[0].header.guide < 2 {
		t.Error("the guide has a single line")
	}
	for _, id := range []objects.ID{{6}, {7, 7, 7, 7, 7}, {8}, {255, 255, 255, 255}} {
		if has, err := x.Has(id); has || err != nil {
			t.Errorf("has %s: got %v, %v, want false", id.Short(), has, err)
		}
	}
}
