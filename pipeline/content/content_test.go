package content_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/compact"
	"cairn/pipeline/content"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"
)

// A bench is a repository in memory with one archive, and the files it is of.
type bench struct {
	t     testing.TB
	store *mem.Store
	repo  *repository.Repository
	root  archive.Root
	src   string
	key   []byte
	gets  atomic.Int64 // of packs
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, store: new(mem.Store), src: t.TempDir()}
	b.store.Hook = func(op mem.Op, key backend.Key, at mem.Moment) error {
		if op == mem.Get && at == mem.Before && strings.HasPrefix(string(key), "packs/") {
			b.gets.Add(1)
		}
		return nil
	}
	rnd := rand.NewChaCha8([32]byte{7})
	random := func(n int) []byte {
		p := make([]byte, n)
		_, _ = rnd.Read(p) // never fails
		return p
	}
	must(t, os.WriteFile(filepath.Join(b.src, "big"), random(8<<20), 0o600))
	must(t, os.WriteFile(filepath.Join(b.src, "empty"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(b.src, "inline"), []byte("a few bytes"), 0o600))
	must(t, os.WriteFile(filepath.Join(b.src, "text"), bytes.Repeat([]byte("so it goes\n"), 300_000), 0o600))
	for i := range 300 {
		must(t, os.WriteFile(filepath.Join(b.src, fmt.Sprintf("small-%03d", i)), random(200+i*20), 0o600))
	}
	sparse, err := os.Create(filepath.Join(b.src, "sparse"))
	must(t, err)
	for _, at := range []int64{1 << 20, 3 << 20} {
		_, err = sparse.WriteAt(random(100_000), at)
		must(t, err)
	}
	must(t, sparse.Truncate(5<<20))
	must(t, sparse.Close())

	at := repository.Store{Backend: b.store, Register: b.store}
	_, err = repository.Init(t.Context(), at, repository.InitOptions{
		KeyFile: func(_ objects.RepositoryID, text []byte) error { b.key = text; return nil },
	})
	must(t, err)
	b.repo = b.open()
	b.backup(b.repo, "one")
	b.gets.Store(0)
	return b
}

// open opens the repository on a machine of its own.
func (b *bench) open() *repository.Repository {
	b.t.Helper()
	r, err := repository.Open(b.t.Context(), repository.Store{Backend: b.store, Register: b.store}, repository.Options{
		Unlock: repository.Unlocker{KeyFile: b.key}, CacheDir: b.t.TempDir(), StateDir: b.t.TempDir(),
	})
	must(b.t, err)
	b.t.Cleanup(func() { must(b.t, r.Close()) })
	return r
}

// backup makes an archive, which is the one to read from then on.
func (b *bench) backup(r *repository.Repository, name string) {
	b.t.Helper()
	_, _, err := backup.Run(b.t.Context(), b.t.Context(), r, backup.Options{
		Roots: []walk.Root{{Source: b.src}}, Now: time.Now, Archive: record.Archive{Name: name}, PackTarget: 4 << 20,
	})
	must(b.t, err)
	a, err := r.Find(name)
	must(b.t, err)
	b.root = a.Root()
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) reader(o content.Options) *content.Reader {
	r := content.New(b.repo, b.repo.Keys, o)
	b.t.Cleanup(r.Close)
	return r
}

// lists returns a reader of the archive, for one goroutine.
func (b *bench) lists() *archive.Reader {
	return archive.NewReader(b.root, b.repo.NewMetaReader().Fetch(b.t.Context()))
}

func (b *bench) file(r *content.Reader, name string) *content.File {
	b.t.Helper()
	e, err := b.lists().Lookup(name)
	must(b.t, err)
	return r.Open(&e.Content, b.repo.NewMetaReader().Fetch(b.t.Context()))
}

func (b *bench) want(name string) []byte {
	b.t.Helper()
	p, err := os.ReadFile(filepath.Join(b.src, name))
	must(b.t, err)
	return p
}

// TestReading is what needs no repository of its own.
func TestReading(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, test := range map[string]func(*testing.T, *bench){
		"anywhere": testReadAtAnywhere, "concurrently": testConcurrentReads, "runs": testRuns,
		"to a context's end": testStreamEndsWithItsContext, "to a writer": testWriteTo,
	} {
		t.Run(name, func(t *testing.T) { test(t, b) })
	}
}

