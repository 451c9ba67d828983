package locking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

// Records is the part of a store that keeps commit records; backend.Backend
// holds its contract.
type Records interface {
	Put(ctx context.Context, key backend.Key, parts ...[]byte) error
	Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error)
	List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error]
	Delete(ctx context.Context, key backend.Key) error
}

// A recordStore reads and writes commit records by their marks.
type recordStore struct {
	store  Records
	keys   *crypt.Keys
	random io.Reader
	warn   func(error)
}

// key returns the key of the record at m.
func (m Mark) key() backend.Key { return backend.Key(record.CommitKey(m.Generation, m.Commit)) }

// get returns the record at m, which is exactly what was once stored there. A
// damaged copy beside a good one is a warning.
func (s recordStore) get(ctx context.Context, m Mark) (*record.Commit, error) {
	stored, err := s.store.Get(ctx, m.key(), backend.Range{})
	if err != nil {
		return nil, fmt.Errorf("read commit record %s: %w", m.key(), err)
	}
	return s.decode(m, stored)
}

// decode checks and decodes what is stored at m.
func (s recordStore) decode(m Mark, stored []byte) (*record.Commit, error) {
	c, damaged, err := record.DecodeCommit(s.keys, m.Commit, stored)
	if err != nil {
		return nil, fmt.Errorf("read commit record %s: %w", m.key(), err)
	}
	if c.Generation != m.Generation {
		return nil, objects.Corrupt(string(m.key()), "it is of generation %d", c.Generation)
	}
	if damaged {
		s.warn(objects.Corrupt(string(m.key()), "one of its two copies is bad; the other was used"))
	}
	return c, nil
}

// put makes c durable under a name that no other record has.
func (s recordStore) put(ctx context.Context, c *record.Commit) (Link, error) {
	id, stored, err := record.Encode(s.keys, c, s.random)
	if err != nil {
		return Link{}, err
	}
	link := Link{At: Mark{Generation: c.Generation, Commit: id}, Record: c}
	err = s.store.Put(ctx, link.At.key(), stored)
	// The name is ours alone: what is there is this record, put by a try whose
	// reply was lost, and as durable.
	if err != nil && !errors.Is(err, backend.ErrExist) {
		return Link{}, fmt.Errorf("write commit record %s: %w", link.At.key(), err)
	}
	return link, nil
}

// drop removes a record that is certainly not in the chain and never will be.
// One that stays behind does no harm.
func (s recordStore) drop(ctx context.Context, m Mark) {
	if err := s.store.Delete(ctx, m.key()); err != nil {
		s.warn(fmt.Errorf("remove commit record %s, which did not take effect: %w", m.key(), err))
	}
}

const (
	fetchFrom  = 4  // fewer records than this are read one after another
	fetchWidth = 16 // records that are read at the same time
)

// fetch reads the records of the generations from low to high, many at a time,
// whether they are in the chain or not. It is an accelerator: the chain's order
// is known only by reading it, but a List tells most likely names. What is
// missing in the result, for whatever reason, is read by who follows the chain,
// and the reason found again.
func (s recordStore) fetch(ctx context.Context, low, high uint64) map[Mark][]byte {
	var mu sync.Mutex
	found := make(map[Mark][]byte)
	var group errgroup.Group
	group.SetLimit(fetchWidth)
	for prefix := range hundreds(low, high) {
		for info, err := range s.store.List(ctx, prefix) {
			if err != nil {
				break
			}
			gen, id, err := record.ParseCommitKey(string(info.Key))
			if err != nil || gen < low || gen > high {
				continue
			}
			group.Go(func() error {
				stored, err := s.store.Get(ctx, info.Key, backend.Range{})
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					found[Mark{Generation: gen, Commit: id}] = stored
				}
				return nil
			})
		}
	}
	_ = group.Wait() // its functions return none
	return found
}

// hundreds yields prefixes that select the records from low to high, and less
// than a hundred beside them at either end.
func hundreds(low, high uint64) iter.Seq[backend.Prefix] {
	return func(yield func(backend.Prefix) bool) {
		for h := low / 100; h <= high/100; h++ {
			key := record.CommitKey(h*100, objects.ID{})
			digits := strings.IndexByte(key, '-')
			if !yield(backend.Prefix(key[:digits-2])) {
				return
			}
		}
	}
}
