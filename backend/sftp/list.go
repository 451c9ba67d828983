package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"cairn/backend"
)

// listAhead is how many directories of one level are read at the same time.
const listAhead = 8

// List implements backend.Backend. It holds the entries of a few directories of
// each level in memory.
func (s *Store) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		err := prefix.Validate()
		if err == nil {
			err = s.ask(ctx, func(c *conn) error { return s.list(ctx, c, string(prefix), yield) })
		}
		if err != nil && err != errStopped {
			yield(backend.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// errStopped ends a listing whose consumer has seen enough.
var errStopped = errors.New("listing stopped")

func (s *Store) list(ctx context.Context, c *conn, prefix string, yield func(backend.Info, error) bool) error {
	if err := s.alive(ctx, c); err != nil {
		return err
	}
	reading, cancel := context.WithCancel(ctx)
	l := &listing{s: s, c: c, prefix: prefix, yield: yield}
	defer l.group.Wait()
	defer cancel()
	return l.emit(reading, l.read(reading, path.Dir(prefix+"x")))
}

// A listing is one call of List.
type listing struct {
	s      *Store
	c      *conn
	prefix string
	yield  func(backend.Info, error) bool
	group  sync.WaitGroup
}

// A folder is a directory that is being read. A directory in it is an entry
// whose key ends in a slash: with it, its name sorts as the keys of its objects
// do.
type folder struct {
	done    chan struct{} // closed when the rest is final
	entries []backend.Info
	err     error
}

// read begins to read a directory.
func (l *listing) read(ctx context.Context, dir string) *folder {
	f := &folder{done: make(chan struct{})}
	l.group.Go(func() {
		defer close(f.done)
		f.entries, f.err = l.entries(ctx, dir)
	})
	return f
}

// emit yields what is in a directory, and below it.
func (l *listing) emit(ctx context.Context, f *folder) error {
	select {
	case <-f.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.err != nil {
		return f.err
	}
	var ahead []*folder // the next ones, in order
	next := 0           // of the entries to look at for further ones
	for _, e := range f.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		for ; next < len(f.entries) && len(ahead) < listAhead; next++ {
			if sub, ok := strings.CutSuffix(string(f.entries[next].Key), "/"); ok {
				ahead = append(ahead, l.read(ctx, sub))
			}
		}
		if strings.HasSuffix(string(e.Key), "/") {
			sub := ahead[0]
			ahead = ahead[1:]
			if err := l.emit(ctx, sub); err != nil {
				return err
			}
		} else if !l.yield(e, nil) {
			return errStopped
		}
	}
	return nil
}

// entries returns what a directory holds below the prefix, in the order of the
// keys.
func (l *listing) entries(ctx context.Context, dir string) ([]backend.Info, error) {
	entries, err := readDir(ctx, l.c, l.s.path(dir))
	if err != nil {
		if info, statErr := stat(ctx, l.c, l.s.path(dir)); statErr == nil && !info.IsDir() {
			return nil, nil // an object; servers differ in how they refuse it
		}
		err = l.s.explain(ctx, l.c, err, backend.ErrNotExist)
		if errors.Is(err, backend.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var found []backend.Info
	for _, e := range entries {
		key := path.Join(dir, e.Name())
		if !strings.HasPrefix(key, l.prefix) || backend.Key(key).Validate() != nil {
			continue // not asked for, or not ours: no key has such a name
		}
		if e.Mode()&os.ModeSymlink != 0 {
			if e, err = stat(ctx, l.c, l.s.path(key)); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, l.s.explain(ctx, l.c, err, backend.ErrNotExist)
			}
		}
		switch {
		case e.IsDir():
			found = append(found, backend.Info{Key: backend.Key(key + "/")})
		case e.Mode().IsRegular():
			found = append(found, backend.Info{Key: backend.Key(key), Size: e.Size(), ModTime: e.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b backend.Info) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return found, nil
}
