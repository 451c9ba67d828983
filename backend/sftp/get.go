package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	pkgsftp "github.com/pkg/sftp"

	"cairn/backend"
)

const (
	// readStride is how many bytes are read between two looks at the context.
	readStride = 16 << 20
	// trustedLen is up to which length a range is read without asking first
	// whether the object is that long, bytes.
	trustedLen = 64 << 20
)

// Get implements backend.Backend.
func (s *Store) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = r.Validate()
	}
	var data []byte
	if err == nil {
		err = s.move(ctx, func(c *conn) (err error) {
			data, err = s.read(ctx, c, string(key), r)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return data, nil
}

// read returns what r selects of the file called name.
func (s *Store) read(ctx context.Context, c *conn, name string, r backend.Range) ([]byte, error) {
	file, err := open(ctx, c, s.path(name), os.O_RDONLY)
	if err != nil {
		return nil, s.explainRead(ctx, c, name, err)
	}
	defer c.later(file.Close)
	off, n := r.Off, r.Len
	if n == 0 || n > trustedLen {
		if off, n, err = resolve(ctx, c, file, name, r); err != nil {
			return nil, s.explainRead(ctx, c, name, err)
		}
	}
	data := make([]byte, n)
	for done := 0; done < len(data); {
		piece := data[done:min(len(data), done+readStride)]
		var got int
		err := c.move(ctx, func() (err error) {
			got, err = file.ReadAt(piece, off+int64(done))
			return err
		})
		done += got
		if err == io.EOF {
			// The object ends here, or the server has read less than it was asked.
			if _, _, err = resolve(ctx, c, file, name, r); err == nil && got == 0 {
				err = fmt.Errorf("%w: the server reads nothing at byte %d of %s", backend.ErrUnavailable, off+int64(done), name)
			}
		}
		if err != nil {
			return nil, s.explainRead(ctx, c, name, err)
		}
	}
	return data, nil
}

// resolve returns what r selects of an open file.
func resolve(ctx context.Context, c *conn, file *pkgsftp.File, name string, r backend.Range) (off, n int64, err error) {
	info, err := query(ctx, c, file.Stat)
	if err != nil {
		return 0, 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, 0, fs.ErrNotExist
	}
	off, n, err = r.Resolve(backend.Key(name), info.Size())
	if err == nil && n > math.MaxInt {
		err = fmt.Errorf("%w: %d bytes do not fit into memory", backend.ErrInvalid, n)
	}
	return off, n, err
}

// explainRead is explain for what no write can meet: a directory that is taken
// for an object, which servers refuse to read in different ways.
func (s *Store) explainRead(ctx context.Context, c *conn, name string, err error) error {
	var status *pkgsftp.StatusError
	if errors.As(err, &status) {
		if info, statErr := stat(ctx, c, s.path(name)); statErr == nil && !info.Mode().IsRegular() {
			return backend.ErrNotExist
		}
	}
	return s.explain(ctx, c, err, backend.ErrNotExist)
}

// Stat implements backend.Backend.
func (s *Store) Stat(ctx context.Context, key backend.Key) (backend.Info, error) {
	err := backend.Begin(ctx, key)
	var info os.FileInfo
	if err == nil {
		err = s.ask(ctx, func(c *conn) (err error) {
			info, err = stat(ctx, c, s.path(string(key)))
			if err == nil && !info.Mode().IsRegular() {
				err = fs.ErrNotExist
			}
			return s.explainRead(ctx, c, string(key), err)
		})
	}
	if err != nil {
		return backend.Info{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return backend.Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete implements backend.Backend.
func (s *Store) Delete(ctx context.Context, key backend.Key) error {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = s.ask(ctx, func(c *conn) error { return s.remove(ctx, c, string(key)) })
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, c *conn, name string) error {
	err := c.call(ctx, func() error { return c.Remove(s.path(name)) })
	err = s.explainRead(ctx, c, name, err)
	if errors.Is(err, backend.ErrNotExist) {
		return nil
	}
	return err
}
