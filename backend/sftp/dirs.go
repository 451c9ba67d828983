package sftp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	pkgsftp "github.com/pkg/sftp"
)

// ensure returns when the directory is there, durably if the server can tell,
// and all those above it in the store. Its errors are the server's, and
// errNoDirectory.
func (s *Store) ensure(ctx context.Context, c *conn, name string) error {
	s.mu.Lock()
	known := s.made[name]
	s.mu.Unlock()
	if known {
		return nil
	}
	parent := path.Dir(name)
	if name == "." {
		return nil
	}
	if err := s.ensure(ctx, c, parent); err != nil {
		return err
	}
	if err := mkdir(ctx, c, s.path(name)); err != nil {
		return err
	}
	// Also where it was there before: whoever made it may have died, or may not
	// have come to the flush yet.
	if err := s.flushPath(ctx, c, s.path(parent)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[name] = true
	return nil
}

// forget makes ensure look at every directory anew.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.made)
}

// openDir opens a directory to flush it. Where the server cannot do that it
// returns nil.
func (s *Store) openDir(ctx context.Context, c *conn, dir string) (*pkgsftp.File, error) {
	if !c.offers(extFsync) || s.noFlush.Load() {
		return nil, nil
	}
	handle, err := open(ctx, c, dir, os.O_RDONLY)
	var status *pkgsftp.StatusError
	if errors.As(err, &status) || errors.Is(err, fs.ErrPermission) {
		// It flushes files, but does not open directories.
		s.noFlush.Store(true)
		return nil, nil
	}
	return handle, err
}

// flushHandle returns when the entries of a directory are durable. A nil handle
// is of a server that cannot tell.
func (s *Store) flushHandle(ctx context.Context, c *conn, handle *pkgsftp.File) error {
	if handle == nil {
		return nil
	}
	err := c.call(ctx, handle.Sync)
	var status *pkgsftp.StatusError
	if errors.As(err, &status) {
		switch status.FxCode() {
		case pkgsftp.ErrSSHFxBadMessage, pkgsftp.ErrSSHFxOpUnsupported: // EINVAL, ENOSYS
			s.noFlush.Store(true)
			return nil
		}
	}
	return err
}

// flushPath is flushHandle for a directory that is not open.
func (s *Store) flushPath(ctx context.Context, c *conn, dir string) error {
	handle, err := s.openDir(ctx, c, dir)
	if err != nil || handle == nil {
		return err
	}
	defer c.later(handle.Close)
	return s.flushHandle(ctx, c, handle)
}

// Flushing is what a server can flush to its disk.
type Flushing int

// The kinds of flushing. Where there is none, the server writes when it likes.
const (
	FlushesNothing Flushing = iota
	FlushesFiles
	FlushesAll
)

// Flushing tells what the server flushes, as far as was seen.
func (s *Store) Flushing(ctx context.Context) (is Flushing, err error) {
	err = s.ask(ctx, func(c *conn) error {
		switch {
		case !c.offers(extFsync):
			is = FlushesNothing
		case s.noFlush.Load():
			is = FlushesFiles
		default:
			is = FlushesAll
		}
		return nil
	})
	return is, err
}
