package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/check"
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
	"cairn/pipeline/walk"

	"golang.org/x/sys/unix"
)

// later is when all runs take place: no file is as young as that.
var later = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// A bench is a source, a repository in memory, and a machine's cache and state.
type bench struct {
	t     testing.TB
	store *mem.Store
	hook  atomic.Pointer[mem.Hook] // in force
	key   []byte
	src   string
	cache string
	state string
	names int // of archives
}

func newBench(t testing.TB) *bench { return newBenchIn(t, t.TempDir()) }

// newQuickBench is newBench on a file system that is in memory, where there is
// one: a restore ends with a sync, which takes its time on a disk.
func newQuickBench(t testing.TB) *bench {
	dir, err := os.MkdirTemp("/dev/shm", "cairn-backup-")
	if err != nil {
		return newBench(t)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return newBenchIn(t, dir)
}

func newBenchIn(t testing.TB, dir string) *bench {
	t.Helper()
	b := &bench{
		t: t, store: new(mem.Store),
		src: filepath.Join(dir, "src"), cache: filepath.Join(dir, "cache"), state: filepath.Join(dir, "state"),
	}
	must(t, os.Mkdir(b.src, 0o755))
	b.store.Hook = func(op mem.Op, key backend.Key, at mem.Moment) error {
		if h := b.hook.Load(); h != nil {
			return (*h)(op, key, at)
		}
		return nil
	}
	_, err := repository.Init(t.Context(), b.at(), repository.InitOptions{
		Created: later,
		KeyFile: func(_ objects.RepositoryID, text []byte) error { b.key = text; return nil },
	})
	must(t, err)
	return b
}

func (b *bench) at() repository.Store {
	return repository.Store{Backend: b.store, Register: b.store}
}

// fail puts a hook in force; nil: none.
func (b *bench) fail(h mem.Hook) {
	if h == nil {
		b.hook.Store(nil)
		return
	}
	b.hook.Store(&h)
}

// open opens the repository with the cache in the given directory.
func (b *bench) open(cache string) (*repository.Repository, error) {
	return repository.Open(b.t.Context(), b.at(), repository.Options{
		Unlock: repository.Unlocker{KeyFile: b.key}, CacheDir: cache, StateDir: b.state,
		Host: "here", User: "me", Wait: time.Hour,
		Warn: func(err error) { b.t.Logf("repository: %v", err) },
	})
}

// run is one backup and what it said.
type run struct {
	archive  record.Archive
	summary  backup.Summary
	warnings []string // path and error
}

// options are those of a backup of the bench's source. Packs are so small
// that there are some.
func (b *bench) options() backup.Options {
	b.names++
	return backup.Options{
		Roots: []walk.Root{{Source: b.src}}, Now: func() time.Time { return later },
		Archive: record.Archive{Name: fmt.Sprintf("run-%d", b.names), Host: "here", User: "me"},
		Workers: 2, PackTarget: 1 << 20, Progress: new(backup.Progress),
	}
}

// try opens the repository, makes an archive and closes it.
func (b *bench) try(stop context.Context, o backup.Options) (r run, err error) {
	repo, err := b.open(b.cache)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, repo.Close()) }()
	o.Warn = func(path string, err error) { r.warnings = append(r.warnings, fmt.Sprintf("%s: %v", path, err)) }
	r.archive, r.summary, err = backup.Run(b.t.Context(), stop, repo, o)
	return r, err
}

// backup makes an archive without any trouble; with change, the options are
// changed first.
func (b *bench) backup(change ...func(*backup.Options)) run {
	b.t.Helper()
	r := b.backupWarned(change...)
	if len(r.warnings) > 0 || r.summary.Warnings > 0 {
		b.t.Errorf("backup: got %d warnings, want none: %q", r.summary.Warnings, r.warnings)
	}
	return r
}

// backupWarned is backup where warnings are to be expected.
func (b *bench) backupWarned(change ...func(*backup.Options)) run {
	b.t.Helper()
	o := b.options()
	for _, f := range change {
		f(&o)
	}
	r, err := b.try(b.t.Context(), o)
	if err != nil {
		b.t.Fatalf("backup: %v", err)
	}
	if r.summary.Warnings != uint64(len(r.warnings)) || r.archive.Warnings != r.summary.Warnings {
		b.t.Errorf("got %d warnings, Summary says %d, the archive %d", len(r.warnings), r.summary.Warnings, r.archive.Warnings)
	}
	return r
}

// root returns the tree of an archive.
func root(a record.Archive) archive.Root {
	return (&repository.Archive{Listed: record.Listed{Archive: a}}).Root()
}

