package locking

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

// A Register is the one cell of a store that changes; package backend holds
// its contract.
type Register interface {
	Load(ctx context.Context, ifChanged backend.Tag) (value []byte, tag backend.Tag, err error)
	Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error)
}

// A run that has uploaded for hours does not give up because the store cannot
// be reached for a minute: all tries together take about two of them.
const (
	maxTries     = 24                    // failures in a row before one gives up
	maxConflicts = 200                   // as many mean that the store refuses every swap
	minPause     = 50 * time.Millisecond // after the first of them
	maxPause     = 10 * time.Second      // after any
	maxCrowded   = time.Second           // after any conflict
)

// A cell is the register as this process knows it, with head inside. Its
// methods may be called concurrently; one at a time reaches the register, so
// that the process does not conflict with itself.
type cell struct {
	register Register
	keys     *crypt.Keys
	random   io.Reader
	now      func() time.Time

	gate  gate
	tag   backend.Tag // of the value last known; empty: none; guarded by gate
	head  record.Head // in it; never changed in place; guarded by gate
	stale bool        // something says that the register holds another value; guarded by gate
}

// create writes the first head, at generation 0. An existing one stays.
func (c *cell) create(ctx context.Context) error {
	value, err := record.EncodeHead(c.keys, &record.Head{}, c.random)
	if err != nil {
		return err
	}
	_, err = c.register.Swap(ctx, "", value)
	if err != nil && !errors.Is(err, backend.ErrConflict) && !errors.Is(err, backend.ErrUnknown) {
		return fmt.Errorf("create head: %w", err)
	}
	_, err = c.load(ctx) // whoever created it
	return err
}

// load asks the register what it holds now.
func (c *cell) load(ctx context.Context) (sighting, error) {
	if err := c.gate.enter(ctx); err != nil {
		return sighting{}, err
	}
	defer c.gate.leave()
	return c.reload(ctx)
}

// last returns head as last known, loading it only if it never was.
func (c *cell) last(ctx context.Context) (record.Head, error) {
	if err := c.gate.enter(ctx); err != nil {
		return record.Head{}, err
	}
	defer c.gate.leave()
	if c.tag == "" {
		s, err := c.reload(ctx)
		return s.head, err
	}
	return c.head, nil
}

// reload is load for a caller inside the gate.
func (c *cell) reload(ctx context.Context) (sighting, error) {
	asked := c.now()
	value, tag, err := c.register.Load(ctx, c.tag)
	if errors.Is(err, backend.ErrNotExist) {
		return sighting{}, fmt.Errorf("load head: %w", ErrNoHead)
	}
	if err != nil {
		return sighting{}, fmt.Errorf("load head: %w", err)
	}
	answered := c.now()
	if value != nil {
		head, err := record.DecodeHead(c.keys, value)
		if err != nil {
			return sighting{}, fmt.Errorf("read head: %w", err)
		}
		c.head, c.tag = *head, tag
	}
	c.stale = false
	return sighting{head: c.head, asked: asked, answered: answered}, nil
}

// update brings t into effect and returns the head that has it. It begins with
// the head last known, which costs no load; an error of t counts only on a head
// that was loaded in this call. A swap of this call that is not in effect when
// update returns such an error never will be. An error that matches
// backend.ErrUnknown says that a swap may still come into effect.
func (c *cell) update(ctx context.Context, t transition) (record.Head, error) {
	if err := c.gate.enter(ctx); err != nil {
		return record.Head{}, err
	}
	defer c.gate.leave()

	u := updating{cell: c, transition: t}
	for tries := 1; ; tries++ {
		head, err := u.try(ctx)
		switch {
		case err == nil || u.refused:
			return head, err
		case errors.Is(err, backend.ErrConflict) && tries < maxConflicts:
			// Somebody else's swap succeeded: no failure, but do not crowd.
			if err := c.giveWay(ctx, tries); err != nil {
				return record.Head{}, u.inDoubt(err)
			}
			continue
		case tries >= maxTries || !passing(ctx, err):
			return record.Head{}, u.inDoubt(err)
		}
		if err := c.pause(ctx, tries); err != nil {
			return record.Head{}, u.inDoubt(err)
		}
	}
}

// updating is one call of update.
type updating struct {
	cell       *cell
	transition transition
	fresh      bool // cell.head was loaded in this call
	refused    bool // the transition is not possible, and will not be by trying again
	unknown    bool // the outcome of a swap was
}

// try makes at most one swap. The caller is inside the gate.
func (u *updating) try(ctx context.Context) (record.Head, error) {
	c := u.cell
	if c.tag == "" || c.stale {
		if err := u.reload(ctx); err != nil {
			return record.Head{}, err
		}
	}
	next, changed, err := u.transition(c.head)
	if err != nil && !u.fresh {
		if err := u.reload(ctx); err != nil {
			return record.Head{}, err
		}
		next, changed, err = u.transition(c.head)
	}
	if err != nil || !changed {
		u.refused = err != nil
		return c.head, err
	}
	value, err := record.EncodeHead(c.keys, &next, c.random)
	if err != nil {
		u.refused = true
		return record.Head{}, u.inDoubt(err)
	}
	// Whatever the answer is, the register may hold something else now.
	c.stale, u.fresh = true, false
	tag, err := c.register.Swap(ctx, c.tag, value)
	if err != nil {
		u.unknown = u.unknown || errors.Is(err, backend.ErrUnknown)
		return record.Head{}, fmt.Errorf("swap head: %w", err)
	}
	c.tag, c.head, c.stale = tag, next, false
	return next, nil
}

func (u *updating) reload(ctx context.Context) error {
	_, err := u.cell.reload(ctx)
	u.fresh = err == nil
	return err
}

// inDoubt returns err, as an ErrUnknown if a swap may still take effect.
func (u *updating) inDoubt(err error) error {
	if u.unknown && !errors.Is(err, backend.ErrUnknown) {
		return fmt.Errorf("%w: %w", backend.ErrUnknown, err)
	}
	return err
}

// passing reports whether what failed with err may succeed when tried again.
// A swap with an unknown outcome may: the transition says whether it is needed.
func passing(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrNoHead), objects.IsCorrupt(err),
		errors.Is(err, ErrRolledBack), errors.Is(err, ErrForked),
		errors.Is(err, objects.ErrNewer), errors.Is(err, crypt.ErrNoEpoch):
		return false
	case errors.Is(err, backend.ErrUnknown):
		return true
	}
	return !backend.Permanent(err)
}

// pause waits before the next try, longer after each.
func (c *cell) pause(ctx context.Context, tries int) error {
	return sleep(ctx, c.jitter(min(minPause<<min(tries-1, 10), maxPause)))
}

// giveWay waits after a conflict: not at all after the first, for what was to be
// changed may be different now, and with each somebody else is done.
func (c *cell) giveWay(ctx context.Context, conflicts int) error {
	if conflicts == 1 {
		return ctx.Err()
	}
	return sleep(ctx, c.jitter(min(minPause<<min(conflicts-2, 10), maxCrowded)))
}

// jitter returns a duration from half of d to d, so that those who wait for the
// same thing do not come at the same moment.
func (c *cell) jitter(d time.Duration) time.Duration {
	var b [2]byte
	if _, err := io.ReadFull(c.random, b[:]); err != nil {
		return d
	}
	return d/2 + d/2*time.Duration(binary.LittleEndian.Uint16(b[:]))/(1<<16)
}

// sleep returns nil after d, or the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
