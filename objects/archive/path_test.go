package archive

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestComparePaths(t *testing.T) {
	t.Parallel()
	sorted := []string{
		"", "a", "a/\x01", "a/b", "a/b/c", "a/b.txt", "a/é", "a\x01", "a\n", "a b", "a-b", "a.txt", "a0", "aa", "b", "\xff", "\xff/x",
	}
	for i, a := range sorted {
		for j, b := range sorted {
			want := min(1, max(-1, i-j))
			if got := ComparePaths(a, b); got != want {
				t.Errorf("ComparePaths(%q, %q): got %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestComparePathsAsReplaced(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	// With every byte below '/' moved up by one, '/' as 0 sorts as in an archive.
	replace := func(s string) []byte {
		p := []byte(s)
		for i := range p {
			p[i] = byte(rank(p[i]))
		}
		return p
	}
	for range 10_000 {
		a, b := randomPath(rnd), randomPath(rnd)
		if got, want := ComparePaths(a, b), slices.Compare(replace(a), replace(b)); got != want {
			t.Fatalf("ComparePaths(%q, %q): got %d, want %d", a, b, got, want)
		}
	}
}

// randomPath returns a path of few and odd letters.
func randomPath(rnd *rand.Rand) string {
	const letters = "ab.\n\x01\xff -/0"
	p := make([]byte, 1+rnd.IntN(6))
	for i := range p {
		p[i] = letters[rnd.IntN(len(letters))]
	}
	return string(p)
}

func TestCheckPath(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"a", "...", ".a", "a/..b", "a./b", "\n", "\xff\xfe", strings.Repeat("a", 65535)} {
		if err := CheckPath(p); err != nil {
			t.Errorf("CheckPath(%.20q): got %v, want nil", p, err)
		}
	}
	for _, p := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/..", "a/../b", "a\x00b", strings.Repeat("a", 65536)} {
		if err := CheckPath(p); !errors.Is(err, ErrPath) {
			t.Errorf("CheckPath(%.20q): got %v, want ErrPath", p, err)
		}
	}
}

// A step accepts exactly what the rules of FORMAT.md §8.1 accept.
func TestStepAsRules(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		var s step
		dirs := map[string]bool{"": true}
		for range 200 {
			path, dir := randomPath(rnd), rnd.IntN(2) == 0
			parent := path[:max(0, strings.LastIndexByte(path, '/'))]
			want := CheckPath(path) == nil && ComparePaths(s.path, path) < 0 && dirs[parent]
			err := s.check(path, commonPrefix(s.path, path))
			if (err == nil) != want {
				t.Fatalf("%q after %q: got %v, want accepted: %t", path, s.path, err, want)
			}
			if err == nil {
				s = step{path, dir}
				dirs[path] = dir
			}
		}
	}
}
