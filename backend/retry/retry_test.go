package retry_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/mem"
	"cairn/backend/retry"
)

var errPassing = errors.New("connection reset")

func TestContract(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(*testing.T) backend.Backend { return retry.New(new(mem.Store), retry.Options{}) })
}

// TestContractOverFaults holds the contract while every third request but Put
// fails, by turns before and after it took effect. A Put that was repeated
// cannot tell its own object from another's of the same length.
func TestContractOverFaults(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(*testing.T) backend.Backend {
		return retry.New(&mem.Store{Hook: everyThird()}, retry.Options{FirstWait: time.Microsecond})
	})
}

func everyThird() mem.Hook {
	var seen atomic.Int64
	return func(op mem.Op, _ backend.Key, _ mem.Moment) error {
		if op != mem.Put && seen.Add(1)%3 == 0 {
			return errPassing
		}
		return nil
	}
}

func TestRegisterContract(t *testing.T) {
	t.Parallel()
	backendtest.RunRegister(t, func(*testing.T) backendtest.Register {
		return retry.NewRegister(new(mem.Store), retry.Options{})
	})
}

func TestPutWhoseReplyWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Hook: mem.FailNth(mem.Put, 1, mem.After, errPassing)}
		if err := retry.New(s, retry.Options{}).Put(t.Context(), "k", []byte("ab"), []byte("c")); err != nil {
			t.Errorf("put: got %v, want success", err)
		}
		if puts, stats := s.Count(mem.Put), s.Count(mem.Stat); puts != 2 || stats != 1 {
			t.Errorf("got %d puts and %d stats, want 2 and 1", puts, stats)
		}
	})
}

func TestPutOverAnotherLengthIsNoSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Hook: mem.FailNth(mem.Put, 2, mem.Before, errPassing)}
		if err := s.Put(t.Context(), "k", []byte("someone else's")); err != nil {
			t.Fatal(err)
		}
		err := retry.New(s, retry.Options{}).Put(t.Context(), "k", []byte("mine"))
		if !errors.Is(err, backend.ErrExist) {
			t.Errorf("put: got %v, want ErrExist", err)
		}
	})
}

func TestPutThatFindsAnObjectAtFirst(t *testing.T) {
	t.Parallel()
	s := new(mem.Store)
	r := retry.New(s, retry.Options{})
	if err := r.Put(t.Context(), "k", []byte("same")); err != nil {
		t.Fatal(err)
	}
	if err := r.Put(t.Context(), "k", []byte("same")); !errors.Is(err, backend.ErrExist) {
		t.Errorf("put: got %v, want ErrExist", err)
	}
	if got := s.Count(mem.Stat); got != 0 {
		t.Errorf("got %d stats, want none", got)
	}
}

func TestPermanentErrorsAreAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	for _, want := range []error{backend.ErrNotExist, backend.ErrFull, backend.ErrDenied, backend.ErrInvalid, &backend.ShortError{}} {
		s := &mem.Store{Hook: func(mem.Op, backend.Key, mem.Moment) error { return want }}
		r := retry.New(s, retry.Options{Notify: func(w retry.Wait) { t.Errorf("waits for %+v, want no wait", w) }})
		if _, err := r.Get(t.Context(), "k", backend.Range{}); !errors.Is(err, want) {
			t.Errorf("get: got %v, want %v", err, want)
		}
		if got := s.Count(mem.Get); got != 1 {
			t.Errorf("%v: got %d attempts, want 1", want, got)
		}
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Hook: func(mem.Op, backend.Key, mem.Moment) error { return errPassing }}
		var waits []retry.Wait
		r := retry.New(s, retry.Options{
			Patience: time.Minute, FirstWait: time.Second, MaxWait: 10 * time.Second,
			Notify: func(w retry.Wait) { waits = append(waits, w) },
		})
		start := time.Now()
		if _, err := r.Stat(t.Context(), "k"); !errors.Is(err, errPassing) {
			t.Errorf("stat: got %v, want the last error", err)
		}
		if took := time.Since(start); took > time.Minute || took < 40*time.Second {
			t.Errorf("gave up after %v, want close to a minute", took)
		}
		var sum time.Duration
		for _, w := range waits {
			if w.Op != "stat" || w.Key != "k" || !errors.Is(w.Err, errPassing) || w.Pause > 15*time.Second {
				t.Errorf("notified of %+v, want a stat of k and at most 15 s", w)
			}
			sum += w.Pause
		}
		if took := time.Since(start); sum != took || len(waits) != s.Count(mem.Stat)-1 {
			t.Errorf("%d waits of %v in sum, want %d of %v", len(waits), sum, s.Count(mem.Stat)-1, took)
		}
	})
}

// TestWhoNeverAnswered: a store that has never answered is given up soon, and
// one that has, with whatever, is waited for.
func TestWhoNeverAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Hook: func(mem.Op, backend.Key, mem.Moment) error { return errPassing }}
		o := retry.Options{Peer: new(retry.Peer), Greeting: 10 * time.Second, Patience: time.Minute}
		store, register := retry.New(s, o), retry.NewRegister(s, o)
		took := func() time.Duration {
			begun := time.Now()
			if _, err := store.Stat(t.Context(), "k"); !errors.Is(err, errPassing) {
				t.Errorf("stat: got %v, want the last error", err)
			}
			return time.Since(begun)
		}
		if got := took(); got > 10*time.Second {
			t.Errorf("gave up after %v, want at most the greeting", got)
		}
		hook := s.Hook
		s.Hook = nil
		if _, _, err := register.Load(t.Context(), ""); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("load: got %v, want ErrNotExist", err)
		}
		s.Hook = hook
		if got := took(); got < 30*time.Second {
			t.Errorf("gave up after %v, want close to a minute", got)
		}
	})
}

