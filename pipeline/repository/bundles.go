package repository

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/bundle"
	"cairn/objects/record"

	"github.com/zeebo/blake3"
)

// How headers travel to other machines (FORMAT.md §9.3 and §9.5): in the record
// of the commit, in a bundle, or by a read of the pack itself.
const (
	inlineHeaders = 64 << 10 // bytes of them that ride in a record
	bundleFrom    = 3        // headers: fewer are read from their packs

	joinEvery   = 8       // generations between looks whether bundles are to be joined
	bundlesLeft = 4       // that may be smaller than bundleFull
	bundleFull  = 8 << 20 // bytes, from which a bundle is left alone

	bundlesAtOnce = 4         // read at the same time; most have less than twice bundleFull
	deletesAtOnce = 16        // of records
	hintsTrusted  = 2         // named by records: more are looked for in a list
	listFrom      = 8         // headers that are worth listing bundles for
	headerWorth   = 256 << 10 // bytes of bundles that are worth a read of one header
)

// carry decides how the headers of the packs that c adds travel. What does not
// ride in the record is put into a bundle; should that fail, the headers are
// read from the packs, so that is no error.
func (r *Repository) carry(ctx context.Context, c *record.Commit) {
	room := inlineHeaders
	var rest []bundle.Entry
	for i := range c.Packs {
		p := &c.Packs[i]
		if len(p.Header) <= room {
			room -= len(p.Header)
			continue
		}
		rest = append(rest, bundle.Entry{Pack: p.ID, Header: p.Header})
		p.Header = nil
	}
	c.Bundles, _ = r.putBundles(ctx, rest)
}

// putBundles stores bundles of the entries, if there are enough to be worth it,
// and returns their names.
func (r *Repository) putBundles(ctx context.Context, entries []bundle.Entry) (ids []objects.ID, err error) {
	for len(entries) >= bundleFrom {
		n, bytes := 0, 0
		for n < len(entries) && bytes < bundleFull {
			bytes += len(entries[n].Header)
			n++
		}
		id, stored, err := bundle.Encode(entries[:n])
		if err != nil {
			return ids, err
		}
		err = r.store.Backend.Put(ctx, backend.Key(bundle.Key(id)), stored)
		if err != nil && !errors.Is(err, backend.ErrExist) {
			return ids, fmt.Errorf("store bundle %s: %w", id, err)
		}
		ids, entries = append(ids, id), entries[n:]
	}
	return ids, nil
}

// tidy keeps what a machine without an index has to read in few objects. It is
// called after a commit, by whoever has made it.
func (r *Repository) tidy(ctx context.Context) error {
	state := r.State()
	if state.Generation%record.SnapshotEvery == 0 {
		// From here on nobody reads the records in which these rode.
		var entries []bundle.Entry
		for p := range state.Packs.All() {
			if p.Header != nil {
				entries = append(entries, bundle.Entry{Pack: p.ID, Header: p.Header})
			}
		}
		if _, err := r.putBundles(ctx, entries); err != nil {
			return err
		}
		if err := r.removeRecords(ctx, state); err != nil {
			return err
		}
	}
	if state.Generation%joinEvery == 0 {
		return r.joinBundles(ctx)
	}
	return nil
}