func testReadAtAnywhere(t *testing.T, b *bench) {
	r := b.reader(content.Options{Keep: 3 << 20})
	for _, name := range []string{"big", "empty", "inline", "text", "sparse", "small-007"} {
		want := b.want(name)
		f := b.file(r, name)
		if f.Size() != uint64(len(want)) {
			t.Fatalf("%s: got %d bytes, want %d", name, f.Size(), len(want))
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		for range 200 {
			off := rnd.IntN(len(want) + 10)
			p := make([]byte, rnd.IntN(400_000))
			n, err := f.ReadAt(t.Context(), p, uint64(off))
			must(t, err)
			from := min(off, len(want))
			to := min(from+len(p), len(want))
			if !bytes.Equal(p[:n], want[from:to]) {
				t.Fatalf("%s: %d bytes at %d are not those of the file", name, len(p), off)
			}
		}
	}
}

func testConcurrentReads(t *testing.T, b *bench) {
	r := b.reader(content.Options{Keep: 2 << 20})
	f, want := b.file(r, "big"), b.want("big")
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			p := make([]byte, 100_000)
			for range 100 {
				off := rnd.IntN(len(want) - len(p))
				if n, err := f.ReadAt(t.Context(), p, uint64(off)); err != nil || !bytes.Equal(p[:n], want[off:off+n]) {
					return fmt.Errorf("read at %d: got %d bytes, %v", off, n, err)
				}
			}
			return nil
		})
	}
	must(t, group.Wait())
}

// Who reads on and on costs a request for a frame or several, not one for each
// read.
func TestReadingOnFetchesAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.reader(content.Options{})
	f, want := b.file(r, "big"), b.want("big")
	var got bytes.Buffer
	for p := make([]byte, 128<<10); ; {
		n, err := f.ReadAt(t.Context(), p, uint64(got.Len()))
		must(t, err)
		if n == 0 {
			break
		}
		got.Write(p[:n])
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the file reads differently")
	}
	if n := b.gets.Load(); n > 16 {
		t.Errorf("got %d requests for 64 reads, want at most 16", n)
	}
}

func testRuns(t *testing.T, b *bench) {
	f := b.file(b.reader(content.Options{}), "sparse")
	type run struct {
		hole bool
		end  uint64
	}
	want := []run{{true, 1 << 20}, {false, 1<<20 + 100_000}, {true, 3 << 20}, {false, 3<<20 + 100_000}, {true, 5 << 20}}
	at := uint64(0)
	for _, w := range want {
		for _, off := range []uint64{at, (at + w.end) / 2, w.end - 1} {
			hole, end, err := f.Run(off)
			must(t, err)
			// The file system of the source decides how long its blocks are.
			if hole != w.hole && off == (at+w.end)/2 || end > w.end+1<<16 {
				t.Errorf("at %d: got hole %v up to %d, want %v up to %d", off, hole, end, w.hole, w.end)
			}
		}
		at = w.end
	}
}

// contents takes a stream apart.
func contents(b *bench, r *content.Reader, ctx context.Context, each func(content.Item)) (map[string][]byte, error) {
	got := map[string][]byte{}
	path := ""
	lists := b.lists()
	for it, err := range r.Stream(ctx, lists.All(), lists) {
		if err != nil {
			return got, err
		}
		if each != nil {
			each(it)
		}
		if it.Entry != nil {
			path = it.Entry.Path
			got[path] = []byte{}
			continue
		}
		got[path] = append(append(got[path], it.Data...), make([]byte, it.Hole+it.Lost)...)
	}
	return got, nil
}

func TestStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, ahead := range []int64{1, 8 << 20} {
		b.gets.Store(0)
		r := b.reader(content.Options{Ahead: ahead, Keep: 1})
		got, err := contents(b, r, t.Context(), nil)
		must(t, err)
		if uint64(len(got)) != b.root.Entries {
			t.Fatalf("got %d entries, want %d", len(got), b.root.Entries)
		}
		for path, p := range got {
			if !bytes.Equal(p, b.want(path)) {
				t.Errorf("ahead %d: %s differs", ahead, path)
			}
		}
		if n := b.gets.Load(); ahead > 1 && n > 30 {
			t.Errorf("got %d requests for 304 files, want at most 30", n)
		}
	}
}

