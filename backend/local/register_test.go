package local

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"cairn/backend"
	"cairn/backend/versions"
)

func openNew(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir() + "/store"
	if err := Create(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func versionFile(n int) string { return fmt.Sprintf("%s/v%012d", versions.Dir, n) }

// TestTwoStaleCreatorsInARow lets two writers wake up long after their versions
// were collected. The second finds a file where the version it replaces was:
// the first one's.
func TestTwoStaleCreatorsInARow(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	tags := []backend.Tag{""}
	for i := 1; i <= 40; i++ {
		tag, err := s.Swap(t.Context(), tags[i-1], fmt.Appendf(nil, "value %d", i))
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	for _, old := range []int{5, 6, 7, 0, 1} {
		_, err := s.Swap(t.Context(), tags[old], fmt.Appendf(nil, "stale after %d", old))
		if !errors.Is(err, backend.ErrUnknown) {
			t.Errorf("swap of version %d: got %v, want ErrUnknown", old, err)
		}
		if _, err := s.stat(versionFile(old + 1)); err != nil {
			t.Errorf("version %d: got %v, want the stale writer's file", old+1, err)
		}
	}
	value, tag, err := s.Load(t.Context(), "")
	if string(value) != "value 40" || tag != tags[40] || err != nil {
		t.Errorf("load: got %q, %v, want value 40", value, err)
	}

	if _, err := s.Swap(t.Context(), tag, []byte("value 41")); err != nil {
		t.Errorf("swap after the stale ones: %v", err)
	}
	names, err := s.readDir(versions.Dir)
	slices.Sort(names)
	if err != nil || len(names) != 16 || versions.Dir+"/"+names[0] != versionFile(26) {
		t.Errorf("versions: got %v, %v, want the last 16", names, err)
	}
}

func TestSwapThatCannotFlushIsUnknown(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken disk")
	s.dirs.fsync = func(string) error { return broken }
	_, err := s.Swap(t.Context(), "", []byte("value"))
	if !errors.Is(err, backend.ErrUnknown) || !errors.Is(err, broken) {
		t.Errorf("swap: got %v, want ErrUnknown", err)
	}
}

func TestSwapThatCannotWriteIsNotApplied(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	broken := errors.New("broken disk")
	s.flushFile = func(*os.File) error { return broken }
	_, err := s.Swap(t.Context(), "", []byte("value"))
	if errors.Is(err, backend.ErrUnknown) || !errors.Is(err, broken) {
		t.Errorf("swap: got %v, want the error alone", err)
	}
	if _, _, err := s.Load(t.Context(), ""); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("load: got %v, want ErrNotExist", err)
	}
}

func TestDamagedVersion(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for _, data := range [][]byte{nil, make([]byte, backend.MaxValue+1)} {
		if err := os.WriteFile(s.path+"/head/v000000000001", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if value, _, err := s.Load(t.Context(), ""); err == nil || errors.Is(err, backend.ErrNotExist) {
			t.Errorf("load of %d bytes: got %d, %v, want damage", len(data), len(value), err)
		}
	}
}

// TestEmptyVersion holds that a version without bytes, as a crash of the file
// system may leave it, is damage: the object ends too early.
func TestEmptyVersion(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if _, err := s.Swap(t.Context(), "", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path+"/"+versionFile(1), 0); err != nil {
		t.Fatal(err)
	}
	var short *backend.ShortError
	if _, _, err := s.Load(t.Context(), ""); !errors.As(err, &short) {
		t.Errorf("got %v, want a ShortError", err)
	}
}
