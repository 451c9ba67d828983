package repository_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

var errStore = errors.New("the store is unwell")

// cheap is the least that a passphrase may cost to try.
var cheap = crypt.KDF{Memory: 19 << 10, Passes: 1, Lanes: 1}

func at(s *mem.Store) repository.Store { return repository.Store{Backend: s, Register: s} }

// withKeyFile returns options that keep the key file in key.
func withKeyFile(key *[]byte) repository.InitOptions {
	return repository.InitOptions{KeyFile: func(_ objects.RepositoryID, text []byte) error {
		*key = text
		return nil
	}}
}

// open opens a repository; what it warns about is in the second result.
func open(t testing.TB, s *mem.Store, u repository.Unlocker) (*repository.Repository, *[]string, error) {
	t.Helper()
	warnings := new([]string)
	r, err := repository.Open(t.Context(), at(s), repository.Options{
		Unlock: u, CacheDir: t.TempDir(), StateDir: t.TempDir(), Wait: time.Hour,
		Warn: func(err error) { *warnings = append(*warnings, err.Error()) },
	})
	if err == nil {
		t.Cleanup(func() { must(t, r.Close()) })
	}
	return r, warnings, err
}

func passphrase(p string) repository.Unlocker {
	return repository.Unlocker{Passphrase: func(string) ([]byte, error) { return []byte(p), nil }}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Where there is a repository, Init makes none.
func TestInitTwice(t *testing.T) {
	t.Parallel()
	var s mem.Store
	var key, other []byte
	_, err := repository.Init(t.Context(), at(&s), withKeyFile(&key))
	must(t, err)
	if _, err := repository.Init(t.Context(), at(&s), withKeyFile(&other)); !errors.Is(err, repository.ErrExists) {
		t.Errorf("got %v, want %v", err, repository.ErrExists)
	}
	_, warnings, err := open(t, &s, repository.Unlocker{KeyFile: key})
	if err != nil || len(*warnings) > 0 {
		t.Errorf("open: got %v, warnings %q", err, *warnings)
	}
}

// Of several Inits at once exactly one wins, and what it made opens.
func TestInitRace(t *testing.T) {
	t.Parallel()
	var s mem.Store
	const racers = 8
	keys := make([][]byte, racers)
	errs := make([]error, racers)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range racers {
		done.Go(func() {
			start.Wait()
			_, errs[i] = repository.Init(t.Context(), at(&s), withKeyFile(&keys[i]))
		})
	}
	start.Done()
	done.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
			_, _, err := open(t, &s, repository.Unlocker{KeyFile: keys[i]})
			must(t, err)
		case !errors.Is(err, repository.ErrExists):
			t.Errorf("got %v, want %v", err, repository.ErrExists)
		}
	}
	if won != 1 {
		t.Errorf("got %d winners, want 1", won)
	}
}

// An Init that is interrupted anywhere leaves nothing that the next one minds:
// that one makes a repository, or says that there is one, and it opens.
func TestInitInterrupted(t *testing.T) {
	t.Parallel()
	for _, op := range []mem.Op{mem.Stat, mem.Put, mem.Swap, mem.Load} {
		for n := int64(1); n <= 2; n++ {
			for _, moment := range []mem.Moment{mem.Before, mem.After} {
				t.Run(fmt.Sprintf("%s-%d-%d", op, n, moment), func(t *testing.T) {
					t.Parallel()
					var s mem.Store
					o := repository.InitOptions{Passphrase: []byte("secret"), KDF: cheap}
					s.Hook = mem.FailNth(op, n, moment, errStore)
					_, first := repository.Init(t.Context(), at(&s), o)
					s.Hook = nil
					_, second := repository.Init(t.Context(), at(&s), o)
					if second != nil && !errors.Is(second, repository.ErrExists) {
						t.Errorf("after %v: got %v", first, second)
					}
					_, warnings, err := open(t, &s, passphrase("secret"))
					if err != nil || len(*warnings) > 0 {
						t.Errorf("after %v and %v: got %v, warnings %q", first, second, err, *warnings)
					}
				})
			}
		}
	}
}

// What is missing is told apart.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	var s mem.Store
	if _, _, err := open(t, &s, passphrase("x")); !errors.Is(err, repository.ErrNotFound) {
		t.Errorf("an empty store: got %v, want %v", err, repository.ErrNotFound)
	}
	s.Hook = mem.FailNth(mem.Put, 2, mem.Before, errStore)
	_, err := repository.Init(t.Context(), at(&s), repository.InitOptions{Passphrase: []byte("x"), KDF: cheap})
	if !errors.Is(err, errStore) {
		t.Errorf("Init: got %v, want %v", err, errStore)
	}
	if _, _, err := open(t, &s, passphrase("x")); !errors.Is(err, repository.ErrIncomplete) {
		t.Errorf("half a repository: got %v, want %v", err, repository.ErrIncomplete)
	}
}

// A key that does not fit is said not to.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	var s, other mem.Store
	var key, foreign []byte
	_, err := repository.Init(t.Context(), at(&s), withKeyFile(&key))
	must(t, err)
	_, err = repository.Init(t.Context(), at(&other), withKeyFile(&foreign))
	must(t, err)
	for name, c := range map[string]struct {
		unlock repository.Unlocker
		want   error
	}{
		"another repository's key file": {repository.Unlocker{KeyFile: foreign}, repository.ErrNoKey},
		"a passphrase":                  {passphrase("x"), repository.ErrNoKey},
		"nothing":                       {repository.Unlocker{}, repository.ErrNoKey},
	} {
		if _, _, err := open(t, &s, c.unlock); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, _, err := open(t, &s, repository.Unlocker{KeyFile: []byte("no key")}); err == nil {
		t.Error("a file that holds no key opened the repository")
	}
	var third mem.Store
	_, err = repository.Init(t.Context(), at(&third), repository.InitOptions{Passphrase: []byte("x"), KDF: cheap})
	must(t, err)
	if _, _, err := open(t, &third, passphrase("y")); !errors.Is(err, crypt.ErrWrongPassphrase) {
		t.Errorf("a wrong passphrase: got %v, want %v", err, crypt.ErrWrongPassphrase)
	}
}

