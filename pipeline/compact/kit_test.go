package compact_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/check"
	"cairn/pipeline/compact"
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
	"cairn/pipeline/walk"
)

// later is when all runs take place: no file is as young as that.
var later = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// A bench is a repository in memory, the machine that uses it, and what the
// archives made so far hold.
type bench struct {
	t       *testing.T
	dir     string
	store   *mem.Store
	clock   atomic.Int64             // of the store, seconds since later
	hook    atomic.Pointer[mem.Hook] // in force
	key     []byte
	holds   map[string]map[string]string // by archive: contents by path
	names   int
	summary backup.Summary // of the last backup

	wrap func(backend.Backend) backend.Backend // what the store is in the eyes of cairn; nil: as it is
	size func() (bytes int64, measured bool)   // repository.Store.PackSize; may be nil
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "cairn-compact-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	b := &bench{t: t, dir: dir, store: new(mem.Store), holds: map[string]map[string]string{}}
	b.store.Now = func() time.Time { return later.Add(time.Duration(b.clock.Load()) * time.Second) }
	b.store.Hook = func(op mem.Op, key backend.Key, at mem.Moment) error {
		if h := b.hook.Load(); h != nil {
			return (*h)(op, key, at)
		}
		return nil
	}
	must(t, os.MkdirAll(b.src(), 0o755))
	_, err = repository.Init(t.Context(), b.at(), repository.InitOptions{
		Created: later,
		KeyFile: func(_ objects.RepositoryID, text []byte) error { b.key = text; return nil },
	})
	must(t, err)
	return b
}

func (b *bench) src() string { return filepath.Join(b.dir, "src") }

func (b *bench) at() repository.Store {
	s := repository.Store{Backend: b.store, Register: b.store, PackSize: b.size}
	if b.wrap != nil {
		s.Backend = b.wrap(b.store)
	}
	return s
}

// fail puts a hook in force; nil: none.
func (b *bench) fail(h mem.Hook) {
	if h == nil {
		b.hook.Store(nil)
		return
	}
	b.hook.Store(&h)
}

// wait lets the store's clock go on.
func (b *bench) wait(d time.Duration) { b.clock.Add(int64(d / time.Second)) }

// open opens the repository on one of several machines.
func (b *bench) open(machine string) (*repository.Repository, error) {
	return b.openWith(machine, func(*repository.Options) {})
}

// openWith is open with other options.
func (b *bench) openWith(machine string, change func(*repository.Options)) (*repository.Repository, error) {
	o := repository.Options{
		Unlock:   repository.Unlocker{KeyFile: b.key},
		CacheDir: filepath.Join(b.dir, machine, "cache"), StateDir: filepath.Join(b.dir, machine, "state"),
		Host: machine, User: "me", Wait: time.Hour,
		Warn: func(err error) { b.t.Logf("repository: %v", err) },
	}
	change(&o)
	return repository.Open(b.t.Context(), b.at(), o)
}

// use opens the repository, uses it and closes it.
func (b *bench) use(f func(*repository.Repository) error) error {
	b.t.Helper()
	r, err := b.open("here")
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.Close())
}