// removeRecords removes commit records that nobody reads any more: they are older
// than the second newest snapshot, of which state is the newest, and than the
// grace by which sweeping packs is put off: a sweeper that finds no record of when
// a pack was condemned knows by that that it may go. Both times are the store's.
func (r *Repository) removeRecords(ctx context.Context, state *record.State) error {
	if state.Generation <= record.SnapshotEvery {
		return nil
	}
	var old []backend.Info
	var newest time.Time
	for info, err := range r.store.Backend.List(ctx, "commits/") {
		if err != nil {
			return fmt.Errorf("list commits: %w", err)
		}
		gen, _, err := record.ParseCommitKey(string(info.Key))
		if err == nil && gen < state.Generation-record.SnapshotEvery {
			old = append(old, info)
		}
		if info.ModTime.After(newest) {
			newest = info.ModTime
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for _, info := range old {
		if newest.Sub(info.ModTime) > locking.Grace {
			group.Go(func() error { return r.store.Backend.Delete(ctx, info.Key) })
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("remove old commit records: %w", err)
	}
	return nil
}

// joinBundles makes full bundles of small ones if there are many. Others may do
// the same at the same time, or read what is removed: bundles are nobody's only
// source.
func (r *Repository) joinBundles(ctx context.Context) error {
	all, err := r.listBundles(ctx)
	if err != nil {
		return err
	}
	var small []listedBundle
	for _, b := range all {
		if b.size < bundleFull {
			small = append(small, b)
		}
	}
	if len(small) <= bundlesLeft {
		return nil
	}
	for len(small) > 1 {
		n, bytes := 0, int64(0)
		for n < len(small) && bytes < bundleFull {
			bytes += small[n].size
			n++
		}
		if err := r.join(ctx, small[:n]); err != nil {
			return err
		}
		small = small[n:]
	}
	return nil
}

// join puts what is of use in the bundles into others, and removes them.
func (r *Repository) join(ctx context.Context, old []listedBundle) error {
	var entries []bundle.Entry
	w := &wanted{packs: make(map[objects.ID]record.Pack)}
	for p := range r.State().Packs.All() {
		w.packs[p.ID] = p
	}
	err := r.readBundles(ctx, old, w, func(p record.Pack, header []byte) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		entries = append(entries, bundle.Entry{Pack: p.ID, Header: header})
		return nil
	})
	if err != nil {
		return err
	}
	ids, err := r.putBundles(ctx, entries)
	if err != nil {
		return err
	}
	for _, b := range old {
		if len(ids) == 1 && ids[0] == b.id {
			continue // it was as it should be
		}
		if err := r.store.Backend.Delete(ctx, backend.Key(bundle.Key(b.id))); err != nil {
			return fmt.Errorf("remove bundle %s, which was joined with others: %w", b.id, err)
		}
	}
	return nil
}

type listedBundle struct {
	id   objects.ID
	size int64
}

func (r *Repository) listBundles(ctx context.Context) (all []listedBundle, err error) {
	for info, err := range r.store.Backend.List(ctx, backend.Prefix(bundle.Prefix())) {
		if err != nil {
			return nil, fmt.Errorf("list bundles: %w", err)
		}
		if id, err := bundle.ParseKey(string(info.Key)); err == nil {
			all = append(all, listedBundle{id, info.Size})
		}
	}
	return all, nil
}

// wanted are packs whose headers are looked for. Its methods may be called
// concurrently.
type wanted struct {
	mu    sync.Mutex
	packs map[objects.ID]record.Pack // guarded by mu
}

// take returns the pack that header belongs to, once, if it is wanted: its
// record states the header's hash.
func (w *wanted) take(e bundle.Entry) (p record.Pack, ok bool) {
	w.mu.Lock()
	p, ok = w.packs[e.Pack]
	w.mu.Unlock()
	if !ok || objects.ID(blake3.Sum256(e.Header)) != p.HeaderHash {
		return record.Pack{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok = w.packs[e.Pack]
	delete(w.packs, e.Pack)
	return p, ok
}

func (w *wanted) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.packs)
}

// fromBundles gives to found the headers of what is wanted, as far as it is
// worth looking for them in bundles.
func (r *Repository) fromBundles(ctx context.Context, w *wanted, found func(record.Pack, []byte) error) error {
	hints := r.takeHints()
	if len(hints) <= hintsTrusted && w.left() >= bundleFrom {
		if err := r.readBundles(ctx, hints, w, found); err != nil {
			return err
		}
	}
	if w.left() < listFrom {
		return nil
	}
	all, err := r.listBundles(ctx)
	if err != nil {
		return err
	}
	var bytes int64
	for _, b := range all {
		bytes += b.size
	}
	if bytes > int64(w.left())*headerWorth {
		return nil
	}
	return r.readBundles(ctx, all, w, found)
}

// readBundles gives to found, which is called concurrently, the headers in
// bundles that are wanted. A bundle that is gone or rotten has none.
func (r *Repository) readBundles(ctx context.Context, bundles []listedBundle, w *wanted, found func(record.Pack, []byte) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(bundlesAtOnce)
	for _, b := range bundles {
		group.Go(func() error {
			stored, err := r.store.Backend.Get(ctx, backend.Key(bundle.Key(b.id)), backend.Range{})
			if errors.Is(err, backend.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read bundle %s: %w", b.id, err)
			}
			entries, err := bundle.Decode(b.id, stored)
			if err != nil {
				return nil
			}
			for _, e := range entries {
				if p, ok := w.take(e); ok {
					if err := found(p, e.Header); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}
