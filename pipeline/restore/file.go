package restore

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
)

const createFlags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC

// file is anything but a directory on its way into the target: under a
// temporary name until all of it is there and verified.
type file struct {
	dir   *dir
	name  string
	is    archive.Type
	attrs attributes
	size  uint64 // bytes; files only

	inline []byte           // the content, where the entry itself holds it
	node   *node            // symlinks, devices and fifos only
	link   *linkSet         // hard links only
	joins  *archive.Content // a later member of link: what it needs to stand alone

	// pending counts the pieces that are neither written nor given up, and the
	// planner while it is not through with the file.
	pending atomic.Int64
	written atomic.Uint64 // bytes, holes included
	status  Status        // what it is when it is over, unless it fails
	keep    bool          // it is there, and needs its attributes only
	failed  atomic.Bool

	h    handle
	mu   sync.Mutex
	temp string // guarded by mu: the temporary name, once there is one
}

// node is what a file without content is.
type node struct {
	target       string
	major, minor uint32
}

func (f *file) path() string { return f.dir.path(f.name) }

func (f *file) handle() *handle { return &f.h }

// open makes the temporary file, or opens it again after its descriptor was
// closed to make room.
func (f *file) open() (int, error) {
	dir, err := f.dir.acquireToChange()
	if err != nil {
		return -1, err
	}
	defer f.dir.release()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.temp != "" {
		return openAgain(dir, f.temp)
	}
	name, fd, err := f.create(dir)
	if err != nil {
		return -1, err
	}
	f.temp = name
	// Holes are what is never written; the last byte may lie in one.
	if err := retry(func() error { return unix.Ftruncate(fd, int64(f.size)) }); err != nil {
		_ = unix.Close(fd) // discard removes it
		return -1, err
	}
	return fd, nil
}

func openAgain(dir int, name string) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// create makes an empty file with a name that nothing had.
func (f *file) create(dir int) (name string, fd int, err error) {
	name, err = f.fresh(func(name string) error {
		return retry(func() error {
			fd, err = unix.Openat(dir, name, createFlags, 0o600)
			return err
		})
	})
	if err != nil {
		return "", -1, err
	}
	s := subject{File: fileattr.File{Dir: dir, Name: name, FD: fd, Type: archive.File}}
	if f.dir.inherits {
		if err := s.DropInherited(); err != nil {
			_ = unix.Close(fd) // empty
			_ = unix.Unlinkat(dir, name, 0)
			return "", -1, err
		}
	}
	if storage := f.attrs.flags & attr.Storage; storage != 0 {
		_ = s.ChangeFlags(storage, 0) // settle says what became of it
	}
	return name, fd, nil
}

// fresh makes something under a temporary name, whichever is free.
func (f *file) fresh(make func(name string) error) (string, error) {
	for {
		name := f.dir.tree.tempName()
		if err := make(name); !errors.Is(err, unix.EEXIST) {
			return name, err
		}
	}
}

// write puts p at off of the temporary file of f.
func (r *run) write(f *file, p []byte, off uint64) error {
	t := f.dir.tree
	fd, err := t.fds.acquire(f)
	if err != nil {
		return err
	}
	defer t.fds.release(&f.h)
	return r.put(fd, p, int64(off))
}

func pwriteAll(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwrite(fd, p, off)
			return err
		})
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// discard removes what there is of a file that will not be finished. Nobody
// writes to it any more.
func (f *file) discard() {
	_ = f.dir.tree.fds.forget(&f.h) // what was written is of no interest
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.temp == "" {
		return
	}
	if dir, err := f.dir.acquire(); err == nil {
		_ = unix.Unlinkat(dir, f.temp, 0) // at worst a name with TempPrefix is left
		f.dir.release()
	}
	f.temp = ""
}

