package locking_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"cairn/backend"
	"cairn/locking"
)

// host is a process after another on a machine, and the network between them and
// the store.
type host struct {
	*world
	machine   *machine
	namespace uint64 // processes of others cannot be told
	name      string
	skew      time.Duration // of its wall clock
	reliable  bool          // nothing goes wrong

	mu     sync.Mutex
	rng    *rand.Rand // guarded by mu
	paused time.Time  // until then nothing goes on; guarded by mu
	fuse   int        // requests until the process crashes; guarded by mu
}

// live runs a few processes, one after another.
func (h *host) live(ctx context.Context) {
	for n := range 3 {
		ctx, kill := context.WithCancel(ctx)
		p := h.process(fmt.Sprint(h.name, "/", n), kill)
		h.mu.Lock()
		h.fuse = 1000
		if h.rng.IntN(2) == 0 {
			h.fuse = h.rng.IntN(60)
		}
		h.mu.Unlock()
		for r := 0; r < 3 && ctx.Err() == nil; r++ {
			p.oneRun(ctx, r)
			_ = h.sleep(ctx, time.Hour)
		}
		h.machine.kill(h)
	}
}

// process returns a new process of the host, which kill ends.
func (h *host) process(name string, kill context.CancelFunc) *process {
	self := h.machine.start(h, kill)
	h.world.mu.Lock()
	h.processes[name] = self
	h.world.mu.Unlock()
	p := &process{host: h, name: name, cache: newCache()}
	p.chain = h.open(func(o *locking.Options) {
		o.Register, o.Records = p, h
		o.Self, o.Look = self, func(q locking.Process) locking.Liveness { return h.look(self, q) }
		o.Now = func() time.Time { return time.Now().Add(h.skew) }
		o.Timing = locking.Timing{MinPoll: 5 * time.Second, MaxPoll: time.Minute}
	})
	return p
}

func (h *host) intn(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(n)
}

func (h *host) chance(n, of int) bool { return h.intn(of) < n }

// mishap is chance, for what goes wrong.
func (h *host) mishap(n, of int) bool { return h.chance(n, of) && !h.reliable }

// sleep waits for up to most, and for as long as the host is paused.
func (h *host) sleep(ctx context.Context, most time.Duration) error {
	h.mu.Lock()
	d := max(time.Duration(h.rng.Int64N(int64(most))), time.Until(h.paused))
	h.mu.Unlock()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// work takes some time, and sometimes the host is paused in it.
func (h *host) work(ctx context.Context) error {
	if h.mishap(1, 8) {
		h.mu.Lock()
		h.paused = time.Now().Add(time.Duration(h.rng.IntN(90)) * time.Minute)
		h.mu.Unlock()
	}
	return h.sleep(ctx, 5*time.Minute)
}

// burn is one half of a request's way. It is where processes crash, and where
// most pauses begin: with a request under way that is sent when they are over.
func (h *host) burn(ctx context.Context) error {
	if h.reliable {
		return ctx.Err()
	}
	h.mu.Lock()
	h.fuse--
	crashes := h.fuse == 0
	reboots := crashes && h.rng.IntN(4) == 0
	if h.rng.IntN(150) == 0 {
		h.paused = time.Now().Add(time.Duration(h.rng.IntN(90)) * time.Minute)
	}
	h.mu.Unlock()
	if crashes {
		h.count(func(t *tally) { t.Crashes++ })
		h.machine.kill(h)
		if reboots {
			h.machine.reboot()
		}
	}
	return h.sleep(ctx, 4*time.Second)
}

// request carries one request to the store and back. Where it changes something
// that may happen late, or once more and late.
func (h *host) request(ctx context.Context, do func() error, changes bool) error {
	if err := h.burn(ctx); err != nil {
		return err
	}
	again := func(f func(*tally)) {
		h.count(f)
		delay := time.Duration(h.intn(8*60)) * time.Minute
		h.late.Go(func() {
			time.Sleep(delay)
			_ = do() // nobody hears the answer
		})
	}
	if h.mishap(1, 40) {
		if changes && h.chance(1, 2) {
			again(func(t *tally) { t.Late++ })
		}
		return fmt.Errorf("request lost: %w", backend.ErrUnavailable)
	}
	err := do()
	if changes && h.mishap(1, 6) {
		again(func(t *tally) { t.Doubled++ })
	}
	if err2 := h.burn(ctx); err2 != nil {
		return err2
	}
	if h.mishap(1, 40) {
		return fmt.Errorf("reply lost: %w", backend.ErrUnavailable)
	}
	return err
}

func (h *host) Load(ctx context.Context, ifChanged backend.Tag) (value []byte, tag backend.Tag, err error) {
	err = h.request(ctx, func() error {
		value, tag, err = h.store.Load(ctx, ifChanged)
		return err
	}, false)
	if err != nil {
		return nil, "", err
	}
	return value, tag, nil
}

// Swap is a swap of the process.
func (p *process) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	h := p.host
	if err := h.burn(ctx); err != nil {
		return "", err // not sent
	}
	if h.reliable {
		return h.swap(p.name, old, value)
	}
	value = slices.Clone(value)
	switch h.intn(20) {
	case 0:
		return "", fmt.Errorf("request lost: %w", backend.ErrUnknown)
	case 1, 2:
		h.count(func(t *tally) { t.Late++ })
		delay := time.Duration(h.intn(600)) * time.Second
		h.late.Go(func() {
			time.Sleep(delay)
			_, _ = h.swap(p.name, old, value) // nobody hears the answer
		})
		return "", fmt.Errorf("request late: %w", backend.ErrUnknown)
	}
	tag, err := h.swap(p.name, old, value)
	if ended := h.burn(ctx); ended != nil {
		return "", fmt.Errorf("%w: %w", backend.ErrUnknown, ended)
	}
	if h.chance(1, 15) || err != nil && h.chance(1, 2) {
		return "", fmt.Errorf("reply lost: %w", backend.ErrUnknown)
	}
	return tag, err
}

func (h *host) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	data := slices.Concat(parts...)
	return h.request(ctx, func() error { return h.put(key, data) }, true)
}

func (h *host) Get(ctx context.Context, key backend.Key, r backend.Range) (data []byte, err error) {
	err = h.request(ctx, func() error {
		data, err = h.store.Get(ctx, key, r)
		return err
	}, false)
	return data, err
}

func (h *host) Delete(ctx context.Context, key backend.Key) error {
	return h.request(ctx, func() error { return h.delete(key) }, true)
}

func (h *host) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	return h.store.List(ctx, prefix)
}
