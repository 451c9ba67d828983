package pace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/mem"
	"cairn/backend/pace"
)

func TestContract(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(*testing.T) backend.Backend { return pace.New(new(mem.Store), pace.Options{}) })
}

var errBroken = errors.New("connection reset")

// A line is a store behind a narrow way, which breaks every so often. Those who
// put share it evenly.
type line struct {
	mem.Store               // what is put is not kept
	rate      float64       // bytes a second
	holds     time.Duration // from one break to the next; 0: for ever

	mu       sync.Mutex
	under    map[*float64]bool // what is left of every put under way; guarded by mu
	sent     float64           // bytes; guarded by mu
	most     float64           // bytes that were under way at a time; guarded by mu
	begun    time.Time         // guarded by mu
	finished time.Time         // the last put; guarded by mu
}

// tick is how finely the line shares itself out.
const tick = 50 * time.Millisecond

// Put sends the object bit by bit, unless the line breaks.
func (l *line) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	left := new(float64)
	for _, part := range parts {
		*left += float64(len(part))
	}
	l.mu.Lock()
	if l.begun.IsZero() {
		l.begun, l.under = time.Now(), map[*float64]bool{}
	}
	l.under[left] = true
	all := 0.0
	for one := range l.under {
		all += *one
	}
	l.most = max(l.most, all)
	l.mu.Unlock()
	for {
		before := time.Now()
		time.Sleep(tick)
		l.mu.Lock()
		share := min(*left, l.rate*tick.Seconds()/float64(len(l.under)))
		*left -= share
		l.sent += share
		broken := l.holds > 0 && before.Sub(l.begun)/l.holds != time.Since(l.begun)/l.holds
		if *left == 0 || broken {
			delete(l.under, left)
			l.finished = time.Now()
		}
		done := *left == 0
		l.mu.Unlock()
		switch {
		case broken:
			return errBroken
		case done:
			return nil
		}
	}
}

// run puts total bytes as a run does, in objects of at most the given length,
// three at a time, and again whatever broke.
func run(t *testing.T, s *pace.Store, total, longest int64) (lengths []int64) {
	t.Helper()
	var group sync.WaitGroup
	content := make([]byte, longest)
	room := make(chan struct{}, 3)
	for i := 0; total > 0; i++ {
		room <- struct{}{}
		n, measured := s.Size()
		for i > 0 && !measured {
			time.Sleep(tick)
			n, measured = s.Size()
		}
		n = min(n, longest, total)
		lengths = append(lengths, n)
		total -= n
		group.Go(func() {
			defer func() { <-room }()
			for {
				err := s.Put(t.Context(), backend.Key(fmt.Sprint(i)), content[:n])
				if err == nil {
					return
				}
				if !errors.Is(err, errBroken) {
					t.Errorf("put: %v", err)
					return
				}
				time.Sleep(time.Second)
			}
		})
	}
	group.Wait()
	return lengths
}

const (
	mib     = 1 << 20
	megabit = 1e6 / 8 // bytes a second
)

// TestFollowsTheRate holds that no more is under way than goes through in
// half a minute, and that a way that is not slow is not noticed.
func TestFollowsTheRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		megabits        float64
		total, longest  int64
		objects         int
		atOnce          float64 // bytes
		seconds, within float64
	}{
		{megabits: 1000, total: 900 * mib, longest: 30 * mib, objects: 31, atOnce: 3 * 30 * mib, seconds: 7.5, within: 1.15},
		{megabits: 10, total: 300 * mib, longest: 30 * mib, objects: 30, atOnce: 37.5e6, seconds: 252, within: 1.05},
		{megabits: 1, total: 40 * mib, longest: 30 * mib, objects: 36, atOnce: 3.75e6, seconds: 336, within: 1.05},
		{megabits: 0.1, total: 8 * mib, longest: 30 * mib, objects: 8, atOnce: 1 * mib, seconds: 671, within: 1.05},
	} {
		t.Run(fmt.Sprint(c.megabits), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &line{rate: c.megabits * megabit}
				lengths := run(t, pace.New(l, pace.Options{}), c.total, c.longest)
				if len(lengths) > c.objects {
					t.Errorf("got %d objects, want at most %d: %v", len(lengths), c.objects, lengths)
				}
				if l.most > c.atOnce*1.02 {
					t.Errorf("got %.0f bytes under way, want at most %.0f", l.most, c.atOnce)
				}
				if got := l.finished.Sub(l.begun).Seconds(); got > c.seconds*c.within {
					t.Errorf("took %.1f s, want about %.1f", got, c.seconds)
				}
			})
		})
	}
}

// TestBreaks holds that less than a tenth is sent twice over a line that breaks,
// whatever it carries in between.
func TestBreaks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		megabits float64
		holds    time.Duration
		total    int64
	}{
		{1, 2 * time.Minute, 200e6},
		{4, 2 * time.Minute, 800e6},
		{20, 2 * time.Minute, 4000e6},
		{8, 30 * time.Second, 1000e6},
		{0.5, 10 * time.Minute, 300e6},
	} {
		t.Run(fmt.Sprintf("%g Mbit for %s", c.megabits, c.holds), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &line{rate: c.megabits * megabit, holds: c.holds}
				lengths := run(t, pace.New(l, pace.Options{}), c.total, 30*mib)
				twice := l.sent/float64(c.total) - 1
				t.Logf("%d objects, %.1f %% sent twice, in %s", len(lengths), 100*twice, l.finished.Sub(l.begun).Round(time.Second))
				if twice > 0.1 {
					t.Errorf("%.1f %% were sent twice, want at most a tenth; in objects of %d to %d bytes", 100*twice, slices.Min(lengths), slices.Max(lengths))
				}
			})
		})
	}
}

// TestGivesUpWaiting: whoever waits for room and is not wanted any more does not
// wait on.
func TestGivesUpWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pace.New(&line{rate: megabit}, pace.Options{})
		var group sync.WaitGroup
		group.Go(func() {
			if err := s.Put(t.Context(), "a", make([]byte, 2*mib)); err != nil {
				t.Errorf("put: %v", err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := s.Put(ctx, "b", make([]byte, 2*mib)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("put: got %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("gave up after %s, want a second", took)
		}
		if err := s.Put(t.Context(), "c", make([]byte, pace.Least-1)); err != nil {
			t.Errorf("put of what is short: %v", err)
		}
		group.Wait()
	})
}
