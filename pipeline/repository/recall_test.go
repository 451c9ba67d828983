package repository_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// requests returns how many requests of every kind there were since the counts
// were reset, those that were not made left out.
func requests(s *mem.Store) string {
	var all []string
	for op := mem.Put; op <= mem.Swap; op++ {
		if n := s.Count(op); n > 0 {
			all = append(all, fmt.Sprintf("%v %d", op, n))
		}
	}
	return fmt.Sprint(all)
}

func wantRequests(t testing.TB, s *mem.Store, what, want string) {
	t.Helper()
	if got := requests(s); got != want {
		t.Errorf("%s: got requests %s, want %s", what, got, want)
	}
}

// commit commits n archives that hold nothing, one after another.
func (m *machine) commit(t testing.TB, n int) {
	t.Helper()
	m.use(t, func(r *repository.Repository) {
		for range n {
			w, ctx, err := r.Begin(t.Context(), t.Context())
			must(t, err)
			must(t, w.Commit(ctx, &record.Commit{Made: time.Now()}))
			must(t, w.End(t.Context()))
		}
	})
}

// passphraseStore returns a repository that opens with the passphrase "old".
func passphraseStore(t testing.TB) *mem.Store {
	t.Helper()
	s := new(mem.Store)
	_, err := repository.Init(t.Context(), at(s), repository.InitOptions{Passphrase: []byte("old"), KDF: cheap})
	must(t, err)
	return s
}

// Opening what has not changed since is one request, and a commit that adds
// nothing two more, however many commits there are and with a passphrase too.
func TestRequestsOfAWarmMachine(t *testing.T) {
	t.Parallel()
	s := passphraseStore(t)
	m := newMachine(t, s, nil)
	m.passphrase = "old"
	m.commit(t, 70)
	s.ResetCounts()
	m.use(t, func(r *repository.Repository) { must(t, r.Sync(t.Context())) })
	wantRequests(t, s, "open and sync", "[load 1]")
	s.ResetCounts()
	m.commit(t, 1)
	wantRequests(t, s, "commit", "[put 1 load 1 swap 1]")
	s.ResetCounts()
	m.use(t, func(r *repository.Repository) { must(t, r.Sync(t.Context())) })
	wantRequests(t, s, "after a commit of its own", "[load 1]")
	other := newMachine(t, s, nil)
	other.passphrase = "old"
	s.ResetCounts()
	other.use(t, func(r *repository.Repository) { must(t, r.Sync(t.Context())) })
	// config, a slot, and the records from the snapshot at 64 to 71
	wantRequests(t, s, "a machine that was never here", "[get 10 list 2 load 1]")
	other.commit(t, 1)
	s.ResetCounts()
	m.use(t, func(r *repository.Repository) { must(t, r.Sync(t.Context())) })
	wantRequests(t, s, "after a commit of another machine", "[get 1 load 1]")
}

// A machine that was never here, or has lost its cache, reads no more than the
// records since the newest snapshot besides six requests. A passphrase takes two
// more, for the slot that it opens.
func TestRequestsOfAColdMachine(t *testing.T) {
	t.Parallel()
	const fixed, between = 6, 64 // requests; generations from one snapshot to the next
	s, key := new(mem.Store), []byte(nil)
	_, err := repository.Init(t.Context(), at(s), withKeyFile(&key))
	must(t, err)
	m := newMachine(t, s, key)
	commits := 0
	for _, n := range []int{0, 1, 5, 62, 63, 64, 65, 127, 128, 129} {
		m.commit(t, n-commits)
		commits = n
		s.ResetCounts()
		newMachine(t, s, key).use(t, func(r *repository.Repository) {
			must(t, r.Sync(t.Context()))
			if g := r.State().Generation; g != uint64(n) {
				t.Errorf("after %d commits: got generation %d", n, g)
			}
		})
		if most := fixed + n%between; s.Total() > most {
			t.Errorf("after %d commits: got requests %s, want at most %d", n, requests(s), most)
		}
	}
}

