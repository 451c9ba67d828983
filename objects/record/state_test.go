package record

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"cairn/objects"
)

// sameState compares what two states say.
func sameState(a, b *State) bool {
	return a.Generation == b.Generation && a.Commit == b.Commit && reflect.DeepEqual(a.Snapshot(), b.Snapshot())
}

func TestStateFolds(t *testing.T) {
	t.Parallel()
	s, h := NewState(testKeys(t)), testKeys(t).NewHasher()
	one, two := testPack(1, 49), bare(testPack(2, 100))
	monday, tuesday := testArchive("monday"), testArchive("tuesday")
	apply := func(c *Commit) {
		t.Helper()
		c.Generation, c.Prev = s.Generation+1, s.Commit
		if err := s.Apply(objects.ID{byte(c.Generation)}, c); err != nil {
			t.Fatal(err)
		}
	}
	apply(&Commit{Packs: []Pack{one, two}, Archives: []Archive{monday}, Settings: []Setting{{"parity", []byte{5}}}})
	if !s.Packs.Has(one.ID) || s.Packs.Len() != 2 || s.Archives.Len() != 1 {
		t.Errorf("after the first commit: %+v", s)
	}
	if got, _ := s.Packs.Get(one.ID); len(got.Header) == 0 {
		t.Error("the pack lost the header that came with it")
	}
	apply(&Commit{Condemned: []objects.ID{one.ID}, Archives: []Archive{tuesday}, Removed: []objects.ID{monday.ID(h)}, Settings: []Setting{{"parity", []byte{9}}}})
	if s.Packs.Has(one.ID) {
		t.Error("a condemned pack is live")
	}
	if !s.Condemned.Has(one.ID) {
		t.Error("a condemned pack is forgotten")
	}
	if got := slices.Collect(s.Archives.All()); len(got) != 1 || got[0].ID != tuesday.ID(h) || got[0].Name != "tuesday" {
		t.Errorf("archives: %+v, want tuesday alone", got)
	}
	if got := s.Settings["parity"]; !slices.Equal(got, []byte{9}) {
		t.Errorf("parity = %v, want the newest", got)
	}
	apply(&Commit{Packs: []Pack{one}}) // dead for ever
	if s.Packs.Has(one.ID) {
		t.Error("a condemned pack came back")
	}
	for _, p := range s.Snapshot().Packs {
		if p.Header != nil {
			t.Error("a snapshot carries a header")
		}
	}
	if s.Generation != 3 || s.Commit != (objects.ID{3}) {
		t.Errorf("at generation %d, %v", s.Generation, s.Commit)
	}
}

func TestStateRefusesWhatDoesNotFollow(t *testing.T) {
	t.Parallel()
	s := NewState(testKeys(t))
	if err := s.Apply(objects.ID{1}, firstCommit()); err != nil {
		t.Fatal(err)
	}
	before := s.Clone()
	for reason, c := range map[string]*Commit{
		"same generation":       {Generation: 1, Packs: []Pack{testPack(1, 49)}},
		"a generation left out": {Generation: 3, Prev: objects.ID{1}, Packs: []Pack{testPack(1, 49)}},
		"another chain":         {Generation: 2, Prev: objects.ID{2}, Packs: []Pack{testPack(1, 49)}},
	} {
		if err := s.Apply(objects.ID{9}, c); !objects.IsCorrupt(err) {
			t.Errorf("%s: %v, want a CorruptError", reason, err)
		}
		if !sameState(s, before) {
			t.Errorf("%s: the state changed", reason)
		}
	}
	if err := s.Load(objects.ID{1}, firstCommit()); err == nil || !sameState(s, before) {
		t.Errorf("a record without snapshot was loaded: %v", err)
	}
}

// TestSnapshotEqualsHistory: a state from a snapshot and later records is the
// state from all records, wherever it starts.
func TestSnapshotEqualsHistory(t *testing.T) {
	t.Parallel()
	k, rng, random := testKeys(t), rand.New(fixedRandom("history")), fixedRandom("seals")
	whole := NewState(k)
	var late []*State // started at a snapshot
	for gen := uint64(1); gen <= 200; gen++ {
		c := historyCommit(rng, whole)
		after := whole.SnapshotAfter(c)
		if gen%SnapshotEvery == 0 || rng.IntN(20) == 0 {
			c.Snapshot = after
		}
		id, stored, err := Encode(k, c, random)
		if err != nil {
			t.Fatal(err)
		}
		if c, _, err = DecodeCommit(k, id, stored); err != nil {
			t.Fatal(err)
		}
		for _, s := range append(late, whole) {
			if err := s.Apply(id, c); err != nil {
				t.Fatal(err)
			}
		}
		if got := whole.Snapshot(); !reflect.DeepEqual(got, after) {
			t.Fatalf("generation %d: SnapshotAfter foretold %+v, it is %+v", gen, after, got)
		}
		if c.Snapshot != nil {
			s := NewState(k)
			if err := s.Load(id, c); err != nil {
				t.Fatal(err)
			}
			late = append(late, s)
		}
	}
	for i, s := range late {
		if !sameState(s, whole) {
			t.Errorf("the state from snapshot %d differs in the end", i)
		}
	}
}

// historyCommit changes a little of what s holds.
func historyCommit(rng *rand.Rand, s *State) *Commit {
	c := randomCommit(rng)
	c.Generation, c.Prev, c.Snapshot = s.Generation+1, s.Commit, nil
	if packs := s.Snapshot().Packs; len(packs) > 0 {
		c.Condemned = append(c.Condemned, packs[rng.IntN(len(packs))].ID)
	}
	if n := s.Archives.Len(); n > 0 {
		c.Removed = append(c.Removed, s.Archives.At(rng.IntN(n)).ID)
	}
	return c
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	s := NewState(testKeys(t))
	c := s.Clone()
	full := testCommit()
	full.Generation, full.Prev = 1, objects.ID{}
	if err := c.Apply(objects.ID{1}, full); err != nil {
		t.Fatal(err)
	}
	if !sameState(s, NewState(testKeys(t))) {
		t.Errorf("a change of the clone shows in %+v", s)
	}
}

func TestArchiveIDHangsOnEveryField(t *testing.T) {
	t.Parallel()
	h := testKeys(t).NewHasher()
	a := testArchive("monday")
	seen := map[objects.ID]string{a.ID(h): "unchanged"}
	for i := range reflect.TypeFor[Archive]().NumField() {
		changed := testArchive("monday")
		f := reflect.ValueOf(&changed).Elem().Field(i)
		f.SetZero()
		name := reflect.TypeFor[Archive]().Field(i).Name
		if other, ok := seen[changed.ID(h)]; ok {
			t.Errorf("without %s it has the ID of %s", name, other)
		}
		seen[changed.ID(h)] = name
	}
}
