package check_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/check"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"
)

// A bench is a repository in memory with one archive, named "one", of two
// files.
type bench struct {
	t     testing.TB
	store *mem.Store
	key   []byte
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, store: new(mem.Store)}
	_, err := repository.Init(t.Context(), b.at(), repository.InitOptions{
		KeyFile: func(_ objects.RepositoryID, text []byte) error { b.key = text; return nil },
	})
	must(t, err)
	src := t.TempDir()
	content := make([]byte, 300_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content) // never fails
	must(t, os.WriteFile(filepath.Join(src, "big"), content, 0o600))
	must(t, os.WriteFile(filepath.Join(src, "text"), []byte(strings.Repeat("so it goes\n", 1000)), 0o600))
	repo := b.open()
	defer repo.Close()
	_, _, err = backup.Run(t.Context(), t.Context(), repo, backup.Options{
		Roots: []walk.Root{{Source: src}}, Now: time.Now, Archive: record.Archive{Name: "one"},
	})
	must(t, err)
	return b
}

func (b *bench) at() repository.Store {
	return repository.Store{Backend: b.store, Register: b.store}
}

// open opens the repository without a cache.
func (b *bench) open() *repository.Repository {
	b.t.Helper()
	repo, err := repository.Open(b.t.Context(), b.at(), repository.Options{
		Unlock: repository.Unlocker{KeyFile: b.key}, CacheDir: b.t.TempDir(), StateDir: b.t.TempDir(),
	})
	must(b.t, err)
	return repo
}

// check returns what a check finds.
func (b *bench) check(depth check.Depth) (check.Summary, []string, error) {
	b.t.Helper()
	repo := b.open()
	defer repo.Close()
	var problems []string
	s, err := check.Run(b.t.Context(), repo, check.Options{
		Depth: depth, Problem: func(err error) { problems = append(problems, err.Error()) },
	})
	if s.Problems != uint64(len(problems)) {
		b.t.Errorf("got %d problems, Summary says %d", len(problems), s.Problems)
	}
	return s, problems, err
}

// pack returns the pack of a kind, and its bytes.
func (b *bench) pack(kind objects.Kind) (record.Pack, []byte) {
	b.t.Helper()
	repo := b.open()
	defer repo.Close()
	for p := range repo.State().Packs.All() {
		if p.Kind == kind {
			stored, err := b.store.Get(b.t.Context(), packer.Key(p.ID), backend.Range{})
			must(b.t, err)
			return p, stored
		}
	}
	b.t.Fatal("there is no such pack")
	return record.Pack{}, nil
}

