package repository_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/index"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"
)

// A machine has a cache and a state of its own.
type machine struct {
	store        *mem.Store
	key          []byte
	passphrase   string // instead of key
	cache, state string
	accept       locking.Rollback

	backend  backend.Backend // in place of the store; nil: the store
	indexing func(done, total int)
	meta     int64 // bytes of metadata that are kept
}

func newMachine(t testing.TB, s *mem.Store, key []byte) *machine {
	return &machine{store: s, key: key, cache: t.TempDir(), state: t.TempDir()}
}

// use opens the repository, hands it to f and closes it.
func (m *machine) use(t testing.TB, f func(*repository.Repository)) (warnings []string) {
	t.Helper()
	r, err := m.open(t, &warnings)
	must(t, err)
	f(r)
	must(t, r.Close())
	return warnings
}

// open opens the repository at the one location that this machine knows.
func (m *machine) open(t testing.TB, warnings *[]string) (*repository.Repository, error) {
	u := repository.Unlocker{KeyFile: m.key}
	if m.passphrase != "" {
		u = passphrase(m.passphrase)
	}
	store := at(m.store)
	if m.backend != nil {
		store.Backend = m.backend
	}
	return repository.Open(t.Context(), store, repository.Options{
		Unlock: u, Location: "memory", MetaLimit: m.meta, CacheDir: m.cache, StateDir: m.state, Rollback: m.accept,
		Warn: func(err error) { *warnings = append(*warnings, err.Error()) }, Indexing: m.indexing,
	})
}

// backup stores a file and returns a chunk of it.
func (m *machine) backup(t testing.TB, content string) (id objects.ID) {
	t.Helper()
	src := t.TempDir()
	p := []byte(strings.Repeat(content, 1000))
	must(t, os.WriteFile(filepath.Join(src, "f"), p, 0o600))
	m.use(t, func(r *repository.Repository) {
		_, _, err := backup.Run(t.Context(), t.Context(), r, backup.Options{
			Roots: []walk.Root{{Source: src}}, Now: time.Now, Archive: record.Archive{Name: content},
		})
		must(t, err)
		id = r.Keys.NewHasher().Sum(objects.Data, p)
	})
	return id
}

// finds wants chunks to be found, after Sync.
func (m *machine) finds(t testing.TB, ids ...objects.ID) (warnings []string) {
	t.Helper()
	return m.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		for _, id := range ids {
			if _, err := r.Lookup(t.Context(), id); err != nil {
				t.Errorf("look up: %v", err)
			}
		}
	})
}

func newStore(t testing.TB) (*mem.Store, []byte) {
	t.Helper()
	var key []byte
	s := new(mem.Store)
	_, err := repository.Init(t.Context(), at(s), withKeyFile(&key))
	must(t, err)
	return s, key
}

// A cache is brought to what others have written, and asks nothing when there
// is nothing new.
func TestSync(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	here, there := newMachine(t, s, key), newMachine(t, s, key)
	one := here.backup(t, "one")
	there.finds(t, one)
	two := there.backup(t, "two")
	three := there.backup(t, "three")
	here.finds(t, one, two, three)
	here.use(t, func(r *repository.Repository) {
		s.ResetCounts()
		must(t, r.Sync(t.Context()))
		if n := s.Count(mem.Get) + s.Count(mem.List) + s.Count(mem.Load); n > 0 {
			t.Errorf("got %d requests where nothing is new, want none", n)
		}
		if _, err := r.Lookup(t.Context(), objects.ID{1}); !errors.Is(err, repository.ErrNoChunk) {
			t.Errorf("a chunk that is nowhere: got %v, want %v", err, repository.ErrNoChunk)
		}
	})
}

// Whatever byte of the cache is damaged, chunks are found.
func TestDamagedCache(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	m := newMachine(t, s, key)
	id := m.backup(t, "one")
	const steps = 24
	for step := range 2 * steps {
		files, err := filepath.Glob(m.cache + "/*/index/[mr]*") // the manifest, and runs under new names
		must(t, err)
		path := files[step%len(files)]
		p, err := os.ReadFile(path)
		must(t, err)
		p[len(p)*(step/2)/steps] ^= 1
		must(t, os.WriteFile(path, p, 0o600))
		m.finds(t, id)
		m.finds(t, id) // what was built anew is good
	}
}

