package mem

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"cairn/backend"
)

// Op is a kind of request.
type Op int

// The kinds of requests, one for each method but Close.
const (
	Put Op = iota
	Get
	Stat
	List
	Delete
	Load
	Swap
	numOps
)

// String returns the method's name in lower case.
func (o Op) String() string {
	return [numOps]string{"put", "get", "stat", "list", "delete", "load", "swap"}[o]
}

// Moment says on which side of its effect an operation stands.
type Moment int

// An error Before leaves the store as it was, like a request that was lost; one
// After loses the reply to a request that had its effect.
const (
	Before Moment = iota
	After
)

// A Hook is called Before each operation, and After each one that succeeded. The
// operation answers the hook's error instead of what it would have. The hook
// may be called concurrently, and may block or use the store; key is the prefix
// for List, and "head" for the register.
type Hook func(op Op, key backend.Key, at Moment) error

// FailNth returns a Hook that answers err to the nth op, counted from 1, at the
// given moment, and lets everything else pass.
func FailNth(op Op, n int64, at Moment, err error) Hook {
	var seen atomic.Int64
	return func(o Op, _ backend.Key, m Moment) error {
		if o == op && m == at && seen.Add(1) == n {
			return err
		}
		return nil
	}
}

// FailFrom is FailNth for the nth op and all that come after it.
func FailFrom(op Op, n int64, at Moment, err error) Hook {
	var seen atomic.Int64
	return func(o Op, _ backend.Key, m Moment) error {
		if o == op && m == at && seen.Add(1) >= n {
			return err
		}
		return nil
	}
}

// Faults yields a Hook, under a name, for every way in which a run can meet err
// that makes the requests that s has counted: each of the given kinds, and one
// more of it, fails once or from then on, before or after it took effect. Of
// these it yields one in every so many requests.
func (s *Store) Faults(err error, every int, ops ...Op) iter.Seq2[string, Hook] {
	return func(yield func(string, Hook) bool) {
		for _, op := range ops {
			for n := range s.Count(op) + 1 { // some requests come only after a failure
				for _, at := range []Moment{Before, After} {
					if (n+int(at))%every != 0 {
						continue
					}
					name := fmt.Sprintf("%s-%d-%d-", op, n+1, at)
					if !yield(name+"once", FailNth(op, int64(n)+1, at, err)) || !yield(name+"forever", FailFrom(op, int64(n)+1, at, err)) {
						return
					}
				}
			}
		}
	}
}

// Count returns how many requests of the kind op there were, failed ones
// included. A whole List is one.
func (s *Store) Count(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

// Total returns how many requests of all kinds there were.
func (s *Store) Total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, count := range s.counts {
		n += count
	}
	return n
}

// ResetCounts sets every count to zero.
func (s *Store) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = [numOps]int{}
}

// do runs one operation: effect under the lock, the hook around it without.
// invalid is what is wrong with the arguments; such a call is no request.
func (s *Store) do(ctx context.Context, op Op, key backend.Key, invalid error, effect func() error) error {
	err := invalid
	if err == nil {
		err = s.request(ctx, op, key, effect)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

func (s *Store) request(ctx context.Context, op Op, key backend.Key, effect func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.counts[op]++
	s.mu.Unlock()

	if err := s.hook(op, key, Before); err != nil {
		return err
	}
	s.mu.Lock()
	err := effect()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = s.hook(op, key, After)
	if err != nil && op == Swap {
		return fmt.Errorf("%w: %w", backend.ErrUnknown, err)
	}
	return err
}

func (s *Store) hook(op Op, key backend.Key, at Moment) error {
	if s.Hook == nil {
		return nil
	}
	return s.Hook(op, key, at)
}
