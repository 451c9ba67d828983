// Package mem keeps a store in memory: a whole backend with its register, for
// tests of what stands on one. It counts requests and fails them on demand.
package mem

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cairn/backend"
)

// Store is a backend.Backend with a register. The zero value is an empty store,
// ready for use; it must not be copied. Everything in it lives as long as it
// does: Close does nothing, so that a test may close and open again.
type Store struct {
	// Hook, unless nil, is called around every operation. Set before first use.
	Hook Hook
	// Now is the store's clock; nil means time.Now. Set before first use.
	Now func() time.Time

	mu      sync.Mutex
	objects map[backend.Key]object // guarded by mu
	value   []byte                 // the register's; guarded by mu, never changed in place
	version uint64                 // counts the register's swaps; guarded by mu
	counts  [numOps]int            // guarded by mu
}

type object struct {
	data    []byte // never changed
	modTime time.Time
}

// Put implements backend.Backend.
func (s *Store) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	return s.do(ctx, Put, key, key.Validate(), func() error {
		if _, ok := s.objects[key]; ok {
			return backend.ErrExist
		}
		if s.objects == nil {
			s.objects = make(map[backend.Key]object)
		}
		s.objects[key] = object{data: slices.Concat(parts...), modTime: s.now()}
		return nil
	})
}

// Get implements backend.Backend.
func (s *Store) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	var data []byte
	err := s.do(ctx, Get, key, firstError(key.Validate(), r.Validate()), func() error {
		o, ok := s.objects[key]
		if !ok {
			return backend.ErrNotExist
		}
		off, n, err := r.Resolve(key, int64(len(o.data)))
		if err != nil {
			return err
		}
		data = append(make([]byte, 0, n), o.data[off:off+n]...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Stat implements backend.Backend.
func (s *Store) Stat(ctx context.Context, key backend.Key) (backend.Info, error) {
	var info backend.Info
	err := s.do(ctx, Stat, key, key.Validate(), func() error {
		o, ok := s.objects[key]
		if !ok {
			return backend.ErrNotExist
		}
		info = backend.Info{Key: key, Size: int64(len(o.data)), ModTime: o.modTime}
		return nil
	})
	if err != nil {
		return backend.Info{}, err
	}
	return info, nil
}

// List implements backend.Backend. It yields what was there when it began.
func (s *Store) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		var found []backend.Info
		err := s.do(ctx, List, backend.Key(prefix), prefix.Validate(), func() error {
			for key, o := range s.objects {
				if strings.HasPrefix(string(key), string(prefix)) {
					found = append(found, backend.Info{Key: key, Size: int64(len(o.data)), ModTime: o.modTime})
				}
			}
			return nil
		})
		if err != nil {
			yield(backend.Info{}, err)
			return
		}
		slices.SortFunc(found, func(a, b backend.Info) int { return strings.Compare(string(a.Key), string(b.Key)) })
		for _, info := range found {
			if ctx.Err() != nil {
				yield(backend.Info{}, fmt.Errorf("list %s: %w", prefix, ctx.Err()))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Delete implements backend.Backend.
func (s *Store) Delete(ctx context.Context, key backend.Key) error {
	return s.do(ctx, Delete, key, key.Validate(), func() error {
		delete(s.objects, key)
		return nil
	})
}

// Close implements backend.Backend.
func (s *Store) Close() error { return nil }

// registerKey stands for the register in hooks and errors.
const registerKey backend.Key = "head"

// Load returns the register's value; see package backend.
func (s *Store) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	var value []byte
	var tag backend.Tag
	err := s.do(ctx, Load, registerKey, nil, func() error {
		tag = s.tag()
		switch tag {
		case "":
			return backend.ErrNotExist
		case ifChanged:
			return nil
		}
		value = slices.Clone(s.value)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return value, tag, nil
}

// Swap replaces the register's value; see package backend. What a hook answers
// after it took effect is wrapped in backend.ErrUnknown.
func (s *Store) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	var tag backend.Tag
	err := s.do(ctx, Swap, registerKey, backend.ValidateValue(value), func() error {
		if s.tag() != old {
			return backend.ErrConflict
		}
		s.value = slices.Clone(value)
		s.version++
		tag = s.tag()
		return nil
	})
	if err != nil {
		return "", err
	}
	return tag, nil
}

// tag returns the tag of the register's value. The caller holds s.mu.
func (s *Store) tag() backend.Tag {
	if s.version == 0 {
		return ""
	}
	return backend.Tag(strconv.FormatUint(s.version, 10))
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
