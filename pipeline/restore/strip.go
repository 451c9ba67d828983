package restore

import (
	"fmt"
	"strings"

	"cairn/objects/archive"
)

// stripper cuts leading components off paths. Two places of the archive may not
// become one in the target: the first one in the archive's order has it.
type stripper struct {
	n    int               // how many components
	tops map[string]string // what lies in the target itself, and the path of the directory that it was in
}

func newStripper(n int) stripper { return stripper{n, make(map[string]string)} }

// place says whether an entry that is wanted has a place in the target, and if
// it has none because something else has it, what that is.
func (s stripper) place(e *archive.Entry) (ok bool, other string) {
	depth := strings.Count(e.Path, "/")
	switch {
	case s.n == 0 || depth > s.n:
		return true, ""
	case depth < s.n:
		return e.Type == archive.Dir, "" // the target stands for it
	}
	name := lastName(e.Path)
	from := strings.TrimSuffix(e.Path, name)
	if other, taken := s.tops[name]; taken && other != from {
		return false, other + name
	}
	s.tops[strings.Clone(name)] = strings.Clone(from)
	return true, ""
}

// strip returns the choice about an entry, which may have no place.
func (p *planner) strip(e *archive.Entry, choice Choice) Choice {
	if choice == Skip {
		return Skip
	}
	ok, other := p.stripper.place(e)
	if other != "" {
		p.r.progress.Failed.Add(1)
		p.r.warn(e.Path, fmt.Errorf("%s has its place in the target", other))
	}
	if !ok {
		return Skip
	}
	return choice
}

// targetPath returns path without its first n components.
func targetPath(path string, n int) string {
	for range n {
		_, rest, ok := strings.Cut(path, "/")
		if !ok {
			break
		}
		path = rest
	}
	return path
}
