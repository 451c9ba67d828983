package archive

import "fmt"

// Listing lists a directory. It keeps nothing but its place, and is not for
// concurrent use.
type Listing struct {
	dir   string
	c     cursor
	begun bool
	over  bool
	skip  string // a child whose descendants come next, if any; empty: none
}

// List returns a listing of a directory, before its first child; "" is the
// directory above all. It reads nothing yet.
func (r *Reader) List(dir string) *Listing { return &Listing{dir: dir, c: cursor{r: r}} }

// Next returns the next child and its rank, or no entry at the end. Entries and
// errors are as Children says.
func (l *Listing) Next() (e *Entry, rank uint64, err error) {
	for !l.over {
		if e, err = l.step(); err != nil {
			return nil, 0, err
		}
		if e == nil {
			break
		}
		child, direct, ok := childOf(l.dir, e.Path)
		if !ok {
			break
		}
		if !direct || e.Type == Dir {
			l.skip = child
		}
		if direct {
			return e, l.c.rank - 1, nil
		}
	}
	l.over = true
	return nil, 0, nil
}

// step moves behind the next entry that is not below the last child.
func (l *Listing) step() (*Entry, error) {
	skip := l.skip
	l.skip = ""
	switch {
	case !l.begun:
		l.begun = true
		return l.seekChild()
	case skip != "":
		return l.c.skip(behind(skip))
	}
	return l.c.next()
}

// After goes on behind the child of a rank that Next has returned, of this
// listing or another one of the same directory.
func (l *Listing) After(rank uint64) error {
	e, err := l.c.seekRank(rank)
	if err != nil {
		return fmt.Errorf("list %q from entry %d on: %w", l.dir, rank, err)
	}
	l.begun, l.over, l.skip = true, false, ""
	if e.Type == Dir {
		l.skip = e.Path
	}
	return nil
}

// seekChild returns the first entry below the directory, or what comes after it
// if there is none.
func (l *Listing) seekChild() (*Entry, error) {
	e, err := l.c.seek(l.dir)
	switch {
	case err != nil || l.dir == "":
		return e, err
	case e == nil || e.Path != l.dir:
		l.over = true
		return nil, fmt.Errorf("list %q: %w", l.dir, ErrNotFound)
	case e.Type != Dir:
		l.over = true
		return nil, fmt.Errorf("list %q: %w", l.dir, ErrNotDir)
	}
	return l.c.next()
}

// seekRank returns the entry of a rank, and moves behind it.
func (c *cursor) seekRank(rank uint64) (*Entry, error) {
	if rank >= c.r.root.Entries {
		return nil, ErrNotFound
	}
	if err := c.placeRank(rank); err != nil {
		return nil, err
	}
	for {
		e, err := c.next()
		if err != nil {
			return nil, err
		}
		if e == nil || c.rank > rank {
			return e, nil
		}
	}
}
