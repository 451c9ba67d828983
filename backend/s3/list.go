package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"cairn/backend"
)

// pageSize is how many objects one request lists: as many as the protocol has.
const pageSize = 1000

// List implements backend.Backend. It holds one page in memory.
func (s *Store) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		err := prefix.Validate()
		if err == nil {
			err = s.list(ctx, string(prefix), yield)
		}
		if err != nil && err != errStopped {
			yield(backend.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// errStopped ends a listing whose consumer has seen enough.
var errStopped = errors.New("listing stopped")

func (s *Store) list(ctx context.Context, prefix string, yield func(backend.Info, error) bool) error {
	last, stopped := "", false
	err := s.call(ctx, listing, func(c *regional) error {
		for object := range c.ListObjectsIter(ctx, s.o.Bucket, s.listOptions(s.name(prefix), pageSize)) {
			if object.Err != nil {
				return object.Err
			}
			key, ours := strings.CutPrefix(object.Key, s.prefix)
			if !ours || !strings.HasPrefix(key, prefix) || last != "" && key <= last {
				return fmt.Errorf("%w: it lists %q after %q", backend.ErrUnusable, object.Key, s.name(last))
			}
			last = key
			if backend.Key(key).Validate() != nil {
				continue // the register, or not ours: no key has such a name
			}
			if !yield(backend.Info{Key: backend.Key(key), Size: object.Size, ModTime: object.LastModified}, nil) {
				stopped = true
				return nil
			}
		}
		return ctx.Err() // the loop ends without a word when the context does
	})
	if stopped {
		return errStopped
	}
	return err
}

func (s *Store) listOptions(name string, page int) minio.ListObjectsOptions {
	owner := false
	return minio.ListObjectsOptions{Prefix: name, Recursive: true, MaxKeys: page, FetchOwner: &owner}
}
