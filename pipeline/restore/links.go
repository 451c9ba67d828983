package restore

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
)

// linkSet is a set of hard links. Its first member is restored like any file,
// the others are linked to it as soon as it has its name. A member that cannot
// be linked is restored like any file, too: all have the content.
type linkSet struct {
	mu      sync.Mutex
	first   *file   // what others are linked to; nil: none yet, or it failed
	placed  bool    // first has its name
	waiting []*file // for first to be placed

	guarded *file // whose flags, which are protective, the set gets when all its names are made; nil: none
	flags   attr.Flags
}

// guard says that f, the first one, has flags that forbid linking to it.
func (s *linkSet) guard(f *file, flags attr.Flags) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guarded, s.flags = f, flags
}

// join makes f a member of its set. It is the first one, or linked now, or
// waits for the first one, which then deals with it.
func (s *linkSet) join(f *file) (first, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.first == nil:
		s.first = f
		return true, false
	case s.placed:
		return false, true
	}
	s.waiting = append(s.waiting, f)
	return false, false
}

// settled says what became of the first member, and returns those who waited
// for it.
func (s *linkSet) settled(first *file) (waiting []*file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, s.waiting = s.waiting, nil
	if first.failed.Load() {
		s.first = nil // the next one that comes is the first
		return waiting
	}
	s.placed = true
	first.attrs, first.inline = attributes{}, nil // the set keeps it to the end
	return waiting
}

var errNotFirst = errors.New("is not what the others of its set are linked to")

// putLink makes f another name of the first member of its set.
func (r *run) putLink(f *file) error {
	f.link.mu.Lock()
	first := f.link.first
	f.link.mu.Unlock()

	from, err := first.dir.acquire()
	if err != nil {
		return err
	}
	defer first.dir.release()
	to, err := f.dir.acquireToChange()
	if err != nil {
		return err
	}
	defer f.dir.release()
	temp, err := f.fresh(func(name string) error {
		return unix.Linkat(from, first.name, to, name, 0)
	})
	if err != nil {
		return err
	}
	id, err := identifyName(to, temp)
	if err == nil && id != first.h.id {
		err = errNotFirst // someone else has put another file there
	}
	if err == nil {
		err = r.rename(f, to, temp)
	}
	// Of two names of one file rename leaves both.
	_ = unix.Unlinkat(to, temp, 0)
	return err
}

// linked ends a later member of a set of links: it is linked, or else planned
// once more, on its own.
func (r *run) linked(f *file) error {
	if err := r.putLink(f); err != nil {
		if fatal(err) {
			return err
		}
		f.link = nil
		r.again(f)
		return nil
	}
	return r.over(f)
}

// again keeps f for the planner.
func (r *run) again(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.redo = append(r.redo, f)
}

// set returns the set of a link, which is new if there was none.
func (p *planner) set(link archive.Link) *linkSet {
	s := p.links[link]
	if s == nil {
		s = new(linkSet)
		p.links[link] = s
	}
	return s
}
