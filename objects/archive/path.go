package archive

import (
	"errors"
	"strings"
)

// Errors of paths.
var (
	// ErrOrder says that a path does not come after the one before it.
	ErrOrder = errors.New("path is not above the one before it")
	// ErrParent says that the parent of a path is not a directory that came
	// before it.
	ErrParent = errors.New("parent is not a directory of the archive")
	// ErrPath says that a path is not one of an archive: FORMAT.md §8.1.
	ErrPath = errors.New("path is not a clean relative path")
)

// ComparePaths orders paths as archives do: bytewise, with '/' below every
// other byte. Everything below a directory follows it without a gap. It returns
// -1, 0 or 1.
func ComparePaths(a, b string) int { return comparePaths(a, b) }

// pathText is what holds a path.
type pathText interface{ string | []byte }

func comparePaths[A, B pathText](a A, b B) int {
	n := commonPrefix(a, b)
	switch {
	case n == len(a) && n == len(b):
		return 0
	case n == len(a):
		return -1
	case n == len(b) || rank(a[n]) > rank(b[n]):
		return 1
	}
	return -1
}

// rank orders bytes with '/' first.
func rank(c byte) int {
	switch {
	case c == '/':
		return 0
	case c < '/':
		return int(c) + 1
	}
	return int(c)
}

// commonPrefix returns how many bytes a and b share at their beginnings.
func commonPrefix[A, B pathText](a A, b B) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// behind returns a string that is above everything below dir, and not above
// anything else that is above dir. It is no path: no path has a NUL.
func behind(dir string) string { return dir + "\x00" }

// CheckPath returns ErrPath unless p can be the path of an entry: FORMAT.md
// §8.1.
func CheckPath(p string) error {
	if len(p) > pathMax || strings.IndexByte(p, 0) >= 0 {
		return ErrPath
	}
	for name := range strings.SplitSeq(p, "/") {
		if name == "" || name == "." || name == ".." {
			return ErrPath
		}
	}
	return nil
}

// step is the place between two entries: what came before the next one.
type step struct {
	path string // of the entry before; empty before the first
	dir  bool   // the entry before is a directory
}

// check returns nil if an entry with this path may be the next one. It shares
// the first n bytes, and no more, with the path before it.
//
// Every directory above the entry before is an entry, and every part of its
// path was checked. So the parent of the next one is there if the rest of its
// path, behind the n bytes, is a single name, or a single name behind a slash
// when the entry before is the parent itself; and only that name is unchecked.
func (s step) check(path string, n int) error {
	rest := path[n:]
	switch {
	case path == "" || len(path) > pathMax:
		return ErrPath
	case rest == "", n < len(s.path) && rank(rest[0]) < rank(s.path[n]):
		return ErrOrder
	}
	switch i := strings.LastIndexByte(rest, '/'); {
	case i > 0, i == 0 && n < len(s.path):
		return parentError(path)
	case i == 0 && !(s.dir && n > 0):
		return parentError(path)
	}
	if strings.IndexByte(rest, 0) >= 0 || badName(path) {
		return ErrPath
	}
	return nil
}

// parentError returns ErrParent, or ErrPath where that is the matter.
func parentError(path string) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	return ErrParent
}

// badName reports whether the last component of path is empty, "." or "..".
func badName(path string) bool {
	switch path[len(path)-1] {
	case '/':
		return true
	case '.':
		name := path[strings.LastIndexByte(path, '/')+1:]
		return name == "." || name == ".."
	}
	return false
}
