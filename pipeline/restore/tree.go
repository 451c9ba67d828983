package restore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cairn/objects/attr"
)

// openLimit is how many directories and unfinished files are held open.
const openLimit = 192

// TempPrefix begins the name of every file that is not complete. A restore that
// was killed leaves such names behind; they may be removed.
const TempPrefix = ".cairn-restore-"

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// tree is the target and everything below it that the restore works in. All of
// it is reached through descriptors of directories, one component at a time,
// never through a symbolic link: so nothing is written outside the target,
// whatever lies in it or happens to it. Safe for concurrent use.
type tree struct {
	fds  descriptors
	root *dir

	temp  string        // what temporary names of this restore begin with
	temps atomic.Uint64 // temporary names given out

	mu      sync.Mutex
	devices map[uint64]int      // guarded by mu: file systems written to, a descriptor on each
	lifted  map[*dir]attr.Flags // guarded by mu: what lift took
}

// openTree opens the target, which is made if it is missing. Symbolic links in
// the name of the target itself are followed: whoever names it means them.
// In a dry run a target that is missing stays so: the tree has no root then.
func openTree(target string, dry bool) (*tree, error) {
	t := &tree{
		fds:     descriptors{limit: openLimit},
		temp:    TempPrefix + strings.ToLower(rand.Text()[:12]) + "-",
		devices: make(map[uint64]int), lifted: make(map[*dir]attr.Flags),
	}
	t.fds.idle.Init()
	if dry {
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
			return t, nil
		}
	} else if err := os.MkdirAll(target, 0o777); err != nil {
		return nil, fmt.Errorf("make target: %w", err)
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(target, dirFlags&^unix.O_NOFOLLOW, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open target %s: %w", target, err)
	}
	t.root = &dir{tree: t, h: handle{fd: fd, pins: 1}} // pinned for good
	t.root.pending.Store(1)
	id, err := identify(fd)
	if err == nil {
		t.root.findHeirlooms(fd)
		err = t.note(fd, id)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("open target %s: %w", target, err)
	}
	t.root.h.id = id
	return t, nil
}

// close closes every directory. Nobody uses one any more.
func (t *tree) close() {
	t.fds.shrink(0)
	if t.root != nil {
		_ = closeIfOpen(t.root.h.fd) // opened for reading
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, fd := range t.devices {
		_ = closeIfOpen(fd) // likewise
	}
}

// note remembers the file system that fd, a directory, lies in, for sync.
func (t *tree) note(fd int, id fileID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.devices[id.dev]; ok {
		return nil
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.devices[id.dev] = own
	return nil
}

// sync returns when everything written is on disk: see syncFilesystem for the
// systems where that is not known.
func (t *tree) sync() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, fd := range t.devices {
		if err := retry(func() error { return syncFilesystem(fd) }); err != nil {
			return err
		}
	}
	return nil
}

// tempName returns a name that nothing has yet.
func (t *tree) tempName() string {
	return t.temp + strconv.FormatUint(t.temps.Add(1), 36)
}

// dir is a directory of the target.
type dir struct {
	tree     *tree
	parent   *dir // nil: the target
	name     string
	attrs    *attributes // nil: the target, which keeps its own
	inherits bool        // it hands an ACL down to what is made in it
	hands    attr.Flags  // may be handed down to what is made in it
	made     bool        // by this restore: nothing was in it
	opening  sync.Once   // of what was there, to change what is in it

	// pending is what must be over before the directory gets its metadata:
	// everything below it, and the planner being inside of it.
	pending atomic.Int64

	h handle
}

// path returns the path of something in the directory, as the archive has it.
func (d *dir) path(name string) string {
	n := len(name)
	for p := d; p.parent != nil; p = p.parent {
		n += len(p.name) + 1
	}
	b := make([]byte, n)
	n -= copy(b[n-len(name):], name)
	for p := d; p.parent != nil; p = p.parent {
		n--
		b[n] = '/'
		n -= copy(b[n-len(p.name):], p.name)
	}
	return string(b)
}

// own returns the path of d itself.
func (d *dir) own() string {
	if d.parent == nil {
		return "."
	}
	return d.parent.path(d.name)
}

func (d *dir) handle() *handle { return &d.h }

// acquire returns an open descriptor of d that stays open until release.
func (d *dir) acquire() (int, error) { return d.tree.fds.acquire(d) }

// acquireToChange is acquire for whoever changes what names are in d.
func (d *dir) acquireToChange() (int, error) {
	fd, err := d.acquire()
	if err == nil {
		d.openUp(fd)
	}
	return fd, err
}

// openUp makes d, open as fd, fit for changing what names are in it, until it is
// left. Not ours to change: then the change says so.
func (d *dir) openUp(fd int) {
	if d.made {
		return
	}
	d.opening.Do(func() {
		d.lift(fd)
		d.widen(fd, 0o700)
	})
}

// widen gives us rights to d, open as fd. It gets the archive's mode when it is
// left: one that keeps its own is left alone.
func (d *dir) widen(fd int, rights uint32) {
	if d.attrs == nil {
		return
	}
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(fd, &st) })
	if err == nil && uint32(st.Mode)&rights != rights {
		_ = unix.Fchmod(fd, uint32(st.Mode)&0o7777|0o700)
	}
}

