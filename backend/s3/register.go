package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"cairn/backend"
)

// The register is one object, which is never deleted: that would let a creator
// in again. What a swap relies on is that the store honours the conditions of a
// PUT. Where it does so for new objects only, the register is a chain of them: see
// chain.go. Where it does not at all, and the register was created all the same,
// the object carries a note, and so do its tags: whoever loads it knows from then
// on that a look before every put is all there is.

// aloneNote is the object's metadata that says so, and aloneTag what its tags
// begin with.
const (
	aloneNote = "Cairn-Conditions"
	aloneTag  = "alone:"
)

// Cell is a register in an object.
type Cell struct {
	s    *Store
	name string
}

// tag returns the tag of the value with this ETag.
func (c Cell) tag(etag string) backend.Tag {
	if c.s.alone.Load() {
		etag = aloneTag + etag
	}
	return backend.Tag(etag)
}

// etag returns the ETag of the value with this tag.
func (c Cell) etag(tag backend.Tag) string {
	etag, alone := strings.CutPrefix(string(tag), aloneTag)
	if alone {
		c.s.alone.Store(true)
	}
	return etag
}

// Load returns the register's value; see package backend.
func (s *Store) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	if s.inChain(ifChanged) {
		return s.chain.Load(ctx, ifChanged)
	}
	value, tag, err := Cell{s, headName}.Load(ctx, ifChanged)
	if !errors.Is(err, backend.ErrNotExist) {
		return value, tag, err
	}
	switch is, lookErr := s.findChain(ctx); {
	case lookErr != nil:
		return nil, "", fmt.Errorf("load register: %w", lookErr)
	case is:
		return s.chain.Load(ctx, ifChanged)
	}
	return nil, "", err
}

// Swap replaces the register's value; see package backend.
func (s *Store) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	chained := s.inChain(old)
	if old == "" && !chained && s.o.Conditions == AsMarked {
		var err error
		if chained, err = s.findChain(ctx); err != nil {
			return "", fmt.Errorf("swap register: %w", err)
		}
	}
	if chained {
		return s.chain.Swap(ctx, old, value)
	}
	return Cell{s, headName}.Swap(ctx, old, value)
}

// Load returns the cell's value; see package backend.
func (c Cell) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	value, tag, err := c.load(ctx, ifChanged)
	if err != nil {
		return nil, "", fmt.Errorf("load register: %w", err)
	}
	return value, tag, nil
}

func (c Cell) load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	options := minio.GetObjectOptions{}
	if etag := c.etag(ifChanged); etag != "" {
		if err := options.SetMatchETagExcept(etag); err != nil {
			return nil, "", fmt.Errorf("%w: tag %q", backend.ErrInvalid, string(ifChanged))
		}
	}
	var value []byte
	tag := ifChanged
	err := c.s.call(ctx, getting, func(r *regional) error {
		body, info, header, err := r.GetObject(ctx, c.s.o.Bucket, c.s.name(c.name), options)
		if ifChanged != "" && minio.ToErrorResponse(err).StatusCode == http.StatusNotModified {
			return nil
		}
		if err != nil {
			return err
		}
		defer body.Close()
		if value, err = c.read(body, info, header); err != nil {
			return err
		}
		if _, noted := info.UserMetadata[aloneNote]; noted {
			c.s.alone.Store(true)
		}
		tag = c.tag(info.ETag)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if tag == ifChanged {
		return nil, tag, nil // also where the store ignored the condition
	}
	return value, tag, nil
}

// read reads a value from the answer to a request for it.
func (c Cell) read(body io.Reader, info minio.ObjectInfo, header http.Header) ([]byte, error) {
	if info.Size > backend.MaxValue {
		return nil, fmt.Errorf("%w: %s has %d bytes: it is damaged", backend.ErrUnusable, c.name, info.Size)
	}
	if info.Size == 0 {
		short := &backend.ShortError{Key: backend.Key(c.name), Range: backend.Range{Len: 1}}
		return nil, fmt.Errorf("%s is damaged: %w", c.name, short)
	}
	return exactly(backend.Key(c.name), backend.Range{}, body, info, header)
}

// Swap replaces the cell's value; see package backend.
func (c Cell) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	err := backend.ValidateValue(value)
	if err == nil {
		err = ctx.Err()
	}
	var tag backend.Tag
	if err == nil {
		tag, err = c.swap(ctx, old, value)
	}
	if err != nil {
		return "", fmt.Errorf("swap register: %w", err)
	}
	return tag, nil
}

func (c Cell) swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	etag := c.etag(old)
	if c.s.alone.Load() {
		if err := c.holds(ctx, etag); err != nil {
			return "", err
		}
	}
	now, err := c.s.put(ctx, c.name, condition{absent: etag == "", holds: etag, cell: true}, [][]byte{value})
	switch {
	case err == nil:
		return c.tag(now), nil
	case errors.Is(err, errCondition):
		// Whoever repeats requests on their way, such as a load balancer, may
		// have carried it out and then met its result.
		return "", fmt.Errorf("%w: the store holds another value by now", backend.ErrUnknown)
	case errors.Is(err, backend.ErrNotExist):
		return "", backend.ErrConflict // nothing is there to be replaced
	case refused(err):
		return "", err
	}
	return "", fmt.Errorf("%w: %w", backend.ErrUnknown, err)
}

// holds returns an ErrConflict unless the value's ETag is etag. It is what a
// store that ignores conditions has in their place.
func (c Cell) holds(ctx context.Context, etag string) error {
	_, tag, err := c.load(ctx, "")
	if errors.Is(err, backend.ErrNotExist) {
		tag, err = "", nil
	}
	if err == nil && c.etag(tag) != etag {
		err = backend.ErrConflict
	}
	return err
}

// Scratch returns a register in an object of its own, which is not the store's:
// for finding out what the store can do. Remove gives its room back.
func (s *Store) Scratch(name string) Cell { return Cell{s, "tmp/" + name} }

// Remove deletes the cell of a Scratch.
func (c Cell) Remove(ctx context.Context) error {
	if err := c.s.remove(ctx, c.name); err != nil {
		return fmt.Errorf("remove %s: %w", c.name, err)
	}
	return nil
}