func testStreamEndsWithItsContext(t *testing.T, b *bench) {
	r := b.reader(content.Options{Ahead: 1 << 20})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := contents(b, r, ctx, func(content.Item) {
		if n++; n == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	// And with a consumer who has enough.
	lists := b.lists()
	for range r.Stream(t.Context(), lists.All(), lists) {
		break
	}
}

// What is damaged is told, with its length, and the rest comes.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e, err := b.lists().Lookup("big")
	must(t, err)
	var damaged archive.Placed
	for x, err := range b.lists().ExtentsFrom(&e.Content, 2<<20) {
		must(t, err)
		damaged = x
		break
	}
	place, err := b.repo.Lookup(t.Context(), damaged.ID)
	must(t, err)
	b.flip(packer.Key(place.Pack), int(place.Frame.Off)+100)

	r := b.reader(content.Options{})
	f, want := b.file(r, "big"), b.want("big")
	if _, err := f.ReadAt(t.Context(), make([]byte, 10), damaged.Off+5); !objects.IsCorrupt(err) {
		t.Errorf("a read of damage: got %v, want a CorruptError", err)
	}
	p := make([]byte, 1000)
	if n, err := f.ReadAt(t.Context(), p, uint64(len(want)-1000)); err != nil || !bytes.Equal(p[:n], want[len(want)-1000:]) {
		t.Errorf("a read elsewhere: got %d bytes, %v", n, err)
	}
	lost := uint64(0)
	got, err := contents(b, r, t.Context(), func(it content.Item) {
		if lost += it.Lost; it.Err != nil && !objects.IsCorrupt(it.Err) {
			t.Errorf("got %v, want a CorruptError", it.Err)
		}
	})
	must(t, err)
	if lost < damaged.Len || lost > 4<<20 {
		t.Errorf("got %d bytes lost, want those of a frame", lost)
	}
	if len(got["big"]) != len(want) || !bytes.Equal(got["text"], b.want("text")) {
		t.Error("what is not damaged did not come")
	}
}

// flip changes a bit of an object.
func (b *bench) flip(key backend.Key, at int) {
	b.t.Helper()
	p, err := b.store.Get(b.t.Context(), key, backend.Range{})
	must(b.t, err)
	p[at] ^= 1
	must(b.t, b.store.Delete(b.t.Context(), key))
	must(b.t, b.store.Put(b.t.Context(), key, p))
}

// Who reads for long meets packs that others have emptied and deleted, and finds
// what was in them where it is now.
func TestMoved(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*bench, *content.Reader) map[string][]byte{
		"files": (*bench).filesOf, "stream": (*bench).streamOf,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			other := b.open()
			must(t, os.Remove(filepath.Join(b.src, "big")))
			b.backup(other, "two")
			must(t, b.repo.Refresh(t.Context()), b.repo.Sync(t.Context()))
			one, err := other.Find("one")
			must(t, err)
			must(t, other.Delete(t.Context(), t.Context(), time.Now(), one.ID))
			s, err := compact.Run(t.Context(), t.Context(), other, compact.Options{Now: time.Now, SweepNow: true, MaxUnused: -1})
			must(t, err)
			if s.Moved == 0 || s.Swept == 0 {
				t.Fatalf("nothing was moved: %+v", s)
			}
			for path, got := range read(b, b.reader(content.Options{})) {
				if !bytes.Equal(got, b.want(path)) {
					t.Errorf("%s differs", path)
				}
			}
		})
	}
}

// filesOf reads all files, one by one.
func (b *bench) filesOf(r *content.Reader) map[string][]byte {
	b.t.Helper()
	got := map[string][]byte{}
	for e, err := range b.lists().All() {
		must(b.t, err)
		path := e.Path
		f := b.file(r, path)
		p := make([]byte, f.Size())
		_, err := f.ReadAt(b.t.Context(), p, 0)
		must(b.t, err)
		got[path] = p
	}
	return got
}

// streamOf reads all files.
func (b *bench) streamOf(r *content.Reader) map[string][]byte {
	b.t.Helper()
	got, err := contents(b, r, b.t.Context(), func(it content.Item) { must(b.t, it.Err) })
	must(b.t, err)
	if uint64(len(got)) != b.root.Entries {
		b.t.Errorf("got %d entries, want %d", len(got), b.root.Entries)
	}
	return got
}

// A frame that could not be had is asked for again: the store may be back.
func TestFailureIsNotKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.reader(content.Options{})
	f, want := b.file(r, "small-000"), b.want("small-000")
	var once sync.Once
	b.store.Hook = func(op mem.Op, key backend.Key, at mem.Moment) (err error) {
		once.Do(func() { err = backend.ErrUnavailable })
		return err
	}
	p := make([]byte, len(want))
	if _, err := f.ReadAt(t.Context(), p, 0); !errors.Is(err, backend.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	if n, err := f.ReadAt(t.Context(), p, 0); err != nil || !bytes.Equal(p[:n], want) {
		t.Errorf("once more: got %d bytes, %v", n, err)
	}
}

func testWriteTo(t *testing.T, b *bench) {
	r := b.reader(content.Options{})
	for _, name := range []string{"big", "sparse", "inline", "empty"} {
		lists := b.lists()
		e, err := lists.Lookup(name)
		must(t, err)
		var got bytes.Buffer
		must(t, r.WriteTo(t.Context(), &got, e, lists))
		if !bytes.Equal(got.Bytes(), b.want(name)) {
			t.Errorf("%s differs", name)
		}
	}
	lists := b.lists()
	e, err := lists.Lookup("big")
	must(t, err)
	if err := r.WriteTo(t.Context(), failing{}, e, lists); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
