package index

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
)

var repository = objects.RepositoryID{1, 2, 3}

// small makes spills and merges happen with few chunks.
var small = limits{recent: 64, committed: 3, pending: 2}

// maker makes packs of random chunks.
type maker struct{ *rand.Rand }

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 0))} }

func (m maker) id() (id objects.ID) {
	for i := 0; i < len(id); i += 8 {
		binary.LittleEndian.PutUint64(id[i:], m.Uint64())
	}
	return id
}

func (m maker) ids(n int) []objects.ID {
	ids := make([]objects.ID, n)
	for i := range ids {
		ids[i] = m.id()
	}
	return ids
}

// pack makes a pack that holds the chunks, in frames of up to seven and one
// of padding.
func (m maker) pack(ids []objects.ID) (Pack, *pack.Header) {
	h := &pack.Header{Kind: objects.Kind(1 + m.IntN(2))}
	for range 1 + m.IntN(3) {
		k := pack.Key{AEAD: crypt.AES256GCM, Epoch: m.Uint32(), Commitment: m.id()}
		id := m.id()
		copy(k.Wrapped[:], id[:])
		h.Keys = append(h.Keys, k)
	}
	off := 40 + m.Uint32N(1000)
	for len(ids) > 0 {
		n := min(len(ids), 1+m.IntN(7))
		f := pack.Frame{
			Key: m.Uint32N(uint32(len(h.Keys))), Number: m.Uint32(), Compression: pack.Compression(m.IntN(2)),
			Off: off, Stored: 17 + m.Uint32N(1000), First: uint32(len(h.Chunks)), Count: uint32(n),
		}
		for _, id := range ids[:n] {
			c := pack.Chunk{ID: id, Len: 1 + m.Uint32N(1<<20)}
			h.Chunks = append(h.Chunks, c)
			f.Raw += c.Len
		}
		h.Frames = append(h.Frames, f)
		off += f.Stored
		ids = ids[n:]
	}
	h.Frames = append(h.Frames, pack.Frame{Off: off, Stored: 100, Raw: 84, First: uint32(len(h.Chunks))})
	return Pack{ID: m.id(), Kind: h.Kind, Len: int64(off) + 100, HeaderLen: 300}, h
}

// places returns where the chunks of a pack are.
func places(p Pack, h *pack.Header) map[objects.ID]Place {
	all := make(map[objects.ID]Place)
	for _, f := range h.Frames {
		off := uint32(0)
		for _, c := range h.FrameChunks(f) {
			kept := f
			kept.First, kept.Count = 0, 0
			all[c.ID] = Place{Pack: p.ID, Kind: p.Kind, Key: h.Keys[f.Key], Frame: kept, Off: off, Len: c.Len}
			off += c.Len
		}
	}
	return all
}

// mustOpen opens an index and closes it at the end of the test.
func mustOpen(t testing.TB, dir string, l limits) *Index {
	t.Helper()
	x, err := open(dir, repository, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func mustAdd(t testing.TB, x *Index, p Pack, h *pack.Header) {
	t.Helper()
	if err := x.Add(p, h); err != nil {
		t.Fatal(err)
	}
}

func mustCommit(t testing.TB, x *Index, s State, dead ...objects.ID) {
	t.Helper()
	if err := x.Commit(s, dead...); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, x *Index) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// names returns the files in dir, without the lock.
func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockFile {
			all = append(all, e.Name())
		}
	}
	return all
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	x := mustOpen(t, filepath.Join(t.TempDir(), "a", "b"), small)
	if x.Found() != Missing || !x.Saves() || x.State() != (State{}) {
		t.Errorf("got %v, saves %v, %v, want missing, true, zero", x.Found(), x.Saves(), x.State())
	}
	if _, ok, err := x.Lookup(objects.ID{1}); ok || err != nil {
		t.Errorf("lookup in an empty index: got %v, %v", ok, err)
	}
	for range x.Packs() {
		t.Error("an empty index has a pack")
	}
}

func TestPendingIsFindableAndKeptOnlyByCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaker(1)
	p, h := m.pack(m.ids(10))
	q, g := m.pack(m.ids(10))

	x := mustOpen(t, dir, small)
	mustAdd(t, x, p, h)
	wantPlaces(t, x, places(p, h))
	state := State{Generation: 7, Commit: m.id()}
	mustCommit(t, x, state)
	mustAdd(t, x, q, g)
	wantPlaces(t, x, places(q, g))
	mustClose(t, x)

	x = mustOpen(t, dir, small)
	if x.Found() != Intact || x.State() != state {
		t.Errorf("got %v, %v, want intact, %v", x.Found(), x.State(), state)
	}
	wantPlaces(t, x, places(p, h))
	wantNone(t, x, places(q, g))
}

