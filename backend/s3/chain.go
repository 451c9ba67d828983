package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cairn/backend"
	"cairn/backend/versions"
)

// Some stores honour If-None-Match and ignore If-Match: an object can be created
// once, and not be replaced safely. There the register is the chain of objects
// that package versions makes below head/. The store's marker says so, which the
// next process reads when it finds no object head.

// chainTag is what the tags of the values in a chain begin with: no ETag does.
const chainTag = "chain:"

// What the marker says; chainMark, of a store whose register is a chain.
const (
	plainMark = "cairn\n"
	chainMark = "cairn\nregister: chain\n"
)

// inChain reports whether the value with this tag is in a chain, as far as is
// known.
func (s *Store) inChain(tag backend.Tag) bool {
	if strings.HasPrefix(string(tag), chainTag) {
		s.chained.Store(true)
	}
	return s.chained.Load()
}

// findChain finds out whether the register is a chain, in a store without an
// object head. A copy of a store may lack the marker.
func (s *Store) findChain(ctx context.Context) (bool, error) {
	names, err := links{s, headName}.Names(ctx)
	is := len(names) > 0
	if err == nil && !is {
		var says []byte
		says, err = s.get(ctx, markerName, backend.Range{})
		is = string(says) == chainMark
	}
	if err != nil && !errors.Is(err, backend.ErrNotExist) {
		return false, err
	}
	if is {
		s.chained.Store(true)
	}
	return is, nil
}

// Chain is a register in objects that are never replaced.
type Chain struct{ *versions.Register }

func newChain(s *Store, dir string) Chain {
	return Chain{versions.NewRepeating(links{s, dir})}
}

// Load returns the chain's value; see package backend.
func (c Chain) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	known, _ := strings.CutPrefix(string(ifChanged), chainTag)
	value, tag, err := c.Register.Load(ctx, backend.Tag(known))
	if err != nil {
		return nil, "", err
	}
	return value, chainTag + tag, nil
}

// Swap replaces the chain's value; see package backend.
func (c Chain) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	known, _ := strings.CutPrefix(string(old), chainTag)
	tag, err := c.Register.Swap(ctx, backend.Tag(known), value)
	if err != nil {
		return "", err
	}
	return chainTag + tag, nil
}

// ScratchChain is Scratch for a register in a chain.
func (s *Store) ScratchChain(name string) Chain { return newChain(s, "tmp/"+name) }

// links are the versions of a register in objects whose names begin with dir.
type links struct {
	s   *Store
	dir string
}

func (l links) key(name string) string { return l.dir + "/" + name }

// Names implements versions.Files.
func (l links) Names(ctx context.Context) ([]string, error) { return l.after(ctx, "") }

// after returns the names that follow name.
func (l links) after(ctx context.Context, name string) (names []string, err error) {
	err = l.s.call(ctx, listing, func(c *regional) error {
		dir := l.s.name(l.key(""))
		options := l.s.listOptions(dir, pageSize)
		if name != "" {
			options.StartAfter = dir + name
		}
		for object := range c.ListObjectsIter(ctx, l.s.o.Bucket, options) {
			if object.Err != nil {
				return object.Err
			}
			names = append(names, strings.TrimPrefix(object.Key, dir))
		}
		return ctx.Err() // the loop ends without a word when the context does
	})
	return names, err
}

// Ahead implements versions.Files: one request.
func (l links) Ahead(ctx context.Context, names []string) (int, error) {
	there, err := l.after(ctx, names[0][:len(names[0])-1]) // which sorts before it
	if err != nil {
		return 0, err
	}
	for i, name := range names {
		if !slices.Contains(there, name) {
			return i, nil
		}
	}
	return len(names), nil
}

// Read implements versions.Files.
func (l links) Read(ctx context.Context, name string, _ int64) ([]byte, error) {
	value, _, err := Cell{l.s, l.key(name)}.load(ctx, "")
	return value, err
}

// Create implements versions.Files.
func (l links) Create(ctx context.Context, name string, value []byte) error {
	_, err := l.s.put(ctx, l.key(name), condition{absent: true}, [][]byte{value})
	switch {
	case errors.Is(err, errCondition):
		return l.taken(ctx, name, value)
	case err == nil, refused(err):
		return err
	}
	return fmt.Errorf("%w: %w", backend.ErrUnknown, err)
}

// taken tells what it means that an object of that name is there: whoever repeats
// requests on their way may have carried this one out and then met its result.
func (l links) taken(ctx context.Context, name string, value []byte) error {
	there, err := l.Read(ctx, name, backend.MaxValue+1)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", backend.ErrUnknown, err)
	case bytes.Equal(there, value):
		return nil
	}
	return backend.ErrExist
}

// Remove implements versions.Files.
func (l links) Remove(ctx context.Context, name string) error {
	return l.s.remove(ctx, l.key(name))
}

// Flush implements versions.Files: what a store has answered is durable.
func (l links) Flush(context.Context) error { return nil }

// Later implements versions.Files.
func (l links) Later(ctx context.Context, do func(context.Context, versions.Files)) error {
	do(ctx, l)
	return nil
}
