package restore

import (
	"container/list"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// errReplaced says that something in the target was swapped for something else
// while the restore was working in it.
var errReplaced = errors.New("replaced by someone else during the restore")

// fileID tells the files of the running system apart.
type fileID struct{ dev, inode uint64 }

// handle is a descriptor that may be closed while nobody uses it, and is opened
// again when somebody does. Its fields are guarded by descriptors.mu.
type handle struct {
	fd   int           // −1: closed
	pins int           // users of fd
	idle *list.Element // in descriptors.idle exactly when fd is open without users
	id   fileID        // of what was opened first; zero before
}

// openable is a directory or a file that a handle belongs to.
type openable interface {
	handle() *handle
	open() (fd int, err error) // never through a symbolic link
}

// descriptors keeps a bounded number of handles open, those used last. It is
// safe for concurrent use. What is opened again must be what was opened first.
type descriptors struct {
	limit int

	mu   sync.Mutex
	held int       // handles open
	idle list.List // of *handle, the longest unused first
}

// acquire returns an open descriptor that stays open until release.
func (c *descriptors) acquire(o openable) (int, error) {
	h := o.handle()
	if fd, ok := c.pinOpen(h); ok {
		return fd, nil
	}
	fd, err := o.open()
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		c.shrink(0)
		fd, err = o.open()
	}
	if err != nil {
		return -1, err
	}
	id, err := identify(fd)
	if err != nil {
		_ = unix.Close(fd) // nothing was written through it
		return -1, err
	}
	return c.install(h, fd, id)
}

func (c *descriptors) pinOpen(h *handle) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.fd < 0 {
		return -1, false
	}
	c.pin(h)
	return h.fd, true
}

// install gives fd to h, unless someone else was faster, and pins it.
func (c *descriptors) install(h *handle, fd int, id fileID) (int, error) {
	c.mu.Lock()
	switch {
	case h.id != (fileID{}) && h.id != id:
		c.mu.Unlock()
		_ = unix.Close(fd) // nothing was written through it
		return -1, errReplaced
	case h.fd >= 0:
		c.pin(h)
		c.mu.Unlock()
		_ = unix.Close(fd) // likewise
		return h.fd, nil   // pinned: it cannot change
	}
	h.fd, h.id, h.pins = fd, id, 1
	c.held++
	c.mu.Unlock()
	c.shrink(c.limit)
	return fd, nil
}

// pin adds a user to h, which is open. c.mu is held.
func (c *descriptors) pin(h *handle) {
	h.pins++
	if h.idle != nil {
		c.idle.Remove(h.idle)
		h.idle = nil
	}
}

// release ends one acquire.
func (c *descriptors) release(h *handle) {
	c.mu.Lock()
	h.pins--
	if h.pins == 0 {
		h.idle = c.idle.PushBack(h)
	}
	over := c.held > c.limit
	c.mu.Unlock()
	if over {
		c.shrink(c.limit)
	}
}

// forget closes h, which is hardly needed any more; one that is in use stays
// open. The error is the kernel's last word about what was written.
func (c *descriptors) forget(h *handle) error {
	c.mu.Lock()
	if h.pins > 0 {
		c.mu.Unlock()
		return nil
	}
	fd := c.retire(h)
	c.mu.Unlock()
	return closeIfOpen(fd)
}

// shrink closes idle handles until no more than limit are open.
func (c *descriptors) shrink(limit int) {
	for {
		c.mu.Lock()
		first := c.idle.Front()
		if c.held <= limit || first == nil {
			c.mu.Unlock()
			return
		}
		fd := c.retire(first.Value.(*handle))
		c.mu.Unlock()
		// An error that only close tells of is told again by the sync at the
		// end of the restore.
		_ = closeIfOpen(fd)
	}
}

// retire takes h, which has no users, out of use. c.mu is held.
func (c *descriptors) retire(h *handle) (fd int) {
	if h.fd < 0 {
		return -1
	}
	if h.idle != nil {
		c.idle.Remove(h.idle)
		h.idle = nil
	}
	fd, h.fd = h.fd, -1
	c.held--
	return fd
}

func closeIfOpen(fd int) error {
	if fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// identify says what fd refers to.
func identify(fd int) (fileID, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return fileID{}, err
	}
	return idOf(&st), nil
}

func idOf(st *unix.Stat_t) fileID { return fileID{dev: uint64(st.Dev), inode: uint64(st.Ino)} }

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