// TestComesAgainWhenAsked: who is asked to come again later does so then, and
// whoever asks has answered.
func TestComesAgainWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks := 3
		busy := fmt.Errorf("get: %w", &backend.LaterError{After: 2 * time.Minute, Err: backend.ErrUnavailable})
		s := &mem.Store{Hook: func(op mem.Op, _ backend.Key, at mem.Moment) error {
			if op == mem.Get && at == mem.Before && asks > 0 {
				asks--
				return busy
			}
			return nil
		}}
		var told []time.Duration
		peer := new(retry.Peer)
		r := retry.New(s, retry.Options{
			Peer: peer, Greeting: 3 * time.Minute, MaxWait: time.Second,
			Notify: func(w retry.Wait) { told = append(told, w.Pause) },
		})
		begun := time.Now()
		_, err := r.Get(t.Context(), "k", backend.Range{})
		if !errors.Is(err, backend.ErrUnavailable) || err.Error() != "get k: get: store is unavailable" || time.Since(begun) != 2*time.Minute {
			t.Errorf("get of a stranger: got %v after %s, want what the store said after one wait", err, time.Since(begun))
		}
		begun, told = time.Now(), nil
		if _, err := r.Get(t.Context(), "k", backend.Range{}); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("get: got %v, want %v", err, backend.ErrNotExist)
		}
		if took := time.Since(begun); took != 2*time.Minute || !slices.Equal(told, []time.Duration{2 * time.Minute}) {
			t.Errorf("came again after %s, in waits of %v, want as long as it was asked to", took, told)
		}
	})
}

// TestNowhere: a name that nobody has is a mistake of who typed it, unless
// somebody has answered to it before.
func TestNowhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		there := false
		s := &mem.Store{Hook: func(mem.Op, backend.Key, mem.Moment) error {
			if there {
				return nil
			}
			return fmt.Errorf("%w for store.example", backend.ErrNowhere)
		}}
		r := retry.New(s, retry.Options{Peer: new(retry.Peer), Patience: time.Minute})
		begun := time.Now()
		if _, err := r.Stat(t.Context(), "k"); !errors.Is(err, backend.ErrUnavailable) || time.Since(begun) != 0 {
			t.Errorf("at first: got %v after %s, want it at once", err, time.Since(begun))
		}
		there = true
		if _, err := r.Stat(t.Context(), "k"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("stat: got %v", err)
		}
		there = false
		if _, err := r.Stat(t.Context(), "k"); !errors.Is(err, backend.ErrNowhere) || time.Since(begun) < 30*time.Second {
			t.Errorf("later: got %v after %s, want about a minute", err, time.Since(begun))
		}
	})
}

func TestContextEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &mem.Store{Hook: func(mem.Op, backend.Key, mem.Moment) error { return errPassing }}
		r := retry.New(s, retry.Options{Notify: func(retry.Wait) { cancel() }})
		start := time.Now()
		_, err := r.Get(ctx, "k", backend.Range{})
		if !errors.Is(err, context.Canceled) || !errors.Is(err, errPassing) {
			t.Errorf("get: got %v, want the context's error and the last one", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("cancelled after %v, want at once", took)
		}
	})
}

// breaking is a Store whose listings break off.
type breaking struct {
	*mem.Store
	after []int // how many objects each listing yields; the last ones are whole
}

func (b *breaking) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		left := -1
		if len(b.after) > 0 {
			left, b.after = b.after[0], b.after[1:]
		}
		for info, err := range b.Store.List(ctx, prefix) {
			if left == 0 {
				yield(backend.Info{}, errPassing)
				return
			}
			left--
			if !yield(info, err) {
				return
			}
		}
	}
}

func TestListGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &breaking{Store: new(mem.Store), after: []int{0, 3, 2, 4, 9}}
		var want, got []backend.Key
		for i := range 10 {
			want = append(want, backend.Key(fmt.Sprintf("k%d", i)))
			if err := s.Put(t.Context(), want[i]); err != nil {
				t.Fatal(err)
			}
		}
		for info, err := range retry.New(s, retry.Options{}).List(t.Context(), "k") {
			if err != nil {
				t.Fatalf("list: %v", err)
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("list: got %v, want %v", got, want)
		}
	})
}

func TestLoadIsRepeatedAndSwapIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &mem.Store{Hook: func(op mem.Op, key backend.Key, at mem.Moment) error { return nil }}
		r := retry.NewRegister(s, retry.Options{})
		s.Hook = mem.FailNth(mem.Swap, 1, mem.Before, errPassing)
		if _, err := r.Swap(t.Context(), "", []byte("v")); !errors.Is(err, errPassing) || s.Count(mem.Swap) != 1 {
			t.Errorf("swap: got %v after %d attempts, want one that fails", err, s.Count(mem.Swap))
		}
		if _, err := r.Swap(t.Context(), "", []byte("v")); err != nil {
			t.Fatal(err)
		}
		s.Hook = mem.FailNth(mem.Load, 1, mem.After, errPassing)
		if value, _, err := r.Load(t.Context(), ""); string(value) != "v" || err != nil || s.Count(mem.Load) != 2 {
			t.Errorf("load: got %q, %v after %d attempts, want v after 2", value, err, s.Count(mem.Load))
		}
	})
}
