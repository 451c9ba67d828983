package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

func TestFailedFlushLeavesNothing(t *testing.T) {
	t.Parallel()
	for what, breakIt := range map[string]func(s *Store){
		"file":      func(s *Store) { s.flushFile = func(*os.File) error { return unix.EIO } },
		"full":      func(s *Store) { s.flushFile = func(*os.File) error { return unix.ENOSPC } },
		"directory": func(s *Store) { s.dirs.fsync = func(string) error { return unix.EIO } },
	} {
		s := openNew(t)
		if err := s.Put(t.Context(), "a/first"); err != nil {
			t.Fatal(err)
		}
		breakIt(s)
		err := s.Put(t.Context(), "a/k", []byte("data"))
		if err == nil || backend.Permanent(err) != (what == "full") {
			t.Errorf("%s: put: got %v, want an error to repeat, or ErrFull", what, err)
		}
		if _, err := s.Stat(t.Context(), "a/k"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("%s: stat: got %v, want ErrNotExist", what, err)
		}
		wantNoTemp(t, s)
	}
}

func wantNoTemp(t *testing.T, s *Store) {
	t.Helper()
	if left, err := filepath.Glob(s.path + "/tmp/*"); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v in tmp, want nothing", left, err)
	}
}

// TestFlushesAreShared holds that callers share a flush, but none that started
// before they came.
func TestFlushesAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := make(chan int)
		var flushes atomic.Int64
		d := newDirs(nil, nil, func(string) error {
			started <- int(flushes.Add(1))
			return nil
		})
		returned := make(chan error, 8)
		call := func() { go func() { returned <- d.flush("dir") }() }
		call()
		synctest.Wait() // the first one is in its flush, and stays until started is read
		for range 5 {
			call()
		}
		synctest.Wait()
		<-started
		synctest.Wait()
		if got := len(returned); got != 1 {
			t.Errorf("after the first flush: got %d calls returned, want the first alone", got)
		}
		<-started
		synctest.Wait()
		if got := len(returned); got != 6 || flushes.Load() != 2 {
			t.Errorf("got %d calls returned after %d flushes, want 6 after 2", got, flushes.Load())
		}
	})
}

