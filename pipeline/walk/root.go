package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cairn/objects/archive"
)

// Root is one place that a backup begins at. Path is the end of Source.
type Root struct {
	Source string // absolute and clean
	Path   string // in the archive: relative and clean; empty: the entries of Source are the archive's top
}

// Plan turns paths as typed into roots in archive order, none inside another.
// Relative paths start at cwd, which is absolute.
//
// A root's archive path is its absolute path without the leading '/'; of an
// argument that contains "/./" it is what follows the first of them. Roots
// inside another are dropped. It is an error if that would lose something: two
// different places that would have one archive path, or a root behind a
// symbolic link that another root stores as a link. A root need not exist.
func Plan(args []string, cwd string) ([]Root, error) {
	roots := make([]Root, 0, len(args))
	for _, arg := range args {
		root, err := planRoot(arg, cwd)
		if err != nil {
			return nil, fmt.Errorf("root %q: %w", arg, err)
		}
		roots = append(roots, root)
	}
	slices.SortStableFunc(roots, func(a, b Root) int { return archive.ComparePaths(a.Path, b.Path) })
	kept := roots[:0]
	for _, root := range roots {
		// What contains root, if anything does, is the last that was kept:
		// everything inside of it follows it without a gap.
		if len(kept) == 0 || !within(root.Path, kept[len(kept)-1].Path) {
			kept = append(kept, root)
			continue
		}
		if err := checkNested(kept[len(kept)-1], root); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func planRoot(arg, cwd string) (Root, error) {
	if arg == "" {
		return Root{}, errors.New("is empty")
	}
	if strings.IndexByte(arg, 0) >= 0 {
		return Root{}, errors.New("contains a zero byte")
	}
	source := absolute(arg, cwd)
	if err := checkDots(arg, cwd, source); err != nil {
		return Root{}, err
	}
	prefix := "/"
	if i := strings.Index(arg, "/./"); i >= 0 {
		prefix = absolute(arg[:i+1], cwd)
	}
	if !within(source, prefix) {
		return Root{}, fmt.Errorf("lies outside of %s, which /./ strips", prefix)
	}
	return Root{Source: source, Path: strings.TrimPrefix(source[len(prefix):], "/")}, nil
}

// absolute is filepath.Join without interpreting an absolute path.
func absolute(path, cwd string) string {
	if !strings.HasPrefix(path, "/") {
		path = cwd + "/" + path
	}
	return filepath.Clean(path)
}

// checkDots refuses an argument in which ".." follows a symbolic link: the
// kernel goes to the parent of the link's target, the cleaned path does not.
func checkDots(arg, cwd, source string) error {
	if !slices.Contains(strings.Split(arg, "/"), "..") {
		return nil
	}
	if !strings.HasPrefix(arg, "/") {
		arg = cwd + "/" + arg
	}
	typed, err := os.Lstat(strings.TrimRight(arg, "/"))
	if err != nil {
		return nil // the walk will report what is missing
	}
	cleaned, err := os.Lstat(source)
	if err != nil || !os.SameFile(typed, cleaned) {
		return fmt.Errorf("is not %s because of a symbolic link before '..': name the directory itself", source)
	}
	return nil
}

// checkNested says whether the walk of outer stores all that inner would.
func checkNested(outer, inner Root) error {
	below := inner.Path[len(outer.Path):]
	if strings.Trim(strings.TrimPrefix(inner.Source, outer.Source), "/") != strings.Trim(below, "/") ||
		!within(inner.Source, outer.Source) {
		return fmt.Errorf("roots %q and %q would share the archive path %q", outer.Source, inner.Source, inner.Path)
	}
	if inner.Source == outer.Source {
		return nil
	}
	first := len(outer.Source)
	if outer.Path == "" {
		first++ // of such a root only what is below it is stored
	}
	for i := first; i < len(inner.Source); i++ {
		if inner.Source[i] != '/' {
			continue
		}
		info, err := os.Lstat(inner.Source[:i])
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("root %q lies behind the symbolic link %q, which root %q stores as a link",
				inner.Source, inner.Source[:i], outer.Source)
		}
	}
	return nil
}

// within reports whether path is dir or below it; both are clean. Everything
// relative is within "".
func within(path, dir string) bool {
	if dir == "" || dir == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/')
}
