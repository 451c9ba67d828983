package local

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

// List implements backend.Backend. It holds the entries of one directory on
// each level in memory.
func (s *Store) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		err := prefix.Validate()
		if err == nil {
			err = s.list(ctx, path.Dir(string(prefix)+"x"), string(prefix), yield)
		}
		if err != nil && err != errStopped {
			yield(backend.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// errStopped ends a listing whose consumer has seen enough.
var errStopped = errors.New("listing stopped")

func (s *Store) list(ctx context.Context, dir, prefix string, yield func(backend.Info, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.alive(); err != nil {
		return err
	}
	entries, err := s.entries(ctx, dir, prefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if sub, ok := strings.CutSuffix(string(e.Key), "/"); ok {
			if err := s.list(ctx, sub, prefix, yield); err != nil {
				return err
			}
		} else if !yield(e, nil) {
			return errStopped
		}
	}
	return nil
}

// entries returns what a directory holds below prefix, in the order of the
// keys. A directory is an entry whose key ends in a slash: with it, its name
// sorts as the keys of its objects do.
func (s *Store) entries(ctx context.Context, dir, prefix string) ([]backend.Info, error) {
	names, err := s.readDir(dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(err, backend.ErrNotExist)
	}
	var found []backend.Info
	for _, name := range names {
		key := path.Join(dir, name)
		if !strings.HasPrefix(key, prefix) || backend.Key(key).Validate() != nil {
			continue // not asked for, or not ours: no key has such a name
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		st, err := s.stat(key)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return nil, s.explain(err, backend.ErrNotExist)
		case isDir(st):
			found = append(found, backend.Info{Key: backend.Key(key + "/")})
		case isFile(st):
			found = append(found, backend.Info{Key: backend.Key(key), Size: st.Size, ModTime: modTime(st)})
		}
	}
	slices.SortFunc(found, func(a, b backend.Info) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return found, nil
}