// replace puts other bytes in the place of an object; nil: none.
func (b *bench) replace(key backend.Key, p []byte) {
	b.t.Helper()
	must(b.t, b.store.Delete(b.t.Context(), key))
	if p != nil {
		must(b.t, b.store.Put(b.t.Context(), key, p))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A good repository has no problems, at whatever depth, and only ReadData
// reads all of it.
func TestGood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, depth := range []check.Depth{check.Structure, check.ReadData} {
		s, problems, err := b.check(depth)
		must(t, err)
		if len(problems) > 0 || s.Packs != 2 || s.Archives != 1 || s.Entries != 2 || s.Unreferenced != 0 {
			t.Errorf("depth %d: got %+v, %q", depth, s, problems)
		}
		if read := s.Bytes > 300_000; read != (depth == check.ReadData) {
			t.Errorf("depth %d: got %d bytes read", depth, s.Bytes)
		}
	}
}

// A pack that no commit names is counted, and is no problem.
func TestStray(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	must(t, b.store.Put(t.Context(), packer.Key(objects.ID{1}), []byte("left behind")))
	s, problems, err := b.check(check.ReadData)
	must(t, err)
	if s.Unreferenced != 1 || len(problems) > 0 {
		t.Errorf("got %d unreferenced packs and %q, want one and no problem", s.Unreferenced, problems)
	}
}

// Damage is told, with the pack and what is lost with it.
func TestDamage(t *testing.T) {
	t.Parallel()
	flip := func(at func(p record.Pack, n int) int) func(record.Pack, []byte) []byte {
		return func(p record.Pack, stored []byte) []byte {
			bad := slices.Clone(stored)
			bad[at(p, len(bad))] ^= 1
			return bad
		}
	}
	header := flip(func(record.Pack, int) int { return pack.PreambleLen + 40 })
	preamble := flip(func(record.Pack, int) int { return 0 })
	frame := flip(func(p record.Pack, n int) int { return pack.PreambleLen + int(p.HeaderLen) + 100 })
	footer := flip(func(_ record.Pack, n int) int { return n - 1 })
	const lostTree, lostFile, tree = `archive one: read entries from ""`, `archive one: "big"`, "archive one"
	for name, c := range map[string]struct {
		kind   objects.Kind
		damage func(record.Pack, []byte) []byte
		shown  check.Depth // the least depth that shows it
		what   []string
	}{
		"missing data":   {objects.Data, func(record.Pack, []byte) []byte { return nil }, check.Structure, []string{"missing", lostFile}},
		"missing tree":   {objects.Meta, func(record.Pack, []byte) []byte { return nil }, check.Structure, []string{"missing", lostTree}},
		"short":          {objects.Data, func(_ record.Pack, p []byte) []byte { return p[:len(p)-1] }, check.Structure, []string{"bytes instead of"}},
		"long":           {objects.Data, func(_ record.Pack, p []byte) []byte { return append(slices.Clone(p), 0) }, check.Structure, []string{"bytes instead of"}},
		"stump":          {objects.Data, func(_ record.Pack, p []byte) []byte { return p[:10] }, check.Structure, []string{"bytes instead of", lostFile}},
		"empty":          {objects.Data, func(record.Pack, []byte) []byte { return []byte{} }, check.Structure, []string{"bytes instead of", lostFile}},
		"data header":    {objects.Data, header, check.Structure, []string{"header", lostFile}},
		"tree header":    {objects.Meta, header, check.Structure, []string{"header", lostTree}},
		"data preamble":  {objects.Data, preamble, check.Structure, []string{"header", lostFile}},
		"data frame":     {objects.Data, frame, check.ReadData, []string{"frame", "hash", tree}},
		"tree frame":     {objects.Meta, frame, check.Structure, []string{lostTree}},
		"footer of data": {objects.Data, footer, check.ReadData, []string{"hash"}},
		"footer of tree": {objects.Meta, footer, check.ReadData, []string{"hash"}},
	} {
		for _, depth := range []check.Depth{check.Structure, check.ReadData} {
			t.Run(fmt.Sprintf("%s/%d", name, depth), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				p, stored := b.pack(c.kind)
				b.replace(packer.Key(p.ID), c.damage(p, stored))
				_, problems, err := b.check(depth)
				must(t, err)
				all := strings.Join(problems, "\n")
				if depth < c.shown {
					if len(problems) > 0 {
						t.Errorf("got problems that this depth does not look for:\n%s", all)
					}
					return
				}
				for _, what := range append(c.what, p.ID.String()) {
					if !strings.Contains(all, what) {
						t.Errorf("want a problem with %q, got:\n%s", what, all)
					}
				}
			})
		}
	}
}

// A store that does not answer is no damage: the check ends with its error,
// whichever request it is, and finds no problem.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	errStore := errors.New("the store is unwell")
	for _, op := range []mem.Op{mem.Get, mem.List} {
		for n := int64(1); n <= 6; n++ {
			for _, depth := range []check.Depth{check.Structure, check.ReadData} {
				t.Run(fmt.Sprintf("%s-%d/%d", op, n, depth), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					repo := b.open()
					defer repo.Close()
					failed := false
					fail := mem.FailNth(op, n, mem.Before, errStore)
					b.store.ResetCounts()
					b.store.Hook = fail
					s, err := check.Run(t.Context(), repo, check.Options{
						Depth: depth, Problem: func(err error) { t.Errorf("got problem %v", err) },
					})
					failed = b.store.Count(op) >= int(n)
					if failed != errors.Is(err, errStore) {
						t.Errorf("a request failed: %v; got %v, %+v", failed, err, s)
					}
				})
			}
		}
	}
}

// A check ends when its context does.
func TestContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	repo := b.open()
	defer repo.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := check.Run(ctx, repo, check.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
