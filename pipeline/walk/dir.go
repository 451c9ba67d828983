package walk

import (
	"errors"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// dir is a directory whose entries the walk reaches through a descriptor.
type dir struct {
	parent *dir
	source string // absolute path; empty for the base
	cut    int    // Source of an entry, cut here, is its name in this directory
	follow bool   // opened through a final symbolic link: a root that has no entry
	owner  *descriptors

	// Guarded by owner.mu.
	id     FileID // of what was opened first; zero before
	fd     int    // −1: closed
	pins   int    // users of fd; it is in the idle list exactly when it is open without any
	before *dir   // idle list
	after  *dir
}

// descriptors keeps a bounded number of directories open, those used last. It
// is safe for concurrent use.
type descriptors struct {
	mu    sync.Mutex
	limit int // descriptors open, unless more are in use
	open  int
	idle  dir  // ring of open directories without users, the longest unused first
	base  *dir // absolute paths are names in it
}

func newDescriptors(limit int) *descriptors {
	c := &descriptors{limit: limit}
	c.idle.before, c.idle.after = &c.idle, &c.idle
	// The base stands for absolute paths. It counts as used for ever.
	c.base = &dir{owner: c, fd: unix.AT_FDCWD, pins: 1}
	return c
}

// child returns the directory at source inside parent, not yet open.
func (c *descriptors) child(parent *dir, source string) *dir {
	cut := len(source) + 1
	if source == "/" {
		cut = 1
	}
	return &dir{parent: parent, source: source, cut: cut, owner: c, fd: -1}
}

// name returns what the directory is called in its parent.
func (d *dir) name() string { return d.source[d.parent.cut:] }

// appendPath appends the absolute path of what d calls name.
func (d *dir) appendPath(to, name []byte) []byte {
	to = append(to, d.source...)
	if d.cut > len(d.source) {
		to = append(to, '/')
	}
	return append(to, name...)
}

// acquire returns an open descriptor of d that stays open until release. If d
// is another directory than at first, the error is ErrReplaced.
func (d *dir) acquire() (int, error) {
	c := d.owner
	missing, at := c.pinNearest(d)
	for _, next := range slices.Backward(missing) {
		// The one above is let go at once: a chain of any length takes two
		// descriptors.
		_, err := c.openBelow(at, next)
		at.release()
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at.fd, nil // pinned: it cannot change
}

// release ends one acquire.
func (d *dir) release() {
	c := d.owner
	c.mu.Lock()
	d.pins--
	if d.pins == 0 {
		c.append(d)
	}
	victim := c.victim()
	c.mu.Unlock()
	closeDescriptor(victim)
}

// pinNearest pins d, or the nearest directory above that is open, and returns
// those from d up to it.
func (c *descriptors) pinNearest(d *dir) (missing []*dir, at *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d.fd == -1 {
		missing = append(missing, d)
		d = d.parent
	}
	c.pin(d)
	return missing, d
}

// openBelow opens d, whose parent is pinned, and leaves it pinned. The
// descriptor's Stat is returned.
func (c *descriptors) openBelow(parent, d *dir) (Stat, error) {
	c.mu.Lock()
	c.open++ // first, so that there is room before there is need
	victim := c.victim()
	c.mu.Unlock()
	closeDescriptor(victim)

	fd, stat, err := c.openOnce(parent.fd, d)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
	case d.id != FileID{} && d.id != stat.ID:
		err = ErrReplaced
	case d.fd != -1: // someone else was faster
		c.pin(d)
	default:
		d.id, d.fd, d.pins = stat.ID, fd, 1
		return stat, nil
	}
	c.open--
	if fd >= 0 {
		closeDescriptor(fd)
	}
	return stat, err
}

// openOnce opens d and says what it is; short of descriptors it closes all idle
// ones and tries again.
func (c *descriptors) openOnce(parent int, d *dir) (int, Stat, error) {
	fd, err := openDirectory(parent, d.name(), d.follow)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		c.shrink()
		fd, err = openDirectory(parent, d.name(), d.follow)
	}
	if err != nil {
		return -1, Stat{}, err
	}
	stat, err := statDescriptor(fd)
	if err != nil {
		closeDescriptor(fd)
		return -1, Stat{}, err
	}
	return fd, stat, nil
}

// shrink closes every idle directory.
func (c *descriptors) shrink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.idle.after != &c.idle {
		closeDescriptor(c.retire(c.idle.after))
	}
}

// close closes every idle directory. From now on a directory is open only while
// it is used.
func (c *descriptors) close() {
	c.mu.Lock()
	c.limit = 0
	c.mu.Unlock()
	c.shrink()
}

// victim takes one idle directory out if there are too many and returns its
// descriptor for closing, or −1. Every opening takes out one, so one is enough.
// c.mu is held.
func (c *descriptors) victim() int {
	if c.open <= c.limit || c.idle.after == &c.idle {
		return -1
	}
	return c.retire(c.idle.after)
}

// retire takes d, which is idle, out of use. c.mu is held.
func (c *descriptors) retire(d *dir) int {
	c.remove(d)
	fd := d.fd
	d.fd = -1
	c.open--
	return fd
}

// pin adds a user to d, which is open. c.mu is held.
func (c *descriptors) pin(d *dir) {
	if d.pins == 0 {
		c.remove(d)
	}
	d.pins++
}

func (c *descriptors) append(d *dir) {
	d.before, d.after = c.idle.before, &c.idle
	d.before.after, d.after.before = d, d
}

func (c *descriptors) remove(d *dir) {
	d.before.after, d.after.before = d.after, d.before
	d.before, d.after = nil, nil
}

func closeDescriptor(fd int) {
	if fd >= 0 {
		unix.Close(fd) // read-only: nothing can be lost
	}
}
