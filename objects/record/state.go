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

	Packs     map[objects.ID]Pack // live ones; with the headers that came in records since the snapshot before Generation
	Condemned map[objects.ID]struct{}
	Archives  []Listed // in the order in which they were committed
	Settings  map[string][]byte

	Milestones []Milestone // before Generation, rising; those before the first one of a newer cairn are missing

	keys   *crypt.Keys
	hasher *crypt.Hasher           // names archives
	listed map[objects.ID]struct{} // the IDs of Archives
}

// Listed is an archive of a State.
type Listed struct {
	ID objects.ID
	Archive
}

// NewState returns the state of a repository before its first commit.
func NewState(k *crypt.Keys) *State {
	return &State{
		Packs:     map[objects.ID]Pack{},
		Condemned: map[objects.ID]struct{}{},
		Settings:  map[string][]byte{},
		keys:      k,
		hasher:    k.NewHasher(),
		listed:    map[objects.ID]struct{}{},
	}
}

// Clone returns a copy that changes independently of s.
func (s *State) Clone() *State {
	c := *s
	c.Packs, c.Condemned = maps.Clone(s.Packs), maps.Clone(s.Condemned)
	c.Archives, c.listed = slices.Clone(s.Archives), maps.Clone(s.listed)
	c.Settings = maps.Clone(s.Settings)
	c.Milestones = slices.Clone(s.Milestones)
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
func (s *State) dropHeaders() {
	for id, p := range s.Packs {
		if p.Header != nil {
			p.Header = nil
			s.Packs[id] = p
		}
	}
}

func (s *State) fold(c *Commit) {
	for _, id := range c.Condemned {
		s.Condemned[id] = struct{}{}
		delete(s.Packs, id)
	}
	for _, p := range c.Packs {
		// Condemned is for ever: its bytes may be gone at any moment, so a
		// pack never comes back, whoever adds it.
		if _, dead := s.Condemned[p.ID]; !dead {
			s.Packs[p.ID] = p
		}
	}
	for i := range c.Archives {
		id := c.Archives[i].ID(s.hasher)
		if _, again := s.listed[id]; !again {
			s.listed[id] = struct{}{}
			s.Archives = append(s.Archives, Listed{id, c.Archives[i]})
		}
	}
	s.remove(c.Removed)
	for _, set := range c.Settings {
		s.Settings[set.Name] = set.Value
	}
}

func (s *State) remove(ids []objects.ID) {
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		delete(s.listed, id)
	}
	s.Archives = slices.DeleteFunc(s.Archives, func(a Listed) bool {
		_, stays := s.listed[a.ID]
		return !stays
	})
}

// Snapshot returns s as a commit record carries it: archives in the order in
// which they were committed, all else sorted.
func (s *State) Snapshot() *Snapshot {
	snap := &Snapshot{Condemned: sortedIDs(s.Condemned), Milestones: slices.Clone(s.Milestones)}
	for _, id := range sortedIDs(s.Packs) {
		p := s.Packs[id]
		p.Header = nil // FORMAT.md §9.3
		snap.Packs = append(snap.Packs, p)
	}
	for i := range s.Archives {
		snap.Archives = append(snap.Archives, s.Archives[i].Archive)
	}
	for _, name := range slices.SortedFunc(maps.Keys(s.Settings), strings.Compare) {
		snap.Settings = append(snap.Settings, Setting{Name: name, Value: s.Settings[name]})
	}
	return snap
}

// SnapshotAfter returns the snapshot that c, which is to follow s, has to
// carry if it carries one. s is unchanged.
func (s *State) SnapshotAfter(c *Commit) *Snapshot {
	next := s.Clone()
	next.pass()
	next.fold(c)
	return next.Snapshot()
}

func sortedIDs[T any](m map[objects.ID]T) []objects.ID {
	return slices.SortedFunc(maps.Keys(m), objects.ID.Compare)
}
