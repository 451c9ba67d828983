// Package sftp keeps a store in a directory of a server that speaks SFTP. It
// needs no program there but the server, and none here at all.
//
// An object's key is its path below the directory. As in package local, tmp/
// holds files that are being written, head/ the versions of the register, and
// their presence tells a store from a directory where a disk is not mounted.
//
// A file gets its name by a hard link, which is exclusive and atomic, when its
// bytes are durable. They are where the server can flush (fsync@openssh.com), and
// so is the name where it lets directories be opened for that, as OpenSSH does.
// Of other servers nobody knows when they write to the disk: what a crash of
// the server's machine takes back there is for its file system to say.
package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"cairn/backend"
	"cairn/backend/versions"
)

// tmpDir holds what is being written. With versions.Dir it belongs to the store
// itself.
const tmpDir = "tmp"

// sweepAge is how old an unfinished file is when its writer is surely dead.
const sweepAge = 24 * time.Hour

// transfers is how many objects move at the same time. Servers tend to let in
// ten connections, of which others may need some.
const transfers = 4

// Options of Dial.
type Options struct {
	Home        string // directory that holds .ssh
	User        string // name to log in with, unless the location or ssh's configuration has another
	AgentSocket string // of the ssh agent; empty if there is none
	// Ask asks for passphrases and passwords; nil if there is nobody to ask. It
	// is called by one goroutine at a time, and once for each secret.
	Ask Ask
	// Transfers bounds how many objects move at the same time; 0 means 4. There
	// is one connection for each of them, and one more for everything else.
	Transfers int
	Tap       *backend.Tap // may be nil
}

// Store is a backend.Backend with a register. Any number of processes may use
// one directory at the same time. Lost connections are made anew by the next
// call that needs one.
type Store struct {
	location Location
	pool     *pool
	swept    sync.Once
	register *versions.Register
	noFlush  atomic.Bool // the server does not flush directories

	mu     sync.Mutex
	made   map[string]bool // directories that are there, durably; guarded by mu
	litter []string        // unfinished files whose connection was lost; guarded by mu
	rename exclusive       // guarded by mu
}

// Dial connects to the server at l. Whether there is a store is for Inspect to
// tell. A server that cannot be reached is ErrUnavailable; one that does not let
// the user in, or is not known, ErrDenied; the latter is a *HostKeyError.
func Dial(ctx context.Context, l Location, o Options) (*Store, error) {
	settings, err := readSettings(o)
	if err != nil {
		return nil, err
	}
	t, err := settings.target(l.Host, l.User, l.Port)
	if err != nil {
		return nil, err
	}
	if o.Transfers == 0 {
		o.Transfers = transfers
	}
	d := &dialer{settings: settings, ask: o.Ask, tap: o.Tap}
	s := &Store{location: l, made: make(map[string]bool)}
	s.register = versions.New(files{s: s, prefix: versions.Dir + "/"})
	s.pool = newPool(o.Transfers, func(ctx context.Context) (*conn, error) { return connect(ctx, d, t) })
	if err := s.pool.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Close implements backend.Backend.
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// Inspect tells what is at the store's location, so that a caller can refuse to
// Create a store over anything but Missing and Empty.
func (s *Store) Inspect(ctx context.Context) (backend.State, error) {
	var entries []os.FileInfo
	err := s.ask(ctx, func(c *conn) (err error) {
		entries, err = readDir(ctx, c, s.location.Path)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if info, statErr := stat(ctx, c, s.location.Path); statErr == nil && !info.IsDir() {
			return errNoDirectory
		}
		return s.explain(ctx, c, err, nil)
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return backend.Missing, nil
	case errors.Is(err, errNoDirectory):
		return backend.Foreign, nil
	case err != nil:
		return backend.Foreign, fmt.Errorf("inspect %s: %w", s.location.Path, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return backend.StateOf(names), nil
}

var errNoDirectory = errors.New("not a directory")

// Create makes a store at the location, and the directories above it. What is
// there stays: whether that is right is for the caller to ask Inspect.
func (s *Store) Create(ctx context.Context) error {
	err := s.ask(ctx, func(c *conn) error {
		made, err := s.makeRoot(ctx, c, s.location.Path)
		if made && err == nil {
			// Nobody else on the server has business there.
			err = c.call(ctx, func() error { return c.Chmod(s.location.Path, 0o700) })
		}
		for _, dir := range []string{tmpDir, versions.Dir} {
			if err == nil {
				err = s.ensure(ctx, c, dir)
			}
		}
		return s.explain(ctx, c, err, errNoParent)
	})
	if err != nil {
		return fmt.Errorf("create store %s: %w", s.location.Path, err)
	}
	return nil
}

var errNoParent = fmt.Errorf("%w: a directory vanished", backend.ErrUnavailable)

// makeRoot makes a directory by its path on the server, and those above it. It
// reports whether it was not there before.
func (s *Store) makeRoot(ctx context.Context, c *conn, dir string) (made bool, err error) {
	if _, err := stat(ctx, c, dir); err == nil || !errors.Is(err, fs.ErrNotExist) || dir == path.Dir(dir) {
		return false, err
	}
	if _, err := s.makeRoot(ctx, c, path.Dir(dir)); err != nil {
		return false, err
	}
	if err := mkdir(ctx, c, dir); err != nil {
		return false, err
	}
	return true, s.flushPath(ctx, c, path.Dir(dir))
}

// ask makes small requests.
func (s *Store) ask(ctx context.Context, f func(c *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := s.pool.forCall(ctx)
	if err != nil {
		return err
	}
	defer s.pool.done(c, calling)
	return f(c)
}

// move makes the requests that move an object's bytes.
func (s *Store) move(ctx context.Context, f func(c *conn) error) error {
	c, err := s.pool.forMove(ctx)
	if err != nil {
		return err
	}
	defer s.pool.done(c, moving)
	return f(c)
}

// path returns the path on the server of what is called name in the store.
func (s *Store) path(name string) string { return path.Join(s.location.Path, name) }

// alive returns an ErrUnavailable unless the root still holds a store.
func (s *Store) alive(ctx context.Context, c *conn) error {
	for _, dir := range []string{versions.Dir, tmpDir} {
		_, err := stat(ctx, c, s.path(dir))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return s.explain(ctx, c, err, nil)
		}
	}
	return fmt.Errorf("%w: %s holds no store (no head or tmp directory): is its disk mounted there?", backend.ErrUnavailable, s.location)
}
