package sftp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"cairn/backend"
)

// Put implements backend.Backend.
func (s *Store) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = s.move(ctx, func(c *conn) error { return s.put(ctx, c, string(key), parts) })
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, c *conn, name string, parts [][]byte) error {
	dir := path.Dir(name)
	var handle *pkgsftp.File
	var t *temp
	// The way to the server is long: what does not depend on one another goes at
	// the same time.
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if err = s.ensure(both, c, dir); err == nil {
			handle, err = s.openDir(both, c, s.path(dir))
		}
		return err
	})
	group.Go(func() (err error) {
		t, err = s.writeTemp(both, c, parts)
		return err
	})
	err := group.Wait()
	if handle != nil {
		defer c.later(handle.Close)
	}
	if t != nil {
		defer t.discard()
	}
	if err != nil {
		return s.explainPut(ctx, c, err)
	}
	s.swept.Do(func() { s.sweep(ctx, t) })

	published := s.publish(ctx, c, t.name, name)
	if published != nil && !errors.Is(published, backend.ErrExist) {
		return s.explainPut(ctx, c, published)
	}
	// Also for an object that was there: its writer may not have come so far,
	// and ErrExist says that it is durable.
	if err := s.flushHandle(ctx, c, handle); err != nil {
		if published == nil {
			// The kernel there may count the entry as clean now, and a second flush
			// as success, though it never reached the disk. Only a new file is sure.
			c.later(func() error { return c.Remove(s.path(name)) })
		}
		return s.explainPut(ctx, c, err)
	}
	return published
}

// explainPut is explain for what no read can meet: directories that vanish under
// a writer, and a key below another object.
func (s *Store) explainPut(ctx context.Context, c *conn, err error) error {
	switch {
	case errors.Is(err, errNoDirectory):
		return fmt.Errorf("%w: key lies below that of another object", backend.ErrInvalid)
	case errors.Is(err, fs.ErrNotExist):
		s.forget()
	}
	return s.explain(ctx, c, err, errNoParent)
}

// A temp is a whole file that has no lasting name yet; it is durable, if the
// server can tell.
type temp struct {
	s    *Store
	c    *conn
	file *pkgsftp.File // nil when it was closed
	name string        // path on the server
}

