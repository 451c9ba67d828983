package probe_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/backend/probe"
)

// cell is a register in memory that can be made worse.
type cell struct {
	*mem.Store
	swap    func(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error)
	removed *int
}

func (c *cell) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	return c.swap(ctx, old, value)
}

func (c *cell) Remove(context.Context) error { *c.removed++; return nil }

// force swaps value in whatever is there.
func (c *cell) force(ctx context.Context, value []byte) (backend.Tag, error) {
	for {
		_, tag, err := c.Load(ctx, "")
		if err != nil && !errors.Is(err, backend.ErrNotExist) {
			return "", err
		}
		if tag, err = c.Store.Swap(ctx, tag, value); !errors.Is(err, backend.ErrConflict) {
			return tag, err
		}
	}
}

// run probes cells that worsen has made worse.
func run(t *testing.T, worsen func(*cell)) (probe.Verdict, error) {
	t.Helper()
	made, removed := 0, 0
	verdict, err := probe.Run(t.Context(), probe.Thorough, func() (probe.Cell, error) {
		made++
		c := &cell{Store: new(mem.Store), removed: &removed}
		c.swap = c.Store.Swap
		worsen(c)
		return c, nil
	})
	if made == 0 || removed != made {
		t.Errorf("made %d cells and removed %d, want all of them", made, removed)
	}
	return verdict, err
}

func want(t *testing.T, want probe.Verdict, worsen func(*cell)) {
	t.Helper()
	if got, err := run(t, worsen); got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestGoodRegister(t *testing.T) {
	t.Parallel()
	want(t, probe.CAS, func(*cell) {})
}

// TestUnsureRegister: a register may answer that it does not know.
func TestUnsureRegister(t *testing.T) {
	t.Parallel()
	want(t, probe.CAS, func(c *cell) {
		c.swap = func(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
			_, err := c.Store.Swap(ctx, old, value)
			return "", errors.Join(backend.ErrUnknown, err)
		}
	})
}

func TestIgnoresConditions(t *testing.T) {
	t.Parallel()
	want(t, probe.None, func(c *cell) {
		c.swap = func(ctx context.Context, _ backend.Tag, value []byte) (backend.Tag, error) {
			return c.force(ctx, value)
		}
	})
}

func TestIgnoresTagsOnly(t *testing.T) {
	t.Parallel()
	want(t, probe.CreateOnly, func(c *cell) {
		c.swap = func(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
			if old == "" {
				return c.Store.Swap(ctx, old, value)
			}
			return c.force(ctx, value)
		}
	})
}

// TestSaysNoAndDoes: the answer alone proves nothing.
func TestSaysNoAndDoes(t *testing.T) {
	t.Parallel()
	want(t, probe.None, func(c *cell) {
		c.swap = func(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
			tag, err := c.Store.Swap(ctx, old, value)
			if errors.Is(err, backend.ErrConflict) {
				_, _ = c.force(ctx, value)
			}
			return tag, err
		}
	})
}

// TestLooksBeforeItWrites: one request after the other is answered as it should
// be; only a race tells.
func TestLooksBeforeItWrites(t *testing.T) {
	t.Parallel()
	want(t, probe.None, func(c *cell) {
		var mu sync.Mutex
		looking, looked := 0, sync.NewCond(&mu)
		c.swap = func(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
			_, tag, err := c.Load(ctx, "")
			if err != nil && !errors.Is(err, backend.ErrNotExist) {
				return "", err
			}
			if tag != old {
				return "", backend.ErrConflict
			}
			mu.Lock()
			for looking++; looking < 2; {
				looked.Wait()
			}
			looked.Broadcast()
			mu.Unlock()
			return c.force(ctx, value)
		}
	})
}

// TestUnreachable: that a store cannot be asked is no verdict.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	_, err := run(t, func(c *cell) {
		c.swap = func(context.Context, backend.Tag, []byte) (backend.Tag, error) { return "", backend.ErrDenied }
	})
	if !errors.Is(err, backend.ErrDenied) {
		t.Errorf("got %v, want ErrDenied", err)
	}
}
