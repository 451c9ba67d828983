package repository_test

import (
	"errors"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/pipeline/repository"
)

// copyOf returns a store that holds what s does, as a copy of a disk would.
func copyOf(t testing.TB, s *mem.Store) *mem.Store {
	t.Helper()
	c := &mem.Store{Now: s.Now}
	for info, err := range s.List(t.Context(), "") {
		must(t, err)
		p, err := s.Get(t.Context(), info.Key, backend.Range{})
		must(t, err)
		must(t, c.Put(t.Context(), info.Key, p))
	}
	head, _, err := s.Load(t.Context(), "")
	must(t, err)
	_, err = c.Swap(t.Context(), "", head)
	must(t, err)
	return c
}

// dated returns a store with a new repository, the file with its key, and the
// time by the store's clock.
func dated(t *testing.T) (s *mem.Store, key []byte, now *time.Time) {
	t.Helper()
	begun := time.Unix(1e9, 0)
	now = &begun
	s = &mem.Store{Now: func() time.Time { return *now }}
	_, err := repository.Init(t.Context(), at(s), withKeyFile(&key))
	must(t, err)
	return s, key, now
}

// Records older than the second newest snapshot go when they are older than a
// day, too. Machines that were here before then, and new ones, open the
// repository all the same, and one that saw another history notices.
func TestOldRecordsGo(t *testing.T) {
	t.Parallel()
	s, key, now := dated(t)
	early, here, fork := newMachine(t, s, key), newMachine(t, s, key), newMachine(t, s, key)
	early.commit(t, 60)
	other := copyOf(t, s)
	fork.commit(t, 10) // sees generation 70, and its 64
	here.commit(t, 300-70)
	if n := len(keys(t, s, "commits/")); n != 300 {
		t.Errorf("got %d records within a day, want all", n)
	}
	*now = now.Add(locking.Grace + time.Hour)
	here.commit(t, 20) // 320 carries a snapshot
	if n := len(keys(t, s, "commits/")); n != 320-256+1 {
		t.Errorf("got %d records, want those from 256 to 320", n)
	}
	for name, m := range map[string]*machine{"early": early, "here": here, "one that saw 70": fork, "cold": newMachine(t, s, key)} {
		m.use(t, func(r *repository.Repository) {
			if g := r.State().Generation; g != 320 {
				t.Errorf("machine %s: got generation %d, want 320", name, g)
			}
		})
	}

	elsewhere := newMachine(t, other, key)
	elsewhere.commit(t, 300-60)
	*now = now.Add(locking.Grace + time.Hour)
	elsewhere.commit(t, 20)
	late := newMachine(t, copyOf(t, s), key) // has seen 320
	late.use(t, func(*repository.Repository) {})
	late.store = other
	var warnings []string
	if _, err := late.open(t, &warnings); !errors.Is(err, locking.ErrForked) {
		t.Errorf("a fork at the same generation: got %v, want %v", err, locking.ErrForked)
	}
}

// A machine whose mark is older than every record that is left knows a fork by
// the snapshots before.
func TestForkBeforeTheOldestRecord(t *testing.T) {
	t.Parallel()
	s, key, now := dated(t)
	atMilestone, behind, before := newMachine(t, s, key), newMachine(t, s, key), newMachine(t, s, key)
	before.commit(t, 60)
	other := copyOf(t, s)
	atMilestone.commit(t, 4)
	behind.commit(t, 6)
	elsewhere := newMachine(t, other, key)
	elsewhere.commit(t, 200)
	*now = now.Add(locking.Grace + time.Hour)
	elsewhere.commit(t, 60)
	if oldest := keys(t, other, "commits/")[0]; oldest < "commits/000000000128" {
		t.Fatalf("the oldest record is %s, want it gone", oldest)
	}
	var warnings []string
	for name, m := range map[string]*machine{"at a snapshot": atMilestone, "after it": behind} {
		m.store = other
		if _, err := m.open(t, &warnings); !errors.Is(err, locking.ErrForked) {
			t.Errorf("a mark %s: got %v, want %v", name, err, locking.ErrForked)
		}
	}
	before.store = other
	before.use(t, func(r *repository.Repository) {
		if g := r.State().Generation; g != 320 {
			t.Errorf("a mark before the fork: got generation %d, want 320", g)
		}
	})
}
