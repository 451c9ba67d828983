//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"fmt"
	"strings"
	"time"

	"cairn/objects"
	"cairn/objects/record"
)

// top is what is above the archives: directories for hosts and series, and
// symlinks to what is latest. It is not for concurrent use.
type top struct {
	nodes []*virtual // by number, less one; the root is the first
	slots []*shown   // by slot, less one
	known map[objects.ID]bool
}

// virtual is a directory or a symlink that no archive has.
type virtual struct {
	number number
	parent number
	target string // symlinks
	since  time.Time
	names  []string // of the children, in the order in which they came
	below  map[string]number
	latest *virtual
}

const latestName = "latest"

func newTop() *top {
	t := &top{known: map[objects.ID]bool{}}
	t.add(1)
	return t
}

// add makes a virtual node.
func (t *top) add(parent number) *virtual {
	v := &virtual{number: number(len(t.nodes) + 1), parent: parent, below: map[string]number{}}
	t.nodes = append(t.nodes, v)
	return v
}

// show adds an archive, unless it is there. The one that comes last is latest.
func (t *top) show(s *shown) {
	if t.known[s.a.ID] || s.a.Kind != record.Full || len(t.slots) == slotsMax-1 {
		return
	}
	t.known[s.a.ID] = true
	t.slots = append(t.slots, s)
	s.slot = uint32(len(t.slots))
	series := t.dir(t.dir(t.nodes[0], s.a.Host, s.a.Start), s.a.Series, s.a.Start)
	zone := time.FixedZone("", int(s.a.Zone))
	when := series.free(s.a.Start.In(zone).Format("2006-01-02T15:04:05"))
	series.put(when, archiveNumber(s.slot))
	if series.latest == nil {
		series.latest = t.add(series.number)
		series.put(latestName, series.latest.number)
	}
	series.latest.target, series.latest.since = when, s.a.Start
	t.nodes[0].since, series.since = s.a.Start, s.a.Start
}

// hide takes the archives away that are not in keep.
func (t *top) hide(keep map[objects.ID]bool) {
	for i, s := range t.slots {
		if s == nil || keep[s.a.ID] {
			continue
		}
		t.slots[i] = nil
		delete(t.known, s.a.ID)
		t.remove(archiveNumber(s.slot))
	}
}

// remove takes a name away, and what is empty then.
func (t *top) remove(n number) {
	for _, v := range t.nodes {
		for i, name := range v.names {
			if v.below[name] != n {
				continue
			}
			v.names = append(v.names[:i], v.names[i+1:]...)
			delete(v.below, name)
			t.settle(v)
			return
		}
	}
}

// settle looks after a directory that has lost a name.
func (t *top) settle(v *virtual) {
	if v.latest != nil {
		last := ""
		for _, name := range v.names {
			if name != latestName {
				last = name
			}
		}
		if v.latest.target = last; last == "" {
			v.latest = nil
			v.names, v.below = nil, map[string]number{}
		}
	}
	if len(v.names) == 0 && v.number != 1 {
		t.remove(v.number)
	}
}

// dir returns the directory of a name, which is new if there is none.
func (t *top) dir(in *virtual, name string, since time.Time) *virtual {
	plain := fileName(name)
	if n, ok := in.below[plain]; ok {
		t.nodes[n-1].since = since
		return t.nodes[n-1]
	}
	v := t.add(in.number)
	v.since = since
	in.put(plain, v.number)
	return v
}

func (v *virtual) put(name string, n number) {
	v.names = append(v.names, name)
	v.below[name] = n
}

// free returns name, or what is made of it if it is taken.
func (v *virtual) free(name string) string {
	unique := name
	for n := 2; ; n++ {
		if _, taken := v.below[unique]; !taken {
			return unique
		}
		unique = fmt.Sprintf("%s-%d", name, n)
	}
}

// nameMax is how long a name may be, bytes.
const nameMax = 255

// fileName returns s as the name of a directory. Series are often paths.
func fileName(s string) string {
	s = strings.NewReplacer("/", "_", "\x00", "_").Replace(strings.Trim(s, "/"))
	if s == "" || s == "." || s == ".." {
		return "_" + s
	}
	return s[:min(len(s), nameMax)]
}