func TestDiscardForgetsPendingAndClaims(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaker(2)
	x := mustOpen(t, dir, small)
	p, h := m.pack(m.ids(20))
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{Generation: 1})
	q, g := m.pack(m.ids(200)) // spills
	mustAdd(t, x, q, g)
	id := m.id()
	if !x.Claim(id) || x.Claim(id) {
		t.Error("claim: want true, then false")
	}
	x.Discard()
	wantPlaces(t, x, places(p, h))
	wantNone(t, x, places(q, g))
	if !x.Claim(id) {
		t.Error("a claim outlived Discard")
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("files after Discard: got %v, want a manifest and a run", got)
	}
	if x.State().Generation != 1 {
		t.Errorf("state after Discard: got %v", x.State())
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaker(3)
	x := mustOpen(t, dir, small)
	p, h := m.pack(m.ids(200))
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{Generation: 1})
	if err := x.Reset(); err != nil {
		t.Fatal(err)
	}
	wantNone(t, x, places(p, h))
	if got := names(t, dir); len(got) != 0 || x.State() != (State{}) {
		t.Errorf("after Reset: got %v, %v, want nothing", got, x.State())
	}
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{Generation: 1})
	wantPlaces(t, x, places(p, h))
}

func TestAddTwice(t *testing.T) {
	t.Parallel()
	m := newMaker(4)
	x := mustOpen(t, t.TempDir(), small)
	p, h := m.pack(m.ids(10))
	mustAdd(t, x, p, h)
	mustAdd(t, x, p, h)
	if x.added != 10 {
		t.Errorf("added a pack twice: got %d chunks, want 10", x.added)
	}
	mustCommit(t, x, State{Generation: 1})
	mustAdd(t, x, p, h)
	if x.added != 0 {
		t.Errorf("added a committed pack: got %d chunks, want 0", x.added)
	}
}

func TestAddRefusesForeignHeader(t *testing.T) {
	t.Parallel()
	m := newMaker(5)
	x := mustOpen(t, t.TempDir(), small)
	for name, spoil := range map[string]func(*Pack, *pack.Header){
		"other kind":         func(p *Pack, _ *pack.Header) { p.Kind = 3 - p.Kind },
		"negative length":    func(p *Pack, _ *pack.Header) { p.Len = -1 },
		"length over u32":    func(p *Pack, _ *pack.Header) { p.Len = 1 << 32 },
		"key out of range":   func(_ *Pack, h *pack.Header) { h.Frames[0].Key = uint32(len(h.Keys)) },
		"chunks off the end": func(_ *Pack, h *pack.Header) { h.Frames[0].Count = ^uint32(0) },
	} {
		p, h := m.pack(m.ids(10))
		spoil(&p, h)
		if err := x.Add(p, h); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A chunk that is in two packs stays findable when one of them dies.
func TestDeadPacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMaker(6)
	x := mustOpen(t, dir, small)
	shared, only := m.ids(50), m.ids(50)
	p, h := m.pack(slices.Concat(shared, only))
	q, g := m.pack(shared)
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{Generation: 1})
	mustAdd(t, x, q, g)
	mustCommit(t, x, State{Generation: 2}, p.ID)
	wantPlaces(t, x, places(q, g))
	for _, id := range only {
		if has, err := x.Has(id); has || err != nil {
			t.Fatalf("chunk of a dead pack: got %v, %v, want false", has, err)
		}
	}
	mustCommit(t, x, State{Generation: 3}, q.ID)
	wantNone(t, x, places(q, g))
	if got := names(t, dir); !slices.Equal(got, []string{manifestFile}) {
		t.Errorf("files without packs: got %v, want the manifest", got)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sizes []uint32
		limit int
		want  int
	}{
		{nil, 3, 0},
		{[]uint32{5}, 1, 0},
		{[]uint32{3, 2, 1}, 3, 0},
		{[]uint32{100, 3, 2, 2}, 4, 3},
		{[]uint32{100, 3, 2, 1}, 3, 2},
		{[]uint32{44, 27, 15, 13, 1}, 4, 5},
		{[]uint32{44, 1, 1}, 4, 0},
		{[]uint32{44, 1, 1, 1}, 4, 3},
		{[]uint32{10, 1, 9}, 4, 2}, // what was added may be more than a run
		{[]uint32{1 << 31, 1 << 31, 1 << 31}, 4, 3},
	} {
		if got := settle(c.sizes, c.limit); got != c.want {
			t.Errorf("settle(%v, %d): got %d, want %d", c.sizes, c.limit, got, c.want)
		}
	}
}

// A thousand commits of one chunk each to a large index rewrite few rows.
func TestSmallCommitsAreCheap(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]uint32{{1e7}, {44e5, 27e5, 15e5, 13e5}} {
		total, written, limit := uint64(1e7), uint64(0), defaults().committed
		for range 1000 {
			sizes = append(sizes, 1)
			total++
			n := settle(sizes, limit)
			if n == 0 {
				continue
			}
			merged := uint32(0)
			for _, s := range sizes[len(sizes)-n:] {
				merged += s
			}
			sizes = append(sizes[:len(sizes)-n], merged)
			written += uint64(merged)
		}
		if written > total+100_000 || len(sizes) > limit {
			t.Errorf("got %d rows written, %d runs, want all rows once and 100 a commit, %d runs", written, len(sizes), limit)
		}
	}
}