// In keys/, what belongs to another repository is ignored; what has no
// passphrase, and what is no slot, is ignored with a warning.
func TestForeignSlots(t *testing.T) {
	t.Parallel()
	var s mem.Store
	id, err := repository.Init(t.Context(), at(&s), repository.InitOptions{Passphrase: []byte("x"), KDF: cheap})
	must(t, err)
	put := func(repo objects.RepositoryID, passphrase []byte, kdf crypt.KDF) {
		master, err := crypt.NewMaster(strings.NewReader(strings.Repeat("noise ", 1000)))
		must(t, err)
		body, err := crypt.SealSlot(strings.NewReader(strings.Repeat("salt ", 1000)), master, repo, passphrase, kdf, "", time.Unix(1e9, 0))
		must(t, err)
		must(t, s.Put(t.Context(), backend.Key("keys/"+crypt.SlotName(body).String()), objects.Twice(body)))
	}
	put(objects.RepositoryID{9}, []byte("x"), cheap)
	_, warnings, err := open(t, &s, passphrase("x"))
	if err != nil || len(*warnings) > 0 {
		t.Errorf("with another repository's slot: got %v, warnings %q", err, *warnings)
	}
	put(id, nil, crypt.NoKDF())
	must(t, s.Put(t.Context(), "keys/readme", []byte("no slot")))
	_, warnings, err = open(t, &s, passphrase("x"))
	all := strings.Join(*warnings, "\n")
	if err != nil || len(*warnings) != 2 || !strings.Contains(all, "no passphrase") || !strings.Contains(all, "keys/readme") {
		t.Errorf("with slots of no use: got %v, warnings %q", err, *warnings)
	}
}

// Of config and slots one damaged copy is healed by the other, with a warning.
func TestDamagedCopies(t *testing.T) {
	t.Parallel()
	var s mem.Store
	_, err := repository.Init(t.Context(), at(&s), repository.InitOptions{Passphrase: []byte("x"), KDF: cheap})
	must(t, err)
	var keys []backend.Key
	for info, err := range s.List(t.Context(), "") {
		must(t, err)
		keys = append(keys, info.Key)
	}
	for _, key := range keys {
		stored, err := s.Get(t.Context(), key, backend.Range{})
		must(t, err)
		for _, at := range []int{len(stored) / 4, len(stored) * 3 / 4} {
			bad := append([]byte(nil), stored...)
			bad[at] ^= 1
			must(t, s.Delete(t.Context(), key))
			must(t, s.Put(t.Context(), key, bad))
			_, warnings, err := open(t, &s, passphrase("x"))
			if err != nil || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "copies") {
				t.Errorf("%s, byte %d: got %v, warnings %q", key, at, err, *warnings)
			}
		}
		must(t, s.Delete(t.Context(), key))
		must(t, s.Put(t.Context(), key, stored))
	}
}

// archives commits archives with these names, all of one source but those
// whose name holds an @.
func archives(t testing.TB, r *repository.Repository, names ...string) {
	t.Helper()
	for i, name := range names {
		w, ctx, err := r.Begin(t.Context(), t.Context())
		must(t, err)
		_, host, _ := strings.Cut(name, "@")
		a := record.Archive{Kind: record.Full, Name: name, Host: host, Start: time.Unix(int64(i), 0), End: time.Unix(int64(i), 0)}
		if strings.HasPrefix(name, "checkpoint") {
			a.Kind = record.Checkpoint
		}
		must(t, w.Commit(ctx, &record.Commit{Made: time.Unix(int64(i), 0), Archives: []record.Archive{a}}))
		must(t, w.End(t.Context()))
	}
}

// Archives are found by what people call them.
func TestFind(t *testing.T) {
	t.Parallel()
	var s mem.Store
	var key []byte
	_, err := repository.Init(t.Context(), at(&s), withKeyFile(&key))
	must(t, err)
	r, _, err := open(t, &s, repository.Unlocker{KeyFile: key})
	must(t, err)
	if _, err := r.Find("latest"); !errors.Is(err, repository.ErrNoArchive) {
		t.Errorf("latest of none: got %v, want %v", err, repository.ErrNoArchive)
	}
	archives(t, r, "one", "same", "same", "three", "checkpoint")
	all := r.Archives()
	for ref, want := range map[string]objects.ID{
		"one": all[0].ID, "three": all[3].ID, "latest": all[3].ID,
		all[1].ID.String(): all[1].ID, all[2].ID.String()[:12]: all[2].ID,
	} {
		if got, err := r.Find(ref); err != nil || got.ID != want {
			t.Errorf("%s: got %s, %v, want %s", ref, got.ID.Short(), err, want.Short())
		}
	}
	for ref, want := range map[string]error{
		"same": repository.ErrAmbiguous, "none": repository.ErrNoArchive, "": repository.ErrNoArchive,
		all[0].ID.String()[:3]: repository.ErrNoArchive,
	} {
		if got, err := r.Find(ref); !errors.Is(err, want) {
			t.Errorf("%q: got %q, %v, want %v", ref, got.Name, err, want)
		}
	}
	archives(t, r, "other@there")
	if _, err := r.Find("latest"); !errors.Is(err, repository.ErrAmbiguous) {
		t.Errorf("latest of two sources: got %v, want %v", err, repository.ErrAmbiguous)
	}
}