func TestNewDirectoriesAreFlushedInTheirParents(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	var flushed []string
	s.dirs.fsync = func(name string) error {
		flushed = append(flushed, name)
		return s.flushDir(name)
	}
	for _, key := range []backend.Key{"a/b/c", "a/b/d", "a/e"} {
		if err := s.Put(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(flushed, " "), ". a . a/b a/b a"; got != want {
		t.Errorf("flushed %s, want %s", got, want)
	}
}

// TestDirectoriesThatAreThereShareAFlush holds that one flush is enough for all
// that were there when it began, and that none counts as durable which came
// later, or whose flush failed.
func TestDirectoriesThatAreThereShareAFlush(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for _, dir := range []string{"p", "p/1", "p/2"} {
		if err := s.mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	var flushed []string
	fails := true
	s.dirs.fsync = func(name string) error {
		flushed = append(flushed, name)
		if fails {
			return unix.EIO
		}
		if name == "p" {
			_ = s.mkdir("p/late") // by another writer; EEXIST the second time
		}
		return s.flushDir(name)
	}
	if err := s.dirs.ensure("p/1"); !errors.Is(err, unix.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	fails = false
	for _, dir := range []string{"p/1", "p/2", "head", "p/late", "p/new", "tmp", "p/late"} {
		if err := s.dirs.ensure(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(flushed, " "), ". . p p p"; got != want {
		t.Errorf("flushed %s, want %s", got, want)
	}
}

func TestVanishedRootIsNoEmptyStore(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := os.RemoveAll(s.path); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(t.Context(), "k", backend.Range{})
	_, statErr := s.Stat(t.Context(), "k")
	_, _, loadErr := s.Load(t.Context(), "")
	_, swapErr := s.Swap(t.Context(), "", []byte("v"))
	errs := map[string]error{
		"get": getErr, "stat": statErr, "load": loadErr, "swap": swapErr,
		"put": s.Put(t.Context(), "k"), "delete": s.Delete(t.Context(), "k"),
	}
	for _, err := range s.List(t.Context(), "") {
		errs["list"] = err
	}
	_, errs["open"] = Open(s.path, Options{})
	_, errs["open empty"] = Open(t.TempDir(), Options{})
	if len(errs) != 9 {
		t.Errorf("got %d errors, want 9: %v", len(errs), errs)
	}
	for op, err := range errs {
		if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNotExist) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want ErrUnavailable", op, err)
		}
	}
}

// TestRemovedDirectoryComesBack holds that a directory that someone removed
// under a writer is made anew by the next attempt.
func TestRemovedDirectoryComesBack(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := s.Put(t.Context(), "a/k"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.path + "/a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/k"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("put: got %v, want ErrUnavailable", err)
	}
	if err := s.Put(t.Context(), "a/k"); err != nil {
		t.Errorf("put again: got %v, want success", err)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := s.Put(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	r, err := Open(s.path, Options{Access: ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, swapErr := r.Swap(t.Context(), "", []byte("v"))
	for _, err := range []error{r.Put(t.Context(), "l"), r.Delete(t.Context(), "k"), swapErr} {
		if !errors.Is(err, backend.ErrDenied) {
			t.Errorf("got %v, want ErrDenied", err)
		}
	}
	if data, err := r.Get(t.Context(), "k", backend.Range{}); string(data) != "x" || err != nil {
		t.Errorf("get: got %q, %v, want x", data, err)
	}
}

// TestOpenChangesNothing holds that reading needs none of what writing needs,
// and that the first write makes it.
func TestOpenChangesNothing(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := s.Put(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	tmp := s.path + "/" + tmpDir
	if err := os.Remove(tmp); err != nil {
		t.Fatal(err)
	}
	r, err := Open(s.path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := r.Get(t.Context(), "k", backend.Range{}); string(data) != "x" || err != nil {
		t.Errorf("get: got %q, %v, want x", data, err)
	}
	if _, err := os.Stat(tmp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("tmp is there, %v: who only reads has made it", err)
	}
	if err := r.Put(t.Context(), "l"); err != nil {
		t.Errorf("put: %v", err)
	}
}

func TestKeyBelowAnObject(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := s.Put(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/b"); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("put: got %v, want ErrInvalid", err)
	}
}

func TestInspectAndModes(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := s.Put(t.Context(), "a/k"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	want := func(path string, want backend.State) {
		t.Helper()
		if got, err := Inspect(path); got != want || err != nil {
			t.Errorf("inspect %s: got %d, %v, want %d", path, got, err, want)
		}
	}
	want(s.path, backend.Ours)
	want(s.path+"/a", backend.Foreign)
	want(s.path+"/a/k", backend.Foreign)
	want(dir, backend.Empty)
	want(dir+"/missing", backend.Missing)
	for name, mode := range map[string]fs.FileMode{"": 0o700, "tmp": 0o700, "head": 0o700, "a": 0o700, "a/k": 0o600} {
		if info, err := os.Stat(s.path + "/" + name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: got %v, %v, want mode %o", name, info.Mode(), err, mode)
		}
	}
}

// TestPublishWithoutHardLinks holds the other way to a name, where there is one.
func TestPublishWithoutHardLinks(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for i, want := range []error{nil, unix.EEXIST} {
		tmp, err := s.writeTemp(t.Context(), [][]byte{[]byte("data")})
		if err != nil {
			t.Fatal(err)
		}
		err = s.rename(tmp.name, "k")
		tmp.discard()
		if errors.Is(err, backend.ErrDenied) {
			t.Skip("this system has no exclusive rename")
		}
		if !errors.Is(err, want) {
			t.Errorf("rename %d: got %v, want %v", i, err, want)
		}
	}
	wantNoTemp(t, s)
}
