package record

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cairn/objects"
	"cairn/objects/crypt"
)

// State is what a repository holds after a generation: what its commit
// records add up to. The fields are for reading; only Load and Apply
// change them. It is not for concurrent use while one of these runs.
type State struct {
	Generation uint64     // 0 before the first commit
	Commit     objects.ID // record of Generation; zero before the first commit

	Packs     PackSet // live ones; with the headers that came in records since the snapshot before Generation
	Condemned IDSet
	Archives  Archives
	Settings  map[string][]byte

	Milestones []Milestone // before Generation, rising; those before the first one of a newer cairn are missing

	keys   *crypt.Keys
	hasher *crypt.Hasher // names archives
}

// NewState returns the state of a repository before its first commit.
func NewState(k *crypt.Keys) *State {
	return &State{
		Packs:     newPackSet(),
		Condemned: newIDSet(),
		Settings:  map[string][]byte{},
		keys:      k,
		hasher:    k.NewHasher(),
	}
}

// Clone returns a copy that changes independently of s. What that costs does not
// hang on how much the repository holds.
func (s *State) Clone() *State {
	c := *s
	c.Packs, c.Condemned = s.Packs.clone(), IDSet{s.Condemned.rows.clone()}
	c.Archives.list = slices.Clip(s.Archives.list) // else both would grow into the same room
	c.Settings = maps.Clone(s.Settings)
	c.Milestones = slices.Clip(s.Milestones)
	c.hasher = s.keys.NewHasher()
	return &c
}

// Load replaces s by the snapshot that the record named id carries.
func (s *State) Load(id objects.ID, c *Commit) error {
	if c.Snapshot == nil {
		return fmt.Errorf("load state: commit %d (%s) carries no snapshot", c.Generation, id.Short())
	}
	fresh := NewState(s.keys)
	fresh.Generation, fresh.Commit = c.Generation, id
	fresh.restore(c.Snapshot)
	*s = *fresh
	return nil
}

// restore fills an empty state.
func (s *State) restore(snap *Snapshot) {
	s.fold(&Commit{Packs: snap.Packs, Condemned: snap.Condemned, Archives: snap.Archives, Settings: snap.Settings})
	s.Milestones = slices.Clone(snap.Milestones)
}

// Apply moves s forward by the record named id. A record that does not follow
// the one before is an *objects.CorruptError, and s is unchanged.
func (s *State) Apply(id objects.ID, c *Commit) error {
	object := fmt.Sprintf("commit %d (%s)", c.Generation, id.Short())
	if c.Generation != s.Generation+1 {
		return objects.Corrupt(object, "it was to follow generation %d", s.Generation)
	}
	if c.Prev != s.Commit {
		return objects.Corrupt(object, "it follows %s, not %s", c.Prev.Short(), s.Commit.Short())
	}
	s.pass()
	s.fold(c)
	s.Generation, s.Commit = c.Generation, id
	return nil
}

// pass is what happens to s when it is left behind by the next generation: a
// milestone is noted.
func (s *State) pass() {
	if s.Generation == 0 || s.Generation%SnapshotEvery != 0 {
		return
	}
	s.Milestones = append(s.Milestones, Milestone{Generation: s.Generation, Commit: s.Commit})
	s.dropHeaders()
}

// dropHeaders bounds what a state holds of headers: those of the records from
// one snapshot to the next.
func (s *State) dropHeaders() { clear(s.Packs.headers) }

func (s *State) fold(c *Commit) {
	for _, id := range c.Condemned {
		s.Condemned.add(id)
		s.Packs.remove(id)
	}
	for i := range c.Packs {
		// Condemned is for ever: its bytes may be gone at any moment, so a
		// pack never comes back, whoever adds it.
		if p := &c.Packs[i]; !s.Condemned.Has(p.ID) {
			s.Packs.set(p)
		}
	}
	s.Archives.add(s.hasher, c.Archives)
	s.Archives.remove(c.Removed)
	for _, set := range c.Settings {
		s.Settings[set.Name] = set.Value
	}
}

// Snapshot returns s as a commit record carries it: archives in the order in
// which they were committed, all else sorted.
func (s *State) Snapshot() *Snapshot {
	snap := &Snapshot{
		Packs:      slices.Grow([]Pack(nil), s.Packs.Len()),
		Condemned:  slices.AppendSeq(slices.Grow([]objects.ID(nil), s.Condemned.Len()), s.Condemned.All()),
		Archives:   slices.Grow([]Archive(nil), s.Archives.Len()),
		Settings:   s.settings(),
		Milestones: slices.Clone(s.Milestones),
	}
	for p := range s.Packs.All() {
		p.Header = nil // FORMAT.md §9.3
		snap.Packs = append(snap.Packs, p)
	}
	for a := range s.Archives.All() {
		snap.Archives = append(snap.Archives, a.Archive)
	}
	return snap
}

// settings returns the settings by rising name.
func (s *State) settings() (list []Setting) {
	for _, name := range slices.SortedFunc(maps.Keys(s.Settings), strings.Compare) {
		list = append(list, Setting{Name: name, Value: s.Settings[name]})
	}
	return list
}

// SnapshotAfter returns the snapshot that c, which is to follow s, has to
// carry if it carries one. s is unchanged.
func (s *State) SnapshotAfter(c *Commit) *Snapshot {
	next := s.Clone()
	next.pass()
	next.fold(c)
	return next.Snapshot()
}
