// Package local keeps a store in a directory tree of a mounted file system.
//
// An object's key is its path below the root. tmp/ holds files that are being
// written, head/ the versions of the register; their presence tells a store
// from an empty directory, such as the mount point of a missing disk. All
// access goes through a descriptor of the root, so that a Store never changes
// the file system it writes to.
package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cairn/backend"
	"cairn/backend/versions"
)

// tmpDir holds what is being written. With versions.Dir it belongs to the store
// itself.
const tmpDir = "tmp"

// sweepAge is how old an unfinished file is when its writer is surely dead.
const sweepAge = 24 * time.Hour

// Access says what a Store may do.
type Access int

// The kinds of access. ReadOnly writes nothing at all, and answers ErrDenied to
// what would.
const (
	ReadWrite Access = iota
	ReadOnly
)

// Options of Open. The zero value is useful.
type Options struct {
	Access Access
	// Now is compared with the times of unfinished files; nil means time.Now.
	Now func() time.Time
}

// Store is a backend.Backend with a register. Any number of processes may use
// one directory at the same time.
type Store struct {
	root   *os.File
	path   string // of root, absolute; for people
	access Access
	dirs   *dirs
	now    func() time.Time
	swept  sync.Once

	register *versions.Register

	flushFile func(*os.File) error // flushData, but for tests
}

// Inspect tells what is at dir, so that a caller can refuse to Create a store
// over anything but Missing and Empty.
func Inspect(dir string) (backend.State, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return backend.Missing, nil
	case errors.Is(err, unix.ENOTDIR):
		return backend.Foreign, nil
	case err != nil:
		return backend.Foreign, fmt.Errorf("inspect: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return backend.StateOf(names), nil
}

// Create makes a store at dir, which may exist, in a directory that must exist.
// It returns when all of it is durable. What is in dir stays there: whether
// that is right is for the caller to ask Inspect. Open opens the store.
func Create(dir string) error {
	dir = filepath.Clean(dir)
	made := os.Mkdir(dir, 0o700)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return fmt.Errorf("create store: %w", made)
	}
	for _, sub := range []string{tmpDir, versions.Dir} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create store: %w", err)
		}
	}
	if err := flushPath(dir); err != nil {
		return fmt.Errorf("create store: %w", err)
	}
	if made != nil {
		return nil // it was there before
	}
	if err := flushPath(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("create store: %w", err)
	}
	return nil
}

func flushPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return flushEntries(f)
}

// Open opens the store at dir. A directory that is missing, or holds no store,
// is ErrUnavailable. It changes nothing, so that whoever only reads needs no
// right to write, whatever the access: the first write does, which also removes
// the files that dead writers left unfinished more than a day ago.
func Open(dir string, o Options) (*Store, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	root, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, unavailable(err))
	}
	s := &Store{root: root, path: path, access: o.Access, now: o.Now, flushFile: flushData}
	if s.now == nil {
		s.now = time.Now
	}
	s.dirs = newDirs(s.mkdir, s.readDir, s.flushDir)
	s.register = versions.New(files{s, versions.Dir + "/"})
	if err := s.alive(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), root.Close())
	}
	return s, nil
}

// prepare is called before every write. It makes the store's own directories,
// which a copy of a store may lack because they were empty.
func (s *Store) prepare() error {
	for _, dir := range []string{tmpDir, versions.Dir} {
		if err := s.dirs.ensure(dir); err != nil {
			return err
		}
	}
	s.swept.Do(func() { s.sweep(s.now().Add(-sweepAge)) })
	return nil
}

// sweep removes unfinished files last written before limit. What it cannot
// remove takes some room, and nothing else comes of it.
func (s *Store) sweep(limit time.Time) {
	names, err := s.readDir(tmpDir)
	if err != nil {
		return
	}
	for _, name := range names {
		st, err := s.stat(tmpDir + "/" + name)
		if err != nil || !isFile(st) || !modTime(st).Before(limit) {
			continue // gone already, or not ours to remove
		}
		_ = s.unlink(tmpDir + "/" + name)
	}
}

// Close implements backend.Backend.
func (s *Store) Close() error {
	if err := s.root.Close(); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// alive returns an ErrUnavailable unless the root still holds a store.
func (s *Store) alive() error {
	for _, dir := range []string{versions.Dir, tmpDir} {
		if _, err := s.stat(dir); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %s holds no store (no head or tmp directory): is its disk mounted?", backend.ErrUnavailable, s.path)
}

// writable returns an ErrDenied if s is ReadOnly.
func (s *Store) writable() error {
	if s.access == ReadOnly {
		return fmt.Errorf("%w: the store was opened for reading", backend.ErrDenied)
	}
	return nil
}