// putWhole makes, fills and names a file whose verified content is p.
func (r *run) putWhole(f *file, p []byte) error {
	dir, err := f.dir.acquireToChange()
	if err != nil {
		return err
	}
	defer f.dir.release()
	name, fd, err := f.create(dir)
	if err != nil {
		return err
	}
	if err = r.put(fd, p, 0); err == nil {
		err = r.stretch(fd, int64(len(p)))
	}
	if err == nil && f.needsID() {
		f.h.id, err = identify(fd)
	}
	if err != nil {
		_ = unix.Close(fd) // it is removed
	} else {
		err = r.publish(f, dir, name, fd, func() error { return unix.Close(fd) })
	}
	if err != nil {
		_ = unix.Unlinkat(dir, name, 0) // at worst a name with TempPrefix is left
	}
	return err
}

// putPieces names a file whose pieces were all written.
func (r *run) putPieces(f *file) error {
	if got := f.written.Load(); got != f.size {
		return fmt.Errorf("content of %d bytes has %d", f.size, got)
	}
	t := f.dir.tree
	dir, err := f.dir.acquire()
	if err != nil {
		return err
	}
	defer f.dir.release()
	fd, err := t.fds.acquire(f) // makes it, if it is one hole
	if err != nil {
		return err
	}
	err = r.publish(f, dir, f.temp, fd, func() error {
		t.fds.release(&f.h)
		return t.fds.forget(&f.h)
	})
	if err == nil {
		f.temp = "" // nobody else knows the file any more
	}
	return err
}

// publish gives a complete file its attributes and its name. It closes fd in
// any case.
func (r *run) publish(f *file, dir int, temp string, fd int, close func() error) error {
	s := subject{File: fileattr.File{Dir: dir, Name: temp, FD: fd, Type: archive.File}, handed: f.dir.hands}
	r.settle(s, &f.attrs, f.path)
	if err := close(); err != nil {
		return err // some file systems tell only now that there was no room
	}
	return r.place(f, dir, temp)
}

// place gives a file its name, and the flags that keep it.
func (r *run) place(f *file, dir int, temp string) error {
	if err := r.rename(f, dir, temp); err != nil {
		return err
	}
	r.protect(f)
	return nil
}

// needsID reports whether f must be known again under its name.
func (f *file) needsID() bool { return f.link != nil || f.attrs.flags&attr.Protective != 0 }

// putNode makes a symlink, a device or a fifo.
func (r *run) putNode(f *file) error {
	dir, err := f.dir.acquireToChange()
	if err != nil {
		return err
	}
	defer f.dir.release()
	temp, err := f.fresh(func(name string) error {
		if f.is == archive.Symlink {
			return unix.Symlinkat(f.node.target, dir, name)
		}
		return makeNode(dir, name, fileattr.Format(f.is)|0o600, f.node.major, f.node.minor)
	})
	if err != nil {
		return r.nodeRefused(f, err)
	}
	if err = r.settleNode(f, dir, temp); err == nil {
		err = r.place(f, dir, temp)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0) // at worst a name with TempPrefix is left
	}
	return err
}

// errNode says that this system has no call for it.
var errNode = errors.New("devices and fifos are not restored on this system")

// nodeRefused returns what it means that f could not be made: for a device or a
// fifo a Lack, if others will not be made either.
func (r *run) nodeRefused(f *file, err error) error {
	switch {
	case f.is == archive.Symlink:
		return err
	case errors.Is(err, unix.EPERM):
		r.lack(Nodes, Forbidden, f.path(), f.is.String())
	case fileattr.Unsupported(err), errors.Is(err, errNode):
		r.lack(Nodes, Unsupported, f.path(), f.is.String())
	default:
		return err
	}
	return errLacking
}

func (r *run) settleNode(f *file, dir int, temp string) error {
	s, err := openNode(dir, temp, f.is)
	if err != nil {
		return err
	}
	defer s.close()
	if f.needsID() {
		if f.h.id, err = identifyName(dir, temp); err != nil {
			return err
		}
	}
	if f.is != archive.Symlink && f.dir.inherits {
		if err := s.DropInherited(); err != nil {
			return err
		}
	}
	r.settle(s, &f.attrs, f.path)
	return nil
}

func identifyName(dir int, name string) (fileID, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return idOf(&st), err
}