// When the repository went back to an earlier state and that was accepted, the
// cache forgets what is not in it any more.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	m := newMachine(t, s, key)
	one := m.backup(t, "one")
	old, _, err := s.Load(t.Context(), "")
	must(t, err)
	two := m.backup(t, "two")
	_, tag, err := s.Load(t.Context(), "")
	must(t, err)
	_, err = s.Swap(t.Context(), tag, old)
	must(t, err)
	m.accept = locking.AcceptRollback
	m.finds(t, one)
	m.use(t, func(r *repository.Repository) {
		if _, err := r.Lookup(t.Context(), two); !errors.Is(err, repository.ErrNoChunk) {
			t.Errorf("a chunk of the history that was given up: got %v, want %v", err, repository.ErrNoChunk)
		}
	})
}

// A repository that has lost its config is damaged: it is not taken for one
// that was never finished, and no Init puts another one over it.
func TestLostConfig(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	m := newMachine(t, s, key)
	m.backup(t, "one")
	must(t, s.Delete(t.Context(), "config"))
	_, _, err := open(t, s, repository.Unlocker{KeyFile: key})
	if err == nil || errors.Is(err, repository.ErrIncomplete) || errors.Is(err, repository.ErrNotFound) {
		t.Errorf("open: got %v, want that the repository is damaged", err)
	}
	var other []byte
	if _, err := repository.Init(t.Context(), at(s), withKeyFile(&other)); err == nil {
		t.Error("Init made another repository over one that has archives")
	}
}

// condemn commits that packs are dead.
func (m *machine) condemn(t testing.TB, packs ...objects.ID) {
	t.Helper()
	m.use(t, func(r *repository.Repository) {
		w, ctx, err := r.Begin(t.Context(), t.Context())
		must(t, err)
		basis, _, err := w.Basis(ctx)
		must(t, err)
		must(t, w.Condemn(ctx, &record.Commit{Made: time.Now(), Condemned: packs}, basis))
		must(t, w.End(t.Context()))
	})
}

// What is condemned goes out of every cache, and that costs no more than the
// record that says so. What else there is stays.
func TestCondemned(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	here, there := newMachine(t, s, key), newMachine(t, s, key)
	one := here.backup(t, "one")
	two := here.backup(t, "two")
	there.finds(t, one, two)
	here.use(t, func(r *repository.Repository) {
		place, err := r.Lookup(t.Context(), one)
		must(t, err)
		here.condemn(t, place.Pack)
	})
	for name, m := range map[string]*machine{"that condemned": here, "that did not": there} {
		m.use(t, func(r *repository.Repository) {
			s.ResetCounts()
			must(t, r.Sync(t.Context()))
			if n := s.Count(mem.Get) + s.Count(mem.List); n > 0 {
				t.Errorf("machine %s: got %d requests for what is gone, want none", name, n)
			}
			if known, err := r.Index.Has(one); known || err != nil {
				t.Errorf("machine %s: a chunk in a condemned pack: got known %v, %v", name, known, err)
			}
		})
		m.finds(t, two)
	}
	if again := here.backup(t, "one"); again != one {
		t.Fatalf("got chunk %s, want %s", again.Short(), one.Short())
	}
	there.finds(t, one)
}

// A run that has stored packs and not committed them keeps them over a Sync,
// unless they are condemned, and no cache is saved that counts on them.
func TestSyncInMidRun(t *testing.T) {
	t.Parallel()
	s, key := newStore(t)
	here, there := newMachine(t, s, key), newMachine(t, s, key)
	here.backup(t, "one")
	mine := index.Pack{ID: objects.ID{1}, Kind: objects.Data, Len: 1000, HeaderLen: 100}
	chunk := objects.ID{2}
	header := &pack.Header{
		Kind: objects.Data, Keys: []pack.Key{{AEAD: crypt.AES256GCM, Epoch: 1}},
		Frames: []pack.Frame{{Stored: 100, Raw: 84, Count: 1}}, Chunks: []pack.Chunk{{ID: chunk, Len: 84}},
	}
	known := func(r *repository.Repository, want bool) {
		t.Helper()
		must(t, r.Refresh(t.Context()))
		must(t, r.Sync(t.Context()))
		if got, err := r.Index.Has(chunk); got != want || err != nil {
			t.Errorf("what the run has stored: got known %v, %v, want %v", got, err, want)
		}
	}
	here.use(t, func(r *repository.Repository) {
		must(t, r.Index.Add(mine, header))
		two := there.backup(t, "two")
		known(r, true)
		if _, err := r.Lookup(t.Context(), two); err != nil {
			t.Errorf("what others have stored meanwhile: %v", err)
		}
	})
	here.use(t, func(r *repository.Repository) {
		known(r, false)
		must(t, r.Index.Add(mine, header))
		there.condemn(t, mine.ID)
		known(r, false)
	})
}