func (d *dir) release() { d.tree.fds.release(&d.h) }

// open opens d again after its descriptor was closed to make room.
func (d *dir) open() (int, error) {
	parent, err := d.parent.acquire()
	if err != nil {
		return -1, err
	}
	defer d.parent.release()
	return openDir(parent, d.name)
}

func openDir(parent int, name string) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(parent, name, dirFlags, 0)
		return err
	})
	return fd, err
}

// errInTheWay says that something stands where a directory must be that nobody
// asked to restore for its own sake: on a living system a link to the place
// where the files are now.
var errInTheWay = errors.New("there is something else of that name")

// enter makes the directory called name in d, or takes the one that is there.
// Something else of that name, a symbolic link above all, is removed if the
// directory itself is wanted (Take): like a file that is replaced, it is not
// what the archive has there. Else it is errInTheWay. A directory that is there
// and not wanted itself (Look) stays as it is, attrs or not.
func (d *dir) enter(name string, attrs *attributes, choice Choice) (*dir, error) {
	if !safeName(name) {
		return nil, errName
	}
	child := &dir{tree: d.tree, parent: d, name: name, attrs: attrs, h: handle{fd: -1}}
	parent, err := d.acquire()
	if err != nil {
		return nil, err
	}
	defer d.release()
	made, err := d.makeDir(parent, name, choice)
	if err != nil {
		return nil, err
	}
	fd, err := child.acquire()
	if err != nil {
		return nil, err
	}
	defer child.release()
	if !made && choice != Take {
		child.attrs = nil // only passed through: it keeps its own
	}
	child.made = made
	if err := child.prepare(fd, made); err != nil {
		return nil, err
	}
	d.pending.Add(1)
	child.pending.Store(1)
	return child, nil
}

// prepare makes an open directory fit to be filled.
func (d *dir) prepare(fd int, made bool) error {
	if made {
		d.hands = d.parent.hands // it may have got them, too
		if !d.parent.inherits {
			return nil // nothing to inherit, and on its parent's file system
		}
		return d.subject(-1, fd).DropInherited()
	}
	d.findHeirlooms(fd)
	d.widen(fd, 0o500)
	id, err := identify(fd)
	if err != nil {
		return err
	}
	return d.tree.note(fd, id)
}

// findHeirlooms finds out what d, open as fd, hands down to what is made in it.
// Flags that cannot be read are none.
func (d *dir) findHeirlooms(fd int) {
	s := d.subject(-1, fd)
	d.inherits = s.Inherits()
	d.hands, _ = s.Flags()
}

// makeDir makes a directory in d, open as parent, or leaves the one that is there
// as it is.
func (d *dir) makeDir(parent int, name string, choice Choice) (made bool, err error) {
	err = unix.Mkdirat(parent, name, 0o700)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		d.openUp(parent)
		err = unix.Mkdirat(parent, name, 0o700)
	}
	if !errors.Is(err, unix.EEXIST) {
		return err == nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return false, nil
	}
	if choice != Take {
		return false, errInTheWay
	}
	d.openUp(parent)
	unlink := func() error { return unix.Unlinkat(parent, name, 0) }
	if err = unlink(); errors.Is(err, unix.EPERM) {
		err = unprotected(parent, name, err, unlink)
	}
	if err != nil {
		return false, err
	}
	err = unix.Mkdirat(parent, name, 0o700)
	return err == nil, err
}

var errName = errors.New("is not a name that a file can have")

// safeName reports whether name stays in its directory. Archives hold no other
// names (FORMAT.md §8.1); this does not depend on it.
func safeName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
