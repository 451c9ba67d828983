package backup

import (
	"strings"

	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// Difference says why an entry of the archive before is not taken over: the sum
// of what follows, or 0 if nothing keeps it from that.
type Difference uint16

// What shows a change, and what lets an entry vouch for nothing.
const (
	Kind    Difference = 1 << iota // it is of another type
	Size                           // it has another size
	ModTime                        // it was modified
	Ctime                          // its inode was changed
	Inode                          // it is another file
	Racy                           // it was so fresh then that a later change would not show
	Partial                        // it was cut short by an interruption
	Torn                           // it changed while it was being read
	Lost                           // the repository does not have its content any more
	Forced                         // Options.ReadAll
)

// String returns the names of what d is the sum of: "size, mtime".
func (d Difference) String() string {
	var names []string
	for i, name := range [...]string{"type", "size", "mtime", "ctime", "inode", "racy", "partial", "changed while read", "lost", "forced"} {
		if d&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// when returns d if it holds, and otherwise nothing.
func (d Difference) when(holds bool) Difference {
	if holds {
		return d
	}
	return 0
}

// difference reports in what old, which the archive before says of item, no
// longer describes it, content included.
func (s *scan) difference(old *archive.Entry, item *walk.Item) Difference {
	d := s.r.changes(old, item) | Racy.when(old.Racy) | Partial.when(old.Partial) | Torn.when(old.Changed) |
		Forced.when(s.r.o.ReadAll)
	if d != 0 {
		return d
	}
	if !s.known(&old.Content) {
		return Lost
	}
	for i := range old.Xattrs {
		if c := old.Xattrs[i].Spilled; c != nil && !s.known(c) {
			return Lost
		}
	}
	return 0
}

// changes reports what shows a change.
func (r *run) changes(old *archive.Entry, item *walk.Item) Difference {
	st := &item.Stat
	return Kind.when(old.Type != archive.Type(st.Type)) |
		Size.when(st.Type == walk.File && old.Size != uint64(st.Size)) |
		ModTime.when(old.ModTime != archive.Time(st.ModTime)) |
		Ctime.when(!r.o.IgnoreChangeTime && old.ChangeTime != archive.Time(st.ChangeTime)) |
		Inode.when(!r.o.IgnoreInode && old.Inode != st.ID.Inode)
}

// askedTogether is how many chunks known looks for in one go.
const askedTogether = 64

// known reports whether every chunk of c is in a pack. Lists of chunks are
// read, which shows that they are there.
func (s *scan) known(c *archive.Content) bool {
	s.asked = s.asked[:0]
	for x, err := range s.lists.Extents(c) {
		if err != nil {
			s.r.distrust(err)
			return false
		}
		if x.Hole {
			continue
		}
		if s.asked = append(s.asked, x.ID); len(s.asked) == askedTogether {
			if !s.haveAsked() {
				return false
			}
		}
	}
	return s.haveAsked()
}

func (s *scan) haveAsked() bool {
	ok, err := s.r.repo.Index.HasAll(s.asked)
	s.asked = s.asked[:0]
	return ok && err == nil
}