// writeTemp writes parts to a new file and returns it when its bytes are
// durable. The caller calls discard, unless there is an error. It is the
// server's, or one of package backend.
func (s *Store) writeTemp(ctx context.Context, c *conn, parts [][]byte) (*temp, error) {
	t, err := s.openTemp(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := t.write(ctx, parts); err != nil {
		t.abandon(ctx, err)
		return nil, err
	}
	return t, nil
}

// openTemp makes an empty file for write. The caller calls discard, unless there
// is an error.
func (s *Store) openTemp(ctx context.Context, c *conn) (*temp, error) {
	t := &temp{s: s, c: c, name: s.path(tmpDir + "/" + rand.Text())}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	var err error
	t.file, err = open(ctx, c, t.name, flags)
	if errors.Is(err, fs.ErrNotExist) {
		// A copy of a store may lack the directory, because it was empty.
		if err = s.alive(ctx, c); err == nil {
			s.forget()
			err = s.ensure(ctx, c, tmpDir)
		}
		if err == nil {
			t.file, err = open(ctx, c, t.name, flags)
		}
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// write writes parts to the file, and returns when they are durable. Its errors
// are those of package backend.
func (t *temp) write(ctx context.Context, parts [][]byte) error {
	err := t.writeAll(ctx, parts)
	// Now, while the file still takes the room that there is not.
	return t.s.explain(ctx, t.c, err, errNoParent)
}

func (t *temp) writeAll(ctx context.Context, parts [][]byte) error {
	var readers []io.Reader
	var size int64
	for _, part := range parts {
		readers = append(readers, bytes.NewReader(part))
		size += int64(len(part))
	}
	all := io.MultiReader(readers...)
	untilDone := readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return all.Read(p)
	})
	// Many requests are under way at the same time, so a failure leaves holes:
	// that is why nothing but a temporary file is ever written to.
	var written int64
	err := t.c.move(ctx, func() (err error) {
		written, err = t.file.ReadFromWithConcurrency(untilDone, 0)
		return err
	})
	if err == nil && written != size {
		err = fmt.Errorf("%w: %d of %d bytes were written", backend.ErrUnavailable, written, size)
	}
	if err != nil {
		return err
	}
	if t.c.offers(extFsync) {
		// A failed flush is final for this file: the pages that were not written
		// count as clean now, so it must never be flushed again and believed.
		return t.c.call(ctx, t.file.Sync)
	}
	// Without a flush, closing is what may report that there is no room.
	file := t.file
	t.file = nil
	return t.c.call(ctx, file.Close)
}

type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// discard closes the file and removes its temporary name, at some time. What
// cannot be removed now is removed with a later one, or swept a day later.
func (t *temp) discard() { t.c.later(t.removal()) }

// abandon is discard for a file that could not be written because of err: whoever
// hears that there is no room finds again what this one took.
func (t *temp) abandon(ctx context.Context, err error) {
	if errors.Is(err, backend.ErrFull) {
		_ = t.c.call(ctx, t.removal())
	} else {
		t.discard()
	}
}

// removal returns what discard does. It is for one use.
func (t *temp) removal() func() error {
	t.s.mu.Lock()
	names := append(t.s.litter, t.name)
	t.s.litter = nil
	t.s.mu.Unlock()
	file := t.file
	return func() error {
		if file != nil {
			_ = file.Close()
		}
		for i, name := range names {
			if err := t.c.lost(t.c.Remove(name)); errors.Is(err, backend.ErrUnavailable) {
				t.s.mu.Lock()
				defer t.s.mu.Unlock()
				t.s.litter = append(t.s.litter, names[i:]...)
				return err
			}
		}
		return nil
	}
}

// publish gives the file at the path from its name in the store, unless that is
// taken: ErrExist. Other errors are the server's.
func (s *Store) publish(ctx context.Context, c *conn, from, name string) error {
	to := s.path(name)
	if !c.offers(extLink) {
		return s.renameExclusive(ctx, c, from, to)
	}
	err := c.call(ctx, func() error { return c.Link(from, to) })
	if err == nil || errors.Is(err, backend.ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	// The protocol has no code for a name that is taken.
	if _, statErr := stat(ctx, c, to); statErr == nil {
		return backend.ErrExist
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: the server refuses to make a hard link in %s: the directory is not writable, or its file system has no hard links",
			backend.ErrDenied, path.Dir(to))
	}
	return err
}

// exclusive is whether a server's rename leaves alone what has the new name.
type exclusive int

const (
	unknown exclusive = iota
	isExclusive
	overwrites
)

// renameExclusive is publish on a server without hard links. Some servers'
// renames replace what is there, so it is tried out first.
func (s *Store) renameExclusive(ctx context.Context, c *conn, from, to string) error {
	is, err := s.tryRename(ctx, c)
	if err != nil {
		return err
	}
	if is == overwrites {
		return fmt.Errorf("%w: the server can neither make hard links nor rename without replacing what is there; "+
			"two writers could destroy each other's work: keep the store on another", backend.ErrDenied)
	}
	err = c.call(ctx, func() error { return c.Rename(from, to) })
	if err == nil || errors.Is(err, backend.ErrUnavailable) || errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
		return err
	}
	if _, statErr := stat(ctx, c, to); statErr == nil {
		return backend.ErrExist
	}
	return err
}

// tryRename renames an empty file over another one, once.
func (s *Store) tryRename(ctx context.Context, c *conn) (exclusive, error) {
	s.mu.Lock()
	known := s.rename
	s.mu.Unlock()
	if known != unknown {
		return known, nil
	}
	var files [2]string
	for i := range files {
		files[i] = s.path(tmpDir + "/" + rand.Text())
		file, err := open(ctx, c, files[i], os.O_WRONLY|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return unknown, err
		}
		defer c.later(func() error { return errors.Join(file.Close(), c.Remove(files[i])) })
	}
	err := c.call(ctx, func() error { return c.Rename(files[0], files[1]) })
	if errors.Is(err, backend.ErrUnavailable) || ctx.Err() != nil {
		return unknown, err
	}
	is := overwrites
	if err != nil {
		// That it failed must not have another reason.
		if _, err := stat(ctx, c, files[0]); err != nil {
			return unknown, err
		}
		is = isExclusive
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rename = is
	return is, nil
}

// sweep removes the files that dead writers left unfinished. What is old is told
// by the server's clock, which t was just written by. What it cannot remove
// takes some room, and nothing else comes of it.
func (s *Store) sweep(ctx context.Context, t *temp) {
	info, err := stat(ctx, t.c, t.name)
	if err != nil {
		return
	}
	limit := info.ModTime().Add(-sweepAge)
	t.c.later(func() error {
		entries, err := t.c.ReadDir(s.path(tmpDir))
		for _, e := range entries {
			if e.Mode().IsRegular() && e.ModTime().Before(limit) {
				_ = t.c.Remove(s.path(tmpDir + "/" + e.Name()))
			}
		}
		return err
	})
}
