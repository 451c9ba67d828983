package compact

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/record"
	"cairn/pipeline/packer"
)

const (
	deletesAtOnce = 16
	sweepRounds   = 4 // how often a store that still shows a deleted pack is told again
)

// unused answers ErrInUse if somebody writes to the repository or waits for it.
// A run whose process is known to be gone is taken over from on the spot, as by
// whoever waits: nobody else might come to do it.
func (c *compaction) unused(ctx context.Context) error {
	for {
		if err := c.repo.Refresh(ctx); err != nil {
			return err
		}
		if head := c.repo.Head(); len(head.Holders)+len(head.Queue) == 0 {
			return nil
		}
		table, err := c.repo.Watch().Look(ctx)
		if err != nil {
			return err
		}
		for _, s := range slices.Concat(table.Holders, table.Queue) {
			if s.Process != locking.Dead {
				return ErrInUse
			}
			if c.o.DryRun {
				continue
			}
			if _, err := c.repo.Break(ctx, s.Participant); err != nil {
				return err
			}
		}
		if c.o.DryRun {
			return nil
		}
	}
}

// sweep deletes the condemned packs that are still there and were condemned at
// least grace ago.
func (c *compaction) sweep(ctx context.Context, grace time.Duration) error {
	if grace == 0 && !c.o.DryRun {
		if err := c.unused(ctx); err != nil {
			return err
		}
	}
	head, state := c.repo.Head(), c.repo.State()
	if state.Condemned.Len() == 0 {
		return nil
	}
	there, err := c.condemnedThere(ctx, state)
	if err != nil {
		return err
	}
	left := uint64(0)
	if grace > 0 && len(there) > 0 {
		if left, err = c.spare(ctx, state, there, grace); err != nil {
			return err
		}
	}
	if c.o.DryRun {
		c.swept(there)
		return nil
	}
	if err := c.deleteAll(ctx, state, there); err != nil {
		return err
	}
	return c.repo.Swept(ctx, head, left)
}

// condemnedThere returns the condemned packs that the store shows, and their
// lengths.
func (c *compaction) condemnedThere(ctx context.Context, state *record.State) (map[objects.ID]uint64, error) {
	there := map[objects.ID]uint64{}
	for info, err := range c.repo.Backend().List(ctx, "packs/") {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		id, err := objects.ParseID(path.Base(string(info.Key)))
		if err != nil || packer.Key(id) != info.Key {
			continue // nothing of ours
		}
		if state.Condemned.Has(id) {
			there[id] = uint64(info.Size)
		}
	}
	return there, nil
}

// spare takes out of there what was condemned less than grace ago, and returns
// how many commits did that. Records are dated by the store, and so is now.
func (c *compaction) spare(ctx context.Context, state *record.State, there map[objects.ID]uint64, grace time.Duration) (commits uint64, err error) {
	now, err := c.storeTime(ctx)
	if err != nil {
		return 0, err
	}
	dates := map[backend.Key]time.Time{}
	for info, err := range c.repo.Backend().List(ctx, "commits/") {
		if err != nil {
			return 0, fmt.Errorf("list commits: %w", err)
		}
		dates[info.Key] = info.ModTime
	}
	at := locking.Mark{Generation: state.Generation, Commit: state.Commit}
	for at.Generation > 0 {
		date, err := c.dated(ctx, dates, backend.Key(record.CommitKey(at.Generation, at.Commit)))
		if errors.Is(err, backend.ErrNotExist) || err == nil && locking.MaySweep(date, now, grace) {
			break // it was removed, which takes longer than the grace; or is old, like all before it
		}
		if err != nil {
			return 0, fmt.Errorf("ask when packs were condemned: %w", err)
		}
		r, err := c.repo.Record(ctx, at)
		if err != nil {
			return 0, err
		}
		if c.young(there, r.Condemned) {
			commits++
		}
		at = locking.Mark{Generation: at.Generation - 1, Commit: r.Prev}
	}
	return commits, nil
}

// dated returns when a record was stored. There are stores whose lists lack what is
// new, so that one that was not listed is asked for by itself.
func (c *compaction) dated(ctx context.Context, listed map[backend.Key]time.Time, key backend.Key) (time.Time, error) {
	if date, known := listed[key]; known {
		return date, nil
	}
	info, err := c.repo.Backend().Stat(ctx, key)
	return info.ModTime, err
}

// young takes packs out of there that have to stay for now.
func (c *compaction) young(there map[objects.ID]uint64, packs []objects.ID) (any bool) {
	for _, id := range packs {
		if n, is := there[id]; is {
			any = true
			c.sum.Later++
			c.sum.LaterBytes += n
			delete(there, id)
		}
	}
	return any
}

// storeTime returns what time it is by the store's clock: it dates an object
// that is put and removed again (FORMAT.md §2).
func (c *compaction) storeTime(ctx context.Context) (time.Time, error) {
	var name [16]byte
	_, _ = rand.Read(name[:]) // never fails
	key := backend.Key("clock/" + hex.EncodeToString(name[:]))
	store := c.repo.Backend()
	if err := store.Put(ctx, key, []byte{0}); err != nil {
		return time.Time{}, fmt.Errorf("ask the store for the time: %w", err)
	}
	info, err := store.Stat(ctx, key)
	if err = errors.Join(err, store.Delete(ctx, key)); err != nil {
		return time.Time{}, fmt.Errorf("ask the store for the time: %w", err)
	}
	return info.ModTime, nil
}

// deleteAll deletes packs until the store shows them no more. What it goes on
// showing is left to a later sweep.
func (c *compaction) deleteAll(ctx context.Context, state *record.State, packs map[objects.ID]uint64) error {
	left := packs
	c.count.Swept.Store(0)
	c.count.SweptTotal.Store(uint64(len(packs)))
	for round := 0; len(left) > 0 && round < sweepRounds; round++ {
		group, deleting := errgroup.WithContext(ctx)
		group.SetLimit(deletesAtOnce)
		for id := range left {
			group.Go(func() error {
				defer c.count.Swept.Add(1)
				return c.repo.Backend().Delete(deleting, packer.Key(id))
			})
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("delete condemned packs: %w", err)
		}
		shown, err := c.condemnedThere(ctx, state)
		if err != nil {
			return err
		}
		left = map[objects.ID]uint64{}
		for id := range packs {
			if n, still := shown[id]; still {
				left[id] = n
			}
		}
	}
	for id := range left {
		c.o.Warn(fmt.Errorf("the store still shows pack %s after it was deleted", id))
		delete(packs, id)
	}
	c.swept(packs)
	return nil
}

// swept counts what was deleted, or would be.
func (c *compaction) swept(packs map[objects.ID]uint64) {
	for _, n := range packs {
		c.sum.Swept++
		c.sum.SweptBytes += n
	}
}