// What this machine remembers of a location gives way to what is there.
func TestAnotherRepositoryAtTheLocation(t *testing.T) {
	t.Parallel()
	s := passphraseStore(t)
	m := newMachine(t, s, nil)
	m.passphrase = "old"
	m.commit(t, 3)
	var warnings []string

	m.passphrase = "wrong"
	if _, err := m.open(t, &warnings); !errors.Is(err, crypt.ErrWrongPassphrase) {
		t.Errorf("a wrong passphrase: got %v, want %v", err, crypt.ErrWrongPassphrase)
	}
	m.passphrase = "old"
	m.store = new(mem.Store)
	if _, err := m.open(t, &warnings); !errors.Is(err, repository.ErrNotFound) {
		t.Errorf("the repository is gone: got %v, want %v", err, repository.ErrNotFound)
	}
	if _, _, err := m.store.Load(t.Context(), ""); !errors.Is(err, backend.ErrNotExist) {
		t.Error("opening made a head where there is no repository")
	}
	m.store = passphraseStore(t)
	other := newMachine(t, m.store, nil)
	other.passphrase = "old"
	other.commit(t, 1)
	m.use(t, func(r *repository.Repository) {
		if g := r.State().Generation; g != 1 {
			t.Errorf("another repository: got generation %d, want its 1", g)
		}
	})
	m.store = s
	m.commit(t, 1)
	m.use(t, func(r *repository.Repository) {
		if g := r.State().Generation; g != 4 {
			t.Errorf("back to the first: got generation %d, want 4", g)
		}
	})
}

// A config that is lost is noticed within a day by machines that know it, and
// would not need it.
func TestLostConfigIsNoticed(t *testing.T) {
	t.Parallel()
	s := passphraseStore(t)
	m := newMachine(t, s, nil)
	m.passphrase = "old"
	m.commit(t, 2)
	must(t, s.Delete(t.Context(), "config"))
	m.commit(t, 1)
	places, err := filepath.Glob(m.cache + "/places/*")
	must(t, err)
	for _, path := range places {
		yesterday := time.Now().Add(-25 * time.Hour)
		must(t, os.Chtimes(path, yesterday, yesterday))
	}
	var warnings []string
	if _, err := m.open(t, &warnings); len(places) == 0 || !objects.IsCorrupt(err) {
		t.Errorf("a day later: got %v, want that config is missing", err)
	}
}

// What is remembered may be rotten, cut short or gone: the repository says what
// is true, without a word.
func TestRottenMemory(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	m := newMachine(t, s, key)
	m.commit(t, 3)
	files := func() []string {
		places, err := filepath.Glob(m.cache + "/places/*")
		must(t, err)
		states, err := filepath.Glob(m.cache + "/*/state")
		must(t, err)
		return append(places, states...)
	}
	if n := len(files()); n != 2 {
		t.Fatalf("got %d files, want a place and a state", n)
	}
	const steps = 20
	for step := range steps {
		for _, path := range files() {
			p, err := os.ReadFile(path)
			must(t, err)
			at := len(p) * step / steps
			if step%2 == 0 {
				p[at] ^= 1
			} else {
				p = p[:at]
			}
			must(t, os.WriteFile(path, p, 0o600))
		}
		warnings := m.use(t, func(r *repository.Repository) {
			if g := r.State().Generation; g != 3 {
				t.Errorf("step %d: got generation %d, want 3", step, g)
			}
		})
		if len(warnings) > 0 {
			t.Errorf("step %d: got warnings %q, want none", step, warnings)
		}
	}
}

// A state that is remembered and lies ahead of head, or on another chain, is
// not believed.
func TestMemoryOffTheChain(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	m, other := newMachine(t, s, key), newMachine(t, s, key)
	m.commit(t, 2)
	other.commit(t, 1)
	old, _, err := s.Load(t.Context(), "")
	must(t, err)
	m.commit(t, 2)
	_, tag, err := s.Load(t.Context(), "")
	must(t, err)
	_, err = s.Swap(t.Context(), tag, old)
	must(t, err)
	var warnings []string
	if _, err := m.open(t, &warnings); !errors.Is(err, locking.ErrRolledBack) {
		t.Errorf("ahead of head: got %v, want %v", err, locking.ErrRolledBack)
	}
	other.commit(t, 3)
	if _, err := m.open(t, &warnings); !errors.Is(err, locking.ErrForked) {
		t.Errorf("off the chain: got %v, want %v", err, locking.ErrForked)
	}
	var want objects.ID
	other.use(t, func(r *repository.Repository) { want = r.State().Commit })
	m.accept = locking.AcceptRollback
	m.use(t, func(r *repository.Repository) {
		if r.State().Commit != want {
			t.Error("accepted: the state is not what other machines see")
		}
	})
}
