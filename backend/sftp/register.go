package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"cairn/backend"
	"cairn/backend/versions"
)

// Load returns the register's value; see package backend.
func (s *Store) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	return versions.New(files{s}).Load(ctx, ifChanged)
}

// Swap replaces the register's value; see package backend.
func (s *Store) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	return versions.New(files{s}).Swap(ctx, old, value)
}

// files are the versions of the register of a Store.
type files struct{ s *Store }

func file(name string) string { return versions.Dir + "/" + name }

// Names implements versions.Files.
func (f files) Names(ctx context.Context) ([]string, error) {
	var names []string
	err := f.s.ask(ctx, func(c *conn) error {
		entries, err := readDir(ctx, c, f.s.path(versions.Dir))
		if errors.Is(err, fs.ErrNotExist) {
			return f.s.alive(ctx, c)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return f.s.explain(ctx, c, err, backend.ErrUnavailable)
	})
	return names, err
}

// Read implements versions.Files.
func (f files) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	var data []byte
	err := f.s.ask(ctx, func(c *conn) (err error) {
		data, err = f.read(ctx, c, name, limit)
		return f.s.explainRead(ctx, c, file(name), err)
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (f files) read(ctx context.Context, c *conn, name string, limit int64) ([]byte, error) {
	handle, err := open(ctx, c, f.s.path(file(name)), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer c.later(handle.Close)
	return query(ctx, c, func() ([]byte, error) {
		info, err := handle.Stat()
		if err != nil {
			return nil, err
		}
		data := make([]byte, min(info.Size(), limit))
		if n, err := handle.ReadAt(data, 0); n < len(data) {
			return nil, err
		}
		return data, nil
	})
}

// Create implements versions.Files. A file that holds value gets its name by the
// same means as an object.
func (f files) Create(ctx context.Context, name string, value []byte) error {
	value = bytes.Clone(value) // a cancelled request may outlive the call
	return f.s.ask(ctx, func(c *conn) error { return f.create(ctx, c, name, value) })
}

func (f files) create(ctx context.Context, c *conn, name string, value []byte) error {
	s := f.s
	if err := s.ensure(ctx, c, versions.Dir); err != nil {
		return s.explain(ctx, c, err, errNoParent)
	}
	handle, err := s.openDir(ctx, c, s.path(versions.Dir))
	if err != nil {
		return s.explainPut(ctx, c, err)
	}
	if handle != nil {
		defer c.later(handle.Close)
	}
	t, err := s.writeTemp(ctx, c, [][]byte{value})
	if err != nil {
		return s.explainPut(ctx, c, err)
	}
	defer t.discard()
	err = s.publish(ctx, c, t.name, file(name))
	if err == nil {
		err = s.flushHandle(ctx, c, handle)
		if err != nil {
			return fmt.Errorf("%w: %w", backend.ErrUnknown, s.explain(ctx, c, err, errNoParent))
		}
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
	return f.s.ask(ctx, func(c *conn) error { return f.s.remove(ctx, c, file(name)) })
}

// Flush implements versions.Files.
func (f files) Flush(ctx context.Context) error {
	return f.s.ask(ctx, func(c *conn) error { return f.s.flushPath(ctx, c, f.s.path(versions.Dir)) })
}
