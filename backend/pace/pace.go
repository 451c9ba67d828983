// Package pace keeps what is on its way to a store within what the way carries.
//
// A put whose connection breaks is lost as a whole and sent again. So what is
// under way at a time is held to what the way carries in half a minute, as it was
// measured; and on a line that breaks again and again, to a small part of what
// it carries from one break to the next, so that little is sent twice.
package pace

import (
	"context"
	"sync"
	"time"

	"cairn/backend"
)

const (
	// Least is the length, bytes, below which there is no use in making objects
	// shorter. Shorter ones are not held up, and say nothing of the way: they
	// measure how far it is.
	Least = 1 << 20
	// share says which part of what goes through between two breaks is under way
	// at most. A break loses between none and all of it.
	share = 16
)

// Options of New. The zero value is useful.
type Options struct {
	// Span is how long what is under way takes at most, at the measured rate; 0
	// means half a minute.
	Span time.Duration
	// Puts is how many long objects are meant to be under way at a time; 0 means
	// 3. What is under way is shared out among so many, as long as that leaves
	// Least for each of them; on slower ways it is fewer.
	Puts int
}

// Store is a backend.Backend that holds up the puts of another. It stands below
// what repeats them: each attempt is measured by itself.
type Store struct {
	backend.Backend
	o Options

	mu      sync.Mutex
	moved   chan struct{} // closed, and made anew, when a put has ended; guarded by mu
	puts    int           // under way; guarded by mu
	bytes   int64         // of these; guarded by mu
	measure measure       // guarded by mu
	breaks  breaks        // guarded by mu
}

// New returns a Store that stands on under, and closes it.
func New(under backend.Backend, o Options) *Store {
	if o.Span == 0 {
		o.Span = 30 * time.Second
	}
	if o.Puts == 0 {
		o.Puts = 3
	}
	return &Store{Backend: under, o: o, moved: make(chan struct{})}
}

// Put implements backend.Backend. It waits until the object fits into what may
// be under way, or nothing else is.
func (s *Store) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	var n int64
	for _, part := range parts {
		n += int64(len(part))
	}
	if n < Least {
		return s.Backend.Put(ctx, key, parts...)
	}
	p, err := s.begin(ctx, n)
	if err != nil {
		return err
	}
	err = s.Backend.Put(ctx, key, parts...)
	s.end(p, err, ctx.Err() == nil)
	return err
}

// A put is one that is under way.
type put struct {
	bytes int64
	begun time.Time
	clock time.Duration // of the measure, then
}

// begin returns when n bytes more may be on their way.
func (s *Store) begin(ctx context.Context, n int64) (put, error) {
	for {
		s.mu.Lock()
		if s.puts == 0 || s.bytes+n <= s.room() {
			now := s.step(1, n)
			s.breaks.begin(now)
			p := put{bytes: n, begun: now, clock: s.measure.clock}
			s.mu.Unlock()
			return p, nil
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return put{}, ctx.Err()
		}
	}
}

// end takes note of what became of a put, which was wanted until then or not.
func (s *Store) end(p put, err error, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.step(-1, -p.bytes)
	switch {
	case err == nil:
		s.measure.add(p.bytes, s.measure.clock-p.clock)
	case wanted && !backend.Permanent(err):
		s.breaks.add(p.begun, now)
	}
	close(s.moved)
	s.moved = make(chan struct{})
}

// step takes note of puts that begin or end, and returns the time. It needs mu.
func (s *Store) step(puts int, bytes int64) time.Time {
	now := time.Now()
	s.measure.tick(now, s.puts)
	s.puts += puts
	s.bytes += bytes
	return now
}

// room returns how many bytes may be on their way. It needs mu.
func (s *Store) room() int64 {
	return int64(s.measure.rate() * s.breaks.span(s.o.Span, time.Now()).Seconds())
}

// Size returns how long an object should be for now, bytes; measured is false as
// long as nobody knows, because no object of at least that length has come
// through yet.
func (s *Store) Size() (n int64, measured bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(Least, s.room()/int64(s.o.Puts)), s.measure.bytes > 0
}

// measure is how fast the puts were that came through. Those that are under way
// at the same time share the way evenly.
type measure struct {
	clock time.Duration // how long a put that was always under way would have had the way to itself
	at    time.Time     // when clock was brought up to date
	bytes float64       // that came through, each put counting half of the one after it
	took  float64       // how long they would have had the way to themselves, seconds
}

// tick brings the clock up to date, since when so many puts have been under way.
func (m *measure) tick(now time.Time, puts int) {
	if puts > 0 {
		m.clock += now.Sub(m.at) / time.Duration(puts)
	}
	m.at = now
}

// add takes note of a put of n bytes that came through.
func (m *measure) add(n int64, took time.Duration) {
	m.bytes = m.bytes/2 + float64(n)
	m.took = m.took/2 + took.Seconds()
}

// rate returns bytes a second; 0 as long as nothing is known.
func (m *measure) rate() float64 {
	if m.bytes == 0 {
		return 0
	}
	return m.bytes / max(m.took, time.Microsecond.Seconds())
}

// breaks is how often the way breaks.
type breaks struct {
	last time.Time     // when it broke, or the first put began
	kept time.Duration // how long it had held until it broke; 0: it never did
}

// begin takes note of a put that begins.
func (b *breaks) begin(now time.Time) {
	if b.last.IsZero() {
		b.last = now
	}
}

// add takes note of a put that was interrupted. Several that were under way were
// interrupted by one break.
func (b *breaks) add(begun, now time.Time) {
	if !begun.Before(b.last) {
		b.kept, b.last = now.Sub(b.last), now
	}
}

// span returns how long what is under way may take: most, where nothing breaks.
func (b *breaks) span(most time.Duration, now time.Time) time.Duration {
	if b.kept == 0 {
		return most
	}
	return min(most, max(b.kept, now.Sub(b.last))/share)
}
