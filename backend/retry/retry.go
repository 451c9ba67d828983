// Package retry repeats the calls on a store that may succeed when repeated.
package retry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"cairn/backend"
)

// Options of New and NewRegister. The zero value is useful.
type Options struct {
	// Patience bounds how long one call is repeated; 0 means 15 minutes.
	Patience time.Duration
	// Peer, unless nil, is who is called. Until it has answered once, whatever it
	// said, a call is repeated for Greeting only; 0 means 20 seconds.
	Peer     *Peer
	Greeting time.Duration
	// FirstWait is the mean wait before the second attempt; every further one
	// is half as long again, up to MaxWait. 0 means 500 milliseconds.
	FirstWait time.Duration
	// MaxWait bounds the mean wait; 0 means 30 seconds.
	MaxWait time.Duration
	// Notify, unless nil, is called before each wait, concurrently by
	// concurrent calls.
	Notify func(Wait)
}

// A Peer remembers whether a store has ever answered: an address that nobody
// answers at is rather a mistake than an outage, and no reason to wait for long.
// The zero value has not met it. Everything that stands on one store shares one.
type Peer struct{ answered atomic.Bool }

// patience returns how long a call is repeated.
func (o Options) patience() time.Duration {
	if o.Peer == nil || o.Peer.answered.Load() {
		return o.Patience
	}
	return min(o.Greeting, o.Patience)
}

// answer takes note of what an attempt ended in.
func (o Options) answer(err error) {
	var later *backend.LaterError
	if o.Peer != nil && (err == nil || backend.Permanent(err) || errors.As(err, &later)) {
		o.Peer.answered.Store(true)
	}
}

// final reports whether there is no use in repeating what ended in err.
func (o Options) final(ctx context.Context, err error) bool {
	return backend.Permanent(err) || ctx.Err() != nil ||
		errors.Is(err, backend.ErrNowhere) && o.Peer != nil && !o.Peer.answered.Load()
}

// Wait describes what a call is about to wait for.
type Wait struct {
	Op    string        // the method's name in lower case
	Key   backend.Key   // or prefix, or "head" for the register
	Err   error         // why the last attempt failed
	Pause time.Duration // until the next one
}

// Store is a backend.Backend that repeats the calls of another. An error that
// is backend.Permanent is answered at once, and so is the end of the context, and
// an ErrNowhere of a Peer that has never answered. A *backend.LaterError says
// itself how long the wait is.
type Store struct {
	under   backend.Backend
	options Options
}

// New returns a Store that stands on under, and closes it.
func New(under backend.Backend, o Options) *Store {
	return &Store{under: under, options: o.withDefaults()}
}

// Put implements backend.Backend. An attempt that fails without a clear answer
// may have made the object nevertheless. So ErrExist after one is success, but
// only when the object's length is right. Two who put one key at the same time
// may then both succeed: keys must stand for their bytes, or be unique.
func (s *Store) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	unclear := false
	_, err := repeat(ctx, s.options, "put", key, func() (struct{}, error) {
		err := s.under.Put(ctx, key, parts...)
		if unclear && errors.Is(err, backend.ErrExist) {
			err = s.verify(ctx, key, parts)
		}
		unclear = unclear || err != nil && !backend.Permanent(err)
		return struct{}{}, err
	})
	return err
}

// verify returns nil if the object that is there may be the one just put.
func (s *Store) verify(ctx context.Context, key backend.Key, parts [][]byte) error {
	info, err := s.under.Stat(ctx, key)
	if err != nil {
		return err
	}
	var want int64
	for _, part := range parts {
		want += int64(len(part))
	}
	if info.Size != want {
		return fmt.Errorf("put %s: %w with %d bytes instead of %d", key, backend.ErrExist, info.Size, want)
	}
	return nil
}

// Get implements backend.Backend.
func (s *Store) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	return repeat(ctx, s.options, "get", key, func() ([]byte, error) { return s.under.Get(ctx, key, r) })
}

