package restore

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Part is a part of what an entry has.
type Part uint8

const (
	Owners Part = 1 << iota
	Xattrs
	ACLs
	Flags
	Nodes // devices and fifos themselves; not a part that Options.Without can name
)

// Why says why a part of an entry is not restored.
type Why uint8

const (
	Forbidden   Why = 1 + iota // only others may do that, root mostly
	Unsupported                // this system, or the file system of the target, does not have it
	Unknown                    // this version does not know what it is
)

// Lack is what was not restored of many entries for one reason, which is not
// worth a warning for each.
type Lack struct {
	Part   Part
	Why    Why
	Count  uint64 // entries, or of their attributes
	Path   string // one of the entries
	Detail string // what it was of that entry: the name of an attribute, flags; may be empty
}

type lackKey struct {
	part Part
	why  Why
}

// errLacking says that an entry is not restored and that a Lack says so.
var errLacking = errors.New("cannot be restored here")

// lack notes that a part of what has the path is not restored.
func (r *run) lack(part Part, why Why, path, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lacks[lackKey{part, why}]
	if l == nil {
		l = &Lack{Part: part, Why: why, Path: path, Detail: strings.Clone(detail)}
		r.lacks[lackKey{part, why}] = l
	}
	l.Count++
}

// allLacks returns what was noted, in an order that does not change.
func (r *run) allLacks() []Lack {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Lack
	for _, l := range r.lacks {
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b Lack) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Why, b.Why))
	})
	return all
}