// restore writes an archive to a new directory.
func (b *bench) restore(a record.Archive) string {
	b.t.Helper()
	repo, err := b.open(b.cache)
	must(b.t, err)
	defer repo.Close()
	ctx := b.t.Context()
	must(b.t, repo.Sync(ctx))
	target, err := os.MkdirTemp(filepath.Dir(b.src), "back-") // where what the source has can be
	must(b.t, err)
	_, err = restore.Run(ctx, restore.Source{Chunks: repo, Meta: repo.NewMetaReader().Fetch(ctx), Keys: repo.Keys},
		root(a), restore.Options{
			Target: target,
			Warn:   func(path string, err error) { b.t.Errorf("restore %s: %v", path, err) },
		})
	must(b.t, err)
	return target
}

// entries returns the entries of an archive by path.
func (b *bench) entries(a record.Archive) map[string]*archive.Entry {
	b.t.Helper()
	repo, err := b.open(b.cache)
	must(b.t, err)
	defer repo.Close()
	must(b.t, repo.Sync(b.t.Context()))
	all := map[string]*archive.Entry{}
	for e, err := range archive.NewReader(root(a), repo.NewMetaReader().Fetch(b.t.Context())).All() {
		must(b.t, err)
		all[e.Path] = e.Clone()
	}
	return all
}

// checkSource wants an archive to hold exactly what is in the source now.
func (b *bench) checkSource(a record.Archive) {
	b.t.Helper()
	back := b.restore(a)
	got, want := describe(b.t, back), describe(b.t, b.src)
	for _, line := range want {
		if !slices.Contains(got, line) {
			b.t.Errorf("archive %s misses\n  %s", a.Name, line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			b.t.Errorf("archive %s has\n  %s", a.Name, line)
		}
	}
}

// checkRepository wants every byte of the repository to be good.
func (b *bench) checkRepository() check.Summary {
	b.t.Helper()
	repo, err := b.open(b.t.TempDir())
	must(b.t, err)
	defer repo.Close()
	s, err := check.Run(b.t.Context(), repo, check.Options{
		Depth:   check.ReadData,
		Problem: func(err error) { b.t.Errorf("check: %v", err) },
	})
	must(b.t, err)
	return s
}

// archives returns what the repository lists.
func (b *bench) archives() []repository.Archive {
	b.t.Helper()
	repo, err := b.open(b.t.TempDir())
	must(b.t, err)
	defer repo.Close()
	return repo.Archives()
}

// checkOnce wants every chunk to be in one pack only.
func (b *bench) checkOnce() {
	b.t.Helper()
	repo, err := b.open(b.t.TempDir())
	must(b.t, err)
	defer repo.Close()
	in := map[objects.ID]objects.ID{}
	for p := range repo.State().Packs.All() {
		h, err := repo.Header(b.t.Context(), p)
		must(b.t, err)
		for _, c := range h.Chunks {
			if other, twice := in[c.ID]; twice {
				b.t.Errorf("chunk %s of %d bytes is in packs %s and %s", c.ID.Short(), c.Len, other.Short(), p.ID.Short())
			}
			in[c.ID] = p.ID
		}
	}
}

// describe returns a line for everything below dir: what an archive must hold.
func describe(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	first := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, dir+"/")
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%q %s %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		if !info.IsDir() {
			if _, seen := first[st.Ino]; !seen {
				first[st.Ino] = rel
			}
			line += fmt.Sprintf(" is %q", first[st.Ino])
		}
		content, err := describeContent(path, info)
		lines = append(lines, line+" "+info.ModTime().UTC().Format(time.RFC3339Nano)+content)
		return err
	}))
	return lines
}

func describeContent(path string, info fs.FileInfo) (string, error) {
	line := ""
	switch {
	case info.Mode().IsRegular():
		p, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line = fmt.Sprintf(" %d bytes %x", len(p), shortHash(p))
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line = fmt.Sprintf(" -> %q", target)
	}
	room := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, room)
	if err != nil {
		return line, nil // none where there cannot be any
	}
	names := strings.Split(strings.TrimSuffix(string(room[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %s=%x", name, shortHash(value[:n]))
	}
	return line, nil
}

// shortHash tells contents apart.
func shortHash(p []byte) []byte {
	sum := sha256.Sum256(p)
	return sum[:8]
}

// write makes a file and the directories above it.
func (b *bench) write(name string, content []byte) string {
	b.t.Helper()
	path := filepath.Join(b.src, name)
	must(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(b.t, os.WriteFile(path, content, 0o644))
	return path
}

// noise returns n bytes that do not shrink and depend on seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p) // never fails
	return p
}

// text returns n bytes that shrink and depend on seed.
func text(seed uint64, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d: so it goes\n", seed), n/14+1)[:n]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