// Stat implements backend.Backend.
func (s *Store) Stat(ctx context.Context, key backend.Key) (backend.Info, error) {
	return repeat(ctx, s.options, "stat", key, func() (backend.Info, error) { return s.under.Stat(ctx, key) })
}

// Delete implements backend.Backend.
func (s *Store) Delete(ctx context.Context, key backend.Key) error {
	_, err := repeat(ctx, s.options, "delete", key, func() (struct{}, error) {
		return struct{}{}, s.under.Delete(ctx, key)
	})
	return err
}

// Close implements backend.Backend. It is not repeated.
func (s *Store) Close() error { return s.under.Close() }

// List implements backend.Backend. A listing that breaks off is begun anew, and
// goes on behind the last object it yielded; each one it yields renews its
// patience.
func (s *Store) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		l := listing{under: s.under, prefix: prefix, yield: yield}
		for !l.done {
			_, err := repeat(ctx, s.options, "list", backend.Key(prefix), func() (struct{}, error) {
				return struct{}{}, l.run(ctx)
			})
			if err != nil {
				yield(backend.Info{}, err)
				return
			}
		}
	}
}

// A listing is one call of List over all its attempts.
type listing struct {
	under  backend.Backend
	prefix backend.Prefix
	yield  func(backend.Info, error) bool
	last   backend.Key // the last one yielded
	done   bool        // nothing is left, or wanted
}

// run is one attempt. One that came forward before it failed counts as success.
func (l *listing) run(ctx context.Context) error {
	begun := l.last
	for info, err := range l.under.List(ctx, l.prefix) {
		switch {
		case err != nil && l.last != begun && !backend.Permanent(err) && ctx.Err() == nil:
			return nil
		case err != nil:
			return err
		case info.Key <= l.last:
			continue // seen in an earlier attempt
		}
		l.last = info.Key
		if !l.yield(info, nil) {
			break
		}
	}
	l.done = true
	return nil
}

func (o Options) withDefaults() Options {
	if o.Patience == 0 {
		o.Patience = 15 * time.Minute
	}
	if o.Greeting == 0 {
		o.Greeting = 20 * time.Second
	}
	if o.FirstWait == 0 {
		o.FirstWait = 500 * time.Millisecond
	}
	if o.MaxWait == 0 {
		o.MaxWait = 30 * time.Second
	}
	return o
}

// askedToWait makes the library wait for as long as a store asks for.
type askedToWait struct {
	error
	wait *backoff.RetryAfterError
}

// Unwrap returns both.
func (e askedToWait) Unwrap() []error { return []error{e.error, e.wait} }

// repeat calls attempt until it succeeds, fails for good, or patience or
// context end. It answers the last attempt's error, and the context's.
func repeat[T any](ctx context.Context, o Options, op string, key backend.Key, attempt func() (T, error)) (T, error) {
	var last error
	result, err := backoff.Retry(ctx,
		func() (T, error) {
			var result T
			result, last = attempt()
			o.answer(last)
			var later *backend.LaterError
			switch {
			case last != nil && o.final(ctx, last):
				return result, backoff.Permanent(last)
			case errors.As(last, &later):
				return result, askedToWait{last, &backoff.RetryAfterError{Duration: later.After}}
			}
			return result, last
		},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval:     o.FirstWait,
			RandomizationFactor: backoff.DefaultRandomizationFactor,
			Multiplier:          backoff.DefaultMultiplier,
			MaxInterval:         o.MaxWait,
		}),
		backoff.WithMaxElapsedTime(o.patience()),
		backoff.WithNotify(func(err error, pause time.Duration) {
			if o.Notify != nil {
				o.Notify(Wait{Op: op, Key: key, Err: err, Pause: pause})
			}
		}),
	)
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil && !errors.Is(last, err): // it ended during a wait
		return result, fmt.Errorf("%w while waiting to repeat: %w", err, last)
	}
	return result, last
}
