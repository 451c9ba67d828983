package backend_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"

	"cairn/backend"
)

func TestKeyValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", backend.MaxKey)
	for _, key := range []backend.Key{
		"a", "config", "packs/0f/0f3c", "a-b_c.d/0", "header/x", "tmpx", "packs/tmp", "x/head/y", backend.Key(long),
	} {
		if err := key.Validate(); err != nil {
			t.Errorf("%q: got %v, want a valid key", key, err)
		}
	}
	for _, key := range []backend.Key{
		"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.b", ".a", "A", "a b", "a\\b", "a\x00", "é", "a\n",
		"head", "head/v1", "tmp", "tmp/x", backend.Key(long + "k"),
	} {
		if err := key.Validate(); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", key, err)
		}
	}
}

func TestPrefixValidate(t *testing.T) {
	t.Parallel()
	for _, prefix := range []backend.Prefix{"", "a", "a/", "packs/0", "h", "head", "tm", "tmp"} {
		if err := prefix.Validate(); err != nil {
			t.Errorf("%q: got %v, want a valid prefix", prefix, err)
		}
	}
	for _, prefix := range []backend.Prefix{"/", "a//", ".", "a/.", "A", "head/", "tmp/x"} {
		if err := prefix.Validate(); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", prefix, err)
		}
	}
}

// FuzzKey holds that a valid key is a clean path that stays below its root, and
// that each of its beginnings is a valid prefix.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"", "a", "packs/0f/0f3c", "../x", "a/./b", "tmp/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if backend.Key(s).Validate() != nil {
			return
		}
		if !fs.ValidPath(s) || s == "." {
			t.Errorf("%q is valid, but no clean relative path", s)
		}
		for i := range len(s) + 1 {
			if err := backend.Prefix(s[:i]).Validate(); err != nil {
				t.Errorf("a beginning of %q: %v", s, err)
			}
		}
	})
}

func TestRangeResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r      backend.Range
		off, n int64
	}{
		{backend.Range{}, 0, 10},
		{backend.Range{Off: 3}, 3, 7},
		{backend.Range{Off: 10}, 10, 0},
		{backend.Range{Len: 10}, 0, 10},
		{backend.Range{Off: 9, Len: 1}, 9, 1},
	} {
		off, n, err := c.r.Resolve("k", 10)
		if off != c.off || n != c.n || err != nil {
			t.Errorf("%s: got %d, %d, %v, want %d, %d", c.r, off, n, err, c.off, c.n)
		}
	}
	for _, r := range []backend.Range{{Off: 11}, {Len: 11}, {Off: 10, Len: 1}, {Off: 1, Len: math.MaxInt64 - 1}} {
		_, _, err := r.Resolve("k", 10)
		var short *backend.ShortError
		if !errors.As(err, &short) || short.Size != 10 || short.Key != "k" || short.Range != r {
			t.Errorf("%s: got %v, want a ShortError", r, err)
		}
	}
	for _, r := range []backend.Range{{Off: -1}, {Len: -1}, {Off: 1, Len: math.MaxInt64}} {
		if _, _, err := r.Resolve("k", 10); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", r, err)
		}
	}
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		backend.ErrNotExist, backend.ErrExist, backend.ErrFull, backend.ErrUnusable, backend.ErrDenied, backend.ErrInvalid,
		backend.ErrConflict, backend.ErrUnknown, &backend.ShortError{},
	} {
		if !backend.Permanent(fmt.Errorf("get k: %w", err)) {
			t.Errorf("%v: got transient, want permanent", err)
		}
	}
	for _, err := range []error{backend.ErrUnavailable, errors.New("connection reset")} {
		if backend.Permanent(fmt.Errorf("get k: %w", err)) {
			t.Errorf("%v: got permanent, want transient", err)
		}
	}
}

func TestErrorsAreNotTheFileSystems(t *testing.T) {
	t.Parallel()
	if errors.Is(backend.ErrNotExist, fs.ErrNotExist) || errors.Is(backend.ErrExist, fs.ErrExist) {
		t.Error("a sentinel matches an error of the file system")
	}
}
