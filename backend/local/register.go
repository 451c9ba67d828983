package local

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/backend"
	"cairn/backend/versions"
)

// Load returns the register's value; see package backend.
func (s *Store) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	return s.register.Load(ctx, ifChanged)
}

// Swap replaces the register's value; see package backend.
func (s *Store) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	return s.register.Swap(ctx, old, value)
}

// Scratch returns a register in files of its own, which is not the store's: for
// finding out what the file system can do. Remove gives their room back; if that
// never comes about, they are swept like every unfinished file.
func (s *Store) Scratch(name string) *versions.Register {
	return versions.New(files{s, tmpDir + "/" + name + "-"})
}

// files are the versions of a register of a Store: those files whose names begin
// with prefix.
type files struct {
	s      *Store
	prefix string
}

func (f files) file(name string) string { return f.prefix + name }
func (f files) dir() string             { return path.Dir(f.prefix + "v") }

// Names implements versions.Files.
func (f files) Names(context.Context) ([]string, error) {
	entries, err := f.s.readDir(f.dir())
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, f.s.alive()
	case err != nil:
		return nil, f.s.explain(err, backend.ErrUnavailable)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutPrefix(path.Join(f.dir(), entry), f.prefix); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// Ahead implements versions.Files.
func (f files) Ahead(_ context.Context, names []string) (int, error) {
	for i, name := range names {
		_, err := f.s.stat(f.file(name))
		switch {
		case errors.Is(err, unix.ENOENT):
			return i, nil
		case err != nil:
			return 0, f.s.explain(err, backend.ErrUnavailable)
		}
	}
	return len(names), nil
}

// Read implements versions.Files.
func (f files) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	st, err := f.s.stat(f.file(name))
	if err == nil && st.Size == 0 {
		return nil, nil
	}
	var data []byte
	if err == nil {
		data, err = f.s.read(ctx, f.file(name), backend.Range{Len: min(st.Size, limit)})
	}
	if err != nil {
		return nil, f.s.explain(err, backend.ErrNotExist)
	}
	return data, nil
}

// Create implements versions.Files.
func (f files) Create(ctx context.Context, name string, value []byte) error {
	if err := f.s.writable(); err != nil {
		return err
	}
	if _, err := f.s.stat(f.file(name)); err == nil {
		return backend.ErrExist // before anything was written
	}
	t, err := f.s.writeTemp(ctx, [][]byte{value})
	if err != nil {
		return f.s.explain(err, backend.ErrUnavailable)
	}
	defer t.discard()
	if err := t.publish(f.file(name)); err != nil {
		return f.refused(err)
	}
	return nil
}

// refused explains why publish failed, and whether it surely did.
func (f files) refused(err error) error {
	explained := f.s.explain(err, backend.ErrUnavailable)
	switch {
	case errors.Is(err, unix.EEXIST):
		return backend.ErrExist
	case errors.Is(explained, backend.ErrFull), errors.Is(explained, backend.ErrDenied):
		return explained
	}
	return fmt.Errorf("%w: %w", backend.ErrUnknown, explained)
}

// Remove implements versions.Files.
func (f files) Remove(_ context.Context, name string) error { return f.s.remove(f.file(name)) }

// Flush implements versions.Files.
func (f files) Flush(context.Context) error {
	if err := f.s.dirs.flush(f.dir()); err != nil {
		return f.s.explain(err, backend.ErrUnavailable)
	}
	return nil
}

// Later implements versions.Files.
func (f files) Later(ctx context.Context, do func(context.Context, versions.Files)) error {
	do(ctx, f)
	return nil
}
