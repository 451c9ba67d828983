package tarball

import (
	"fmt"
	"strings"

	"cairn/objects/archive"
)

// places sees to it that no member stands below another one that is no
// directory, and that no two have one name: unpacked, they would be written
// through a symbolic link, or in the place of each other. Archives have neither,
// unless they are damaged or somebody forged them; but names that are cut can
// become one.
type places struct {
	strip   int               // components that names lose
	tops    map[string]string // first components of names, and what was cut off in front of them
	leaf    string            // path of the last entry that is no directory
	refused string            // path of the last entry that has no place
}

// noPlace says that an entry is left out, and why.
type noPlace struct{ path, why string }

func (e *noPlace) Error() string { return "is left out: " + e.why }

// take reports whether an entry has a place. Entries come in the archive's order.
// An error comes with the first of those that have none for one reason: it stands
// for what is below it, too.
func (p *places) take(path string, is archive.Type) (ok bool, err error) {
	switch {
	case below(path, p.refused):
		return false, nil
	case below(path, p.leaf):
		p.refused = p.leaf
		return false, &noPlace{path, fmt.Sprintf("it is below %q, which is no directory", p.leaf)}
	case is != archive.Dir:
		p.leaf = path
	}
	if p.strip == 0 {
		return true, nil
	}
	name := strip(path, p.strip)
	top, _, _ := strings.Cut(name, "/")
	from := path[:len(path)-len(name)]
	other, taken := p.tops[top]
	if taken && other != from {
		p.refused = from + top
		return false, &noPlace{p.refused, other + top + " has its place in the tar file"}
	}
	if !taken {
		p.tops[strings.Clone(top)] = strings.Clone(from)
	}
	return true, nil
}

// below reports whether path is below dir, which may be none.
func below(path, dir string) bool {
	return dir != "" && len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}