// write makes a file of n bytes that nothing else has, unless seed is the same.
func (b *bench) write(name string, seed uint64, n int) {
	b.t.Helper()
	p := make([]byte, n)
	key := [32]byte{byte(seed), byte(seed >> 8), 1}
	_, _ = rand.NewChaCha8(key).Read(p)
	path := filepath.Join(b.src(), name)
	must(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(b.t, os.WriteFile(path, p, 0o644))
}

func (b *bench) remove(name string) { must(b.t, os.RemoveAll(filepath.Join(b.src(), name))) }

func (b *bench) backupOptions() backup.Options {
	b.names++
	return backup.Options{
		Roots: []walk.Root{{Source: b.src()}}, Now: func() time.Time { return later },
		Archive: record.Archive{Name: fmt.Sprintf("run-%d", b.names), Host: "here", User: "me"},
		Workers: 2, PackTarget: 1 << 20,
		Warn: func(path string, err error) { b.t.Errorf("backup %s: %v", path, err) },
	}
}

// backup makes an archive and remembers what it has to hold.
func (b *bench) backup() record.Archive {
	b.t.Helper()
	var a record.Archive
	must(b.t, b.use(func(r *repository.Repository) (err error) {
		a, err = b.backupIn(r)
		return err
	}))
	return a
}

func (b *bench) backupIn(r *repository.Repository) (record.Archive, error) {
	a, s, err := backup.Run(b.t.Context(), b.t.Context(), r, b.backupOptions())
	b.summary = s
	if err == nil {
		b.holds[a.Name] = contents(b.t, b.src())
	}
	return a, err
}

// delete removes archives by name.
func (b *bench) delete(names ...string) {
	b.t.Helper()
	must(b.t, b.use(func(r *repository.Repository) error {
		var ids []objects.ID
		for _, name := range names {
			a, err := r.Find(name)
			if err != nil {
				return err
			}
			ids = append(ids, a.ID)
			delete(b.holds, name)
		}
		return r.Delete(b.t.Context(), b.t.Context(), later, ids...)
	}))
}

func (b *bench) options() compact.Options {
	return compact.Options{
		Now: func() time.Time { return later }, Workers: 2, PackTarget: 1 << 20,
		Warn: func(err error) { b.t.Logf("compact: %v", err) },
	}
}

// try compacts.
func (b *bench) try(stop context.Context, o compact.Options) (s compact.Summary, err error) {
	err = b.use(func(r *repository.Repository) (err error) {
		s, err = compact.Run(b.t.Context(), stop, r, o)
		return err
	})
	return s, err
}

// compact compacts without any trouble; with change, the options are changed
// first.
func (b *bench) compact(change ...func(*compact.Options)) compact.Summary {
	b.t.Helper()
	o := b.options()
	for _, f := range change {
		f(&o)
	}
	s, err := b.try(b.t.Context(), o)
	if err != nil {
		b.t.Fatalf("compact: %v", err)
	}
	return s
}

// check wants every byte of the repository to be good, and returns the repository
// that it has looked at, which is closed with the test.
func (b *bench) check() *repository.Repository {
	b.t.Helper()
	return b.checkDepth(check.ReadData)
}

func (b *bench) checkDepth(d check.Depth) *repository.Repository {
	b.t.Helper()
	cache, err := os.MkdirTemp(b.dir, "checker-")
	must(b.t, err)
	repo, err := b.open(filepath.Base(cache))
	must(b.t, err)
	b.t.Cleanup(func() { must(b.t, repo.Close()) })
	_, err = check.Run(b.t.Context(), repo, check.Options{
		Depth:   d,
		Problem: func(err error) { b.t.Errorf("check: %v", err) },
	})
	must(b.t, err)
	return repo
}

// checkAll wants every byte of the repository to be good, and every archive to
// bring back what it was made of.
func (b *bench) checkAll() {
	b.t.Helper()
	repo := b.check()
	listed := map[string]bool{}
	for _, a := range repo.Archives() {
		listed[a.Name] = true
		if a.Kind == record.Full {
			b.checkRestore(repo, a)
		}
	}
	for name := range b.holds {
		if !listed[name] {
			b.t.Errorf("archive %s is not there any more", name)
		}
	}
}

func (b *bench) checkRestore(repo *repository.Repository, a repository.Archive) {
	b.t.Helper()
	ctx := b.t.Context()
	target, err := os.MkdirTemp(b.dir, "back-")
	must(b.t, err)
	_, err = restore.Run(ctx, restore.Source{Chunks: repo, Meta: repo.NewMetaReader().Fetch(ctx), Keys: repo.Keys},
		a.Root(), restore.Options{Target: target, Warn: func(path string, err error) { b.t.Errorf("restore %s: %v", path, err) }})
	must(b.t, err)
	want, ours := b.holds[a.Name]
	if got := contents(b.t, target); ours && fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("archive %s does not bring back what it was made of: %d files, want %d", a.Name, len(got), len(want))
	}
	must(b.t, os.RemoveAll(target))
}

// contents returns the contents of all files below dir, by path, in short.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		p, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = fmt.Sprintf("%d %x", len(p), hash(p))
		return err
	}))
	return all
}

// packs returns how many packs the store has, and the bytes they take.
func (b *bench) packs() (n int, bytes int64) {
	b.t.Helper()
	for info, err := range b.store.List(b.t.Context(), "packs/") {
		must(b.t, err)
		n++
		bytes += info.Size
	}
	return n, bytes
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
