package local

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"cairn/backend"
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
		if _, err := s.stat(version(old + 1).file()); err != nil {
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
	versions, err := s.versions()
	if err != nil || len(versions) != keptVersions || versions[0] != 41-keptVersions+1 {
		t.Errorf("versions: got %v, %v, want the last %d", versions, err, keptVersions)
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

func FuzzTag(f *testing.F) {
	f.Add("")
	f.Add(string(stateOf(1, []byte("value")).tag()))
	f.Add("0-00")
	f.Add("01-" + fmt.Sprintf("%064d", 0))
	f.Fuzz(func(t *testing.T, tag string) {
		s, err := parseTag(backend.Tag(tag))
		switch {
		case err != nil:
			if !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("%q: got %v, want ErrInvalid", tag, err)
			}
		case tag == "":
			if s != (state{}) {
				t.Errorf("empty tag: got %v, want the zero state", s)
			}
		case string(s.tag()) != tag:
			t.Errorf("%q: encodes as %q", tag, s.tag())
		}
	})
}

func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"v000000000001", "v1", "v000000000000", "v0000000000001", "", "w000000000001", "v+00000000001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if v, ok := parseVersion(name); ok && (v.file() != "head/"+name || v == 0) {
			t.Errorf("%q: is version %d, which is %s", name, v, v.file())
		}
	})
}

// TestEmptyVersion holds that a version without bytes, as a crash of the file
// system may leave it, is damage: the object ends too early.
func TestEmptyVersion(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if _, err := s.Swap(t.Context(), "", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path+"/"+version(1).file(), 0); err != nil {
		t.Fatal(err)
	}
	var short *backend.ShortError
	if _, _, err := s.Load(t.Context(), ""); !errors.As(err, &short) {
		t.Errorf("got %v, want a ShortError", err)
	}
}
