package repository

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"

	"github.com/zeebo/blake3"
)

// headersAtOnce is how many pack headers are read at the same time.
const headersAtOnce = 32

// Sync brings the index cache to the generation of State. Where the cache
// already stands for it, nothing is read; else the headers of the packs that
// it lacks are, and those that are not live are dropped. Packs that are missing
// or damaged are warned about and distrusted: the next backup stores again what
// they held. The cache of such a repository stands for no generation, so that
// every run looks for them again.
//
// A run that has stored packs and not committed them yet may call Sync: they
// stay in the index, and nothing is saved until a commit names them.
func (r *Repository) Sync(ctx context.Context) error {
	err := r.sync(ctx)
	if !errors.Is(err, index.ErrDamaged) {
		return err
	}
	if err := r.forgetDamaged(); err != nil {
		return err
	}
	return r.sync(ctx)
}

func (r *Repository) sync(ctx context.Context) error {
	state := r.State()
	want := index.State{Generation: state.Generation, Commit: state.Commit}
	if r.Index.State() == want {
		return nil
	}
	missing, extra, err := r.compare(state)
	if err != nil {
		return err
	}
	uncommitted := r.drop(state, extra)
	whole := true
	if r.Index.State() == (index.State{}) {
		absent, err := r.verify(ctx, state)
		if err != nil {
			return err
		}
		whole = len(r.doubted) == 0
		missing = slices.DeleteFunc(missing, func(p record.Pack) bool { return absent[p.ID] })
	}
	complete, err := r.fetch(ctx, missing)
	if err != nil {
		return err
	}
	if !whole || !complete {
		want = index.State{}
	}
	if uncommitted {
		return nil
	}
	if err := r.Index.Commit(want); err != nil {
		// What was added can be found all the same.
		r.warn(fmt.Errorf("the index cache could not be saved, the next run does it: %w", err))
	}
	return nil
}

// Rebuild makes the index cache anew from what the repository holds, unless
// another goroutine has just done so: id was not found in a damaged one, and
// is looked up again first.
func (r *Repository) Rebuild(ctx context.Context, id objects.ID) error {
	r.rebuild.Lock()
	defer r.rebuild.Unlock()
	if _, _, err := r.Index.Lookup(id); !errors.Is(err, index.ErrDamaged) {
		return nil
	}
	if err := r.forgetDamaged(); err != nil {
		return err
	}
	return r.sync(ctx)
}

func (r *Repository) forgetDamaged() error {
	r.warn(errors.New("the index cache is damaged; it is built anew from the repository, nothing is lost"))
	if err := r.Index.Reset(); err != nil {
		return fmt.Errorf("empty index cache: %w", err)
	}
	return nil
}

// drop takes packs out of the index that state does not name, and reports
// whether some stay: those that this run has stored and not committed yet.
func (r *Repository) drop(state *record.State, extra []objects.ID) (uncommitted bool) {
	gone := slices.DeleteFunc(extra, func(id objects.ID) bool {
		_, condemned := state.Condemned[id]
		stays := !condemned && r.Index.Pending(id)
		uncommitted = uncommitted || stays
		return stays
	})
	if len(gone) > 0 {
		r.Index.Drop(gone...)
	}
	return uncommitted
}

// compare tells which packs of state the index lacks, and which it has that the
// state does not name: condemned ones, those of a history that was rolled back,
// and what this run has stored so far.
func (r *Repository) compare(state *record.State) (missing []record.Pack, extra []objects.ID, err error) {
	have := make(map[objects.ID]bool)
	for p, err := range r.Index.Packs() {
		if err != nil {
			return nil, nil, fmt.Errorf("read index cache: %w", err)
		}
		have[p.ID] = true
	}
	for _, p := range state.Packs {
		if !have[p.ID] {
			missing = append(missing, p)
		}
		delete(have, p.ID)
	}
	return missing, slices.Collect(maps.Keys(have)), nil
}

// verify doubts every pack that is not in the store, or not with the length
// it should have, and returns the absent ones. It asks for all names at once,
// because a header that is at hand in its commit record does not show that the
// pack is there.
func (r *Repository) verify(ctx context.Context, state *record.State) (absent map[objects.ID]bool, err error) {
	if len(state.Packs) == 0 {
		return nil, nil
	}
	lengths := make(map[backend.Key]int64, len(state.Packs))
	for info, err := range r.store.Backend.List(ctx, "packs/") {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		lengths[info.Key] = info.Size
	}
	absent = map[objects.ID]bool{}
	for id, p := range state.Packs {
		length, there := lengths[packer.Key(id)]
		switch {
		case !there:
			absent[id] = true
			r.doubt(id, backend.ErrNotExist)
		case length != int64(p.Length):
			r.doubt(id, objects.Corrupt("pack", "it has %d bytes instead of %d", length, p.Length))
		}
	}
	return absent, nil
}

// doubt warns about a pack, once, and lets it vouch for nothing. This is not
// remembered: an absence may be no more than a disk that is not mounted.
func (r *Repository) doubt(id objects.ID, err error) {
	r.doubting.Lock()
	_, known := r.doubted[id]
	r.doubted[id] = struct{}{}
	r.doubting.Unlock()
	r.Index.Distrust(id)
	if !known {
		r.warn(fmt.Errorf("pack %s cannot be used, run cairn check to see what it held: %w", id, err))
	}
}

// fetch adds packs to the index, reading many headers at a time, and reports
// whether it could have all of them.
func (r *Repository) fetch(ctx context.Context, packs []record.Pack) (complete bool, err error) {
	var lacking atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(headersAtOnce)
	for _, p := range packs {
		group.Go(func() error {
			h, err := r.Header(ctx, p)
			switch {
			case errors.Is(err, backend.ErrNotExist), objects.IsCorrupt(err):
				lacking.Store(true)
				r.doubt(p.ID, err)
				return nil
			case err != nil:
				return err
			}
			return r.Index.Add(packer.IndexPack(p), h)
		})
	}
	err = group.Wait()
	return !lacking.Load(), err
}

// Header returns the header of a pack, from the commit record or from the
// pack itself, bound to what the record says of it (FORMAT.md §9.3).
func (r *Repository) Header(ctx context.Context, p record.Pack) (*pack.Header, error) {
	prefix := p.Header
	if len(prefix) == 0 {
		var err error
		prefix, err = r.store.Backend.Get(ctx, packer.Key(p.ID), backend.Range{Len: pack.PreambleLen + int64(p.HeaderLen)})
		var short *backend.ShortError
		if errors.As(err, &short) {
			return nil, objects.Corrupt("pack "+p.ID.String(), "it has %d bytes instead of %d", short.Size, p.Length)
		}
		if err != nil {
			return nil, fmt.Errorf("read header of pack %s: %w", p.ID, err)
		}
	}
	if objects.ID(blake3.Sum256(prefix)) != p.HeaderHash {
		return nil, objects.Corrupt("pack "+p.ID.String(), "its header is not the one that was committed")
	}
	h, err := pack.OpenHeader(r.Keys, prefix)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", p.ID, err)
	}
	return h, nil
}
