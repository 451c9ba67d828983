package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/backend/versions"
)

// A swap is six round trips to the server, and a load is three if the register
// was known here and holds the same, five if it has changed: what does not depend
// on one another is asked at the same time. The first load of a process lists the
// versions, and is ten.

// Load returns the register's value; see package backend.
func (s *Store) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	return s.register.Load(ctx, ifChanged)
}

// Swap replaces the register's value; see package backend.
func (s *Store) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	return s.register.Swap(ctx, old, value)
}

// Scratch returns a register in files of its own, which is not the store's: for
// finding out what the server can do. Calls that meet go through connections of
// their own, as those of several clients do. Remove gives the room of the files
// back; if that never comes about, they are swept like every unfinished file.
func (s *Store) Scratch(name string) *versions.Register {
	return versions.New(files{s: s, prefix: tmpDir + "/" + name + "-", apart: true})
}

// files are the versions of a register of a Store: those files whose names begin
// with prefix.
type files struct {
	s      *Store
	prefix string
	c      *conn // that all requests go through; nil: any
	apart  bool  // or one that nobody else uses at the time
}

func (f files) file(name string) string { return f.prefix + name }
func (f files) dir() string             { return path.Dir(f.prefix + "v") }

func (f files) ask(ctx context.Context, do func(c *conn) error) error {
	switch {
	case f.c != nil:
		return do(f.c)
	case f.apart:
		return f.s.move(ctx, do)
	}
	return f.s.ask(ctx, do)
}

// Names implements versions.Files.
func (f files) Names(ctx context.Context) ([]string, error) {
	var names []string
	err := f.ask(ctx, func(c *conn) error {
		entries, err := readDir(ctx, c, f.s.path(f.dir()))
		if errors.Is(err, fs.ErrNotExist) {
			return f.s.alive(ctx, c)
		}
		for _, e := range entries {
			if name, ok := strings.CutPrefix(path.Join(f.dir(), e.Name()), f.prefix); ok {
				names = append(names, name)
			}
		}
		return f.s.explain(ctx, c, err, backend.ErrUnavailable)
	})
	return names, err
}

// Ahead implements versions.Files.
func (f files) Ahead(ctx context.Context, names []string) (int, error) {
	missing := make([]error, len(names)) // why a name is not there
	err := f.ask(ctx, func(c *conn) error {
		var group errgroup.Group
		for i, name := range names {
			group.Go(func() error {
				_, missing[i] = stat(ctx, c, f.s.path(f.file(name)))
				return nil
			})
		}
		_ = group.Wait()
		for _, err := range missing {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return f.s.explain(ctx, c, err, nil)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range names {
		if missing[i] != nil {
			return i, nil
		}
	}
	return len(names), nil
}

// Read implements versions.Files.
func (f files) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	var data []byte
	err := f.ask(ctx, func(c *conn) (err error) {
		data, err = f.read(ctx, c, name, limit)
		return f.s.explainRead(ctx, c, f.file(name), err)
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (f files) read(ctx context.Context, c *conn, name string, limit int64) ([]byte, error) {
	handle, err := open(ctx, c, f.s.path(f.file(name)), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer c.later(handle.Close)
	at := func(n, off int64) ([]byte, error) {
		return query(ctx, c, func() ([]byte, error) {
			data := make([]byte, n)
			got, err := handle.ReadAt(data, off)
			if err == io.EOF {
				err = nil
			}
			return data[:got], err
		})
	}
	// Nearly every value fits into the first answer. One byte more than a request
	// brings makes the library ask for the end at the same time.
	var data []byte
	var group errgroup.Group
	group.Go(func() (err error) {
		data, err = at(min(limit, int64(c.packet)+1), 0)
		return err
	})
	info, err := query(ctx, c, handle.Stat)
	if failed := group.Wait(); err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	size := min(info.Size(), limit)
	if have := int64(len(data)); have < size {
		rest, err := at(size-have, have)
		if err == nil && int64(len(rest)) < size-have {
			err = fmt.Errorf("%w: the server reads %d bytes of %d", backend.ErrUnavailable, have+int64(len(rest)), size)
		}
		if err != nil {
			return nil, err
		}
		data = append(data, rest...)
	}
	return data[:size], nil
}

// Create implements versions.Files. A file that holds value gets its name by the
// same means as an object.
func (f files) Create(ctx context.Context, name string, value []byte) error {
	value = bytes.Clone(value) // a cancelled request may outlive the call
	return f.ask(ctx, func(c *conn) error { return f.create(ctx, c, name, value) })
}

func (f files) create(ctx context.Context, c *conn, name string, value []byte) error {
	s := f.s
	var t *temp
	var group, ready errgroup.Group
	group.Go(func() (err error) {
		t, err = s.openTemp(ctx, c)
		return err
	})
	group.Go(func() error {
		if _, err := stat(ctx, c, s.path(f.file(name))); err == nil {
			return backend.ErrExist // before anything was written
		}
		return nil // for whatever reason: the link will tell
	})
	ready.Go(func() error { return s.ensure(ctx, c, f.dir()) })
	err := group.Wait()
	if err == nil {
		err = t.write(ctx, [][]byte{value})
	}
	if failed := ready.Wait(); err == nil {
		err = failed
	}
	if err != nil {
		if t != nil {
			t.abandon(ctx, err)
		}
		return s.explainPut(ctx, c, err)
	}
	defer t.discard()
	if err = s.publish(ctx, c, t.name, f.file(name)); err == nil {
		return nil
	}
	explained := s.explainPut(ctx, c, err)
	for _, certain := range []error{backend.ErrExist, backend.ErrFull, backend.ErrDenied} {
		if errors.Is(explained, certain) {
			return explained
		}
	}
	return fmt.Errorf("%w: %w", backend.ErrUnknown, explained)
}

// Remove implements versions.Files.
func (f files) Remove(ctx context.Context, name string) error {
	return f.ask(ctx, func(c *conn) error { return f.s.remove(ctx, c, f.file(name)) })
}

// Flush implements versions.Files.
func (f files) Flush(ctx context.Context) error {
	return f.ask(ctx, func(c *conn) error {
		return f.s.explain(ctx, c, f.s.flushPath(ctx, c, f.s.path(f.dir())), errNoParent)
	})
}

// Later implements versions.Files. What is left to do goes through one
// connection, and ends with it at the latest.
func (f files) Later(ctx context.Context, do func(context.Context, versions.Files)) error {
	ctx = context.WithoutCancel(ctx)
	return f.ask(ctx, func(c *conn) error {
		c.later(func() error {
			do(ctx, files{s: f.s, prefix: f.prefix, c: c})
			return nil
		})
		return nil
	})
}