func TestMergeLast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sizes []uint32
		limit int
		want  int
	}{
		{nil, 3, 0},
		{[]uint32{3, 2, 1}, 3, 0},
		{[]uint32{100, 50, 20, 1}, 3, 2},
		{[]uint32{100, 20, 20, 1}, 3, 3},
		{[]uint32{1, 1, 1, 1}, 3, 4},
		{[]uint32{9, 8, 7, 6}, 1, 4},
		{[]uint32{1 << 31, 1 << 31, 1 << 31, 1 << 31}, 3, 4},
	} {
		if got := mergeLast(c.sizes, c.limit); got != c.want {
			t.Errorf("mergeLast(%v, %d): got %d, want %d", c.sizes, c.limit, got, c.want)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	m := newMaker(7) // not parallel: it counts allocations
	x := mustOpen(t, t.TempDir(), small)
	ids := m.ids(100)
	p, h := m.pack(ids[:90])
	mustAdd(t, x, p, h)
	mustCommit(t, x, State{})
	p, h = m.pack(ids[90:])
	mustAdd(t, x, p, h)
	unknown := m.id()
	n := testing.AllocsPerRun(10, func() {
		for _, id := range ids {
			if _, ok, err := x.Lookup(id); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if x.Claim(id) {
				t.Fatal("claimed a known chunk")
			}
		}
		if has, err := x.Has(unknown); has || err != nil {
			t.Fatal(has, err)
		}
		if all, err := x.HasAll(ids); !all || err != nil {
			t.Fatal(all, err)
		}
	})
	if n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}

func wantPlaces(t testing.TB, x *Index, want map[objects.ID]Place) {
	t.Helper()
	if err := checkPlaces(x, want); err != nil {
		t.Fatal(err)
	}
}

// checkPlaces is for goroutines, which must not end the test.
func checkPlaces(x *Index, want map[objects.ID]Place) error {
	for id, p := range want {
		got, ok, err := x.Lookup(id)
		if !ok || err != nil || got != p {
			return fmt.Errorf("lookup %s: got %+v, %v, %v, want %+v", id.Short(), got, ok, err, p)
		}
		if has, err := x.Has(id); !has || err != nil {
			return fmt.Errorf("has %s: got %v, %v, want true", id.Short(), has, err)
		}
	}
	return nil
}

func wantNone(t testing.TB, x *Index, of map[objects.ID]Place) {
	t.Helper()
	for id := range of {
		if _, ok, err := x.Lookup(id); ok || err != nil {
			t.Fatalf("lookup %s: got %v, %v, want false", id.Short(), ok, err)
		}
	}
}

// What only a distrusted pack holds is to be stored again; it can still be
// looked up, and is found in the new pack once that is there.
func TestDistrust(t *testing.T) {
	t.Parallel()
	x := mustOpen(t, t.TempDir(), small)
	m := newMaker(1)
	old, oldHeader := m.pack(m.ids(50))
	mustAdd(t, x, old, oldHeader)
	mustCommit(t, x, State{Generation: 1})
	x.Distrust(old.ID)
	ids := []objects.ID{oldHeader.Chunks[0].ID, oldHeader.Chunks[1].ID}
	if known, err := x.HasAll(ids); known || err != nil {
		t.Errorf("has all: got %v, %v, want them unknown", known, err)
	}
	for _, c := range oldHeader.Chunks {
		if known, err := x.Has(c.ID); known || err != nil {
			t.Errorf("has: got %v, %v, want it unknown", known, err)
		}
		if p, ok, err := x.Lookup(c.ID); !ok || err != nil || p.Pack != old.ID {
			t.Errorf("lookup: got %v in %v, %v, want it in the old pack", ok, p.Pack, err)
		}
		if !x.Claim(c.ID) {
			t.Error("claim: got false, want the chunk stored again")
		}
	}
	fresh := old
	fresh.ID[0] ^= 0xff
	mustAdd(t, x, fresh, oldHeader)
	for _, state := range []string{"added", "committed"} {
		if known, err := x.HasAll(ids); !known || err != nil {
			t.Errorf("%s: has all: got %v, %v, want true", state, known, err)
		}
		for _, c := range oldHeader.Chunks {
			if known, _ := x.Has(c.ID); !known {
				t.Errorf("%s: the new pack's chunk is unknown", state)
			}
			if p, _, _ := x.Lookup(c.ID); p.Pack != fresh.ID {
				t.Errorf("%s: lookup still prefers the old pack", state)
			}
		}
		mustCommit(t, x, State{Generation: 2})
	}
}
