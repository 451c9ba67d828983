package local

import (
	"context"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

// readStride is how many bytes are read between two looks at the context: a
// pack of the usual size in one call.
const readStride = 16 << 20

// Get implements backend.Backend.
func (s *Store) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	data, err := s.read(ctx, string(key), r)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, s.explain(err, backend.ErrNotExist))
	}
	return data, nil
}

// read returns what r selects of the file called name.
func (s *Store) read(ctx context.Context, name string, r backend.Range) ([]byte, error) {
	// Non-blocking, so that a pipe someone left there is an error and no wait.
	fd, err := s.openAt(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, err
	}
	if !isFile(st) {
		return nil, unix.EISDIR
	}
	// The length is known before anything of it is allocated.
	off, n, err := r.Resolve(backend.Key(name), st.Size)
	if err != nil {
		return nil, err
	}
	if n > math.MaxInt {
		return nil, fmt.Errorf("%w: %d bytes do not fit into memory", backend.ErrInvalid, n)
	}
	data := make([]byte, n)
	for done := 0; done < len(data); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var got int
		piece := data[done:min(len(data), done+readStride)]
		err := uninterrupted(func() (err error) {
			got, err = unix.Pread(fd, piece, off+int64(done))
			return err
		})
		if err != nil {
			return nil, err
		}
		if got == 0 { // cut off since its length was asked
			return nil, &backend.ShortError{Key: backend.Key(name), Range: r, Size: off + int64(done)}
		}
		done += got
	}
	return data, nil
}

// Stat implements backend.Backend.
func (s *Store) Stat(ctx context.Context, key backend.Key) (backend.Info, error) {
	if err := backend.Begin(ctx, key); err != nil {
		return backend.Info{}, fmt.Errorf("stat %s: %w", key, err)
	}
	st, err := s.stat(string(key))
	if err == nil && !isFile(st) {
		err = unix.EISDIR
	}
	if err != nil {
		return backend.Info{}, fmt.Errorf("stat %s: %w", key, s.explain(err, backend.ErrNotExist))
	}
	return backend.Info{Key: key, Size: st.Size, ModTime: modTime(st)}, nil
}

// Delete implements backend.Backend.
func (s *Store) Delete(ctx context.Context, key backend.Key) error {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = s.writable()
	}
	if err == nil {
		err = s.remove(string(key))
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *Store) remove(name string) error {
	err := s.unlink(name)
	if err == nil {
		return nil
	}
	if st, statErr := s.stat(name); statErr == nil && isDir(st) {
		return nil // not an object; systems differ in how they refuse it
	}
	err = s.explain(err, backend.ErrNotExist)
	if errors.Is(err, backend.ErrNotExist) {
		return nil
	}
	return err
}
