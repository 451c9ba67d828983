package repository

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/record"
	"cairn/pipeline/packer"
)

// Sync brings the index cache to the generation of State. Where the cache
// already stands for it, nothing is read; else the headers of the packs that
// it lacks are, and those that are not live are dropped. Packs that are missing
// or damaged are warned about and distrusted: the next backup stores again what
// they held. The cache of such a repository stands for no generation, so that
// every run looks for them again.
//
// A run that has stored packs and not committed them yet may call Sync: they
// stay in the index, and nothing is saved until a commit names them.
//
// Packs that others delete meanwhile, after condemning them, move State on to
// where that shows.
func (r *Repository) Sync(ctx context.Context) error {
	for {
		if err := r.syncHealing(ctx); err != nil {
			return err
		}
		again, err := r.settleAbsent(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// syncHealing syncs, and builds a damaged cache anew.
func (r *Repository) syncHealing(ctx context.Context) error {
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
	f := fetch{r: r, packs: missing, save: !uncommitted}
	afresh := r.Index.State() == (index.State{})
	whole, err := f.run(ctx, state, afresh)
	if uncommitted || errors.Is(err, index.ErrDamaged) {
		return err
	}
	if err != nil || !whole {
		want = index.State{} // what was read is kept all the same
	}
	if e := r.Index.Commit(want); e != nil {
		// What was added can be found all the same.
		r.warn(fmt.Errorf("the index cache could not be saved, the next run does it: %w", e))
	}
	return err
}

// Rebuild makes the index cache anew from what the repository holds, unless
// another goroutine has just done so: id was not found in a damaged one, and
// is looked up again first.
func (r *Repository) Rebuild(ctx context.Context, id objects.ID) error {
	r.rebuild.Lock()
	defer r.rebuild.Unlock()
	defer r.tellAbsent()
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
		stays := !state.Condemned.Has(id) && r.Index.Pending(id)
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
	for p := range state.Packs.All() {
		if !have[p.ID] {
			missing = append(missing, p)
		}
		delete(have, p.ID)
	}
	return missing, slices.Collect(maps.Keys(have)), nil
}

// verify doubts every pack that is not in the store, or not with the length
// it should have, and returns the absent ones. It asks for all names at once,
// because a header that is at hand elsewhere does not show that the pack is
// there.
func (r *Repository) verify(ctx context.Context, state *record.State) (absent []objects.ID, err error) {
	if state.Packs.Len() == 0 {
		return nil, nil
	}
	lengths := make(map[objects.ID]int64, state.Packs.Len())
	for info, err := range r.store.Backend.List(ctx, "packs/") {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		if id, ok := packer.ParseKey(info.Key); ok {
			lengths[id] = info.Size
		}
	}
	for p := range state.Packs.All() {
		length, there := lengths[p.ID]
		switch {
		case !there:
			absent = append(absent, p.ID)
			r.doubt(p.ID, backend.ErrNotExist)
		case length != int64(p.Length):
			r.doubt(p.ID, objects.Corrupt("pack", "it has %d bytes instead of %d", length, p.Length))
		}
	}
	return absent, nil
}

// trusting reports whether no pack is in doubt.
func (r *Repository) trusting() bool {
	r.doubting.Lock()
	defer r.doubting.Unlock()
	return len(r.doubted) == 0
}

// doubt warns about a pack, once, and lets it vouch for nothing. This is not
// remembered: an absence may be no more than a disk that is not mounted.
func (r *Repository) doubt(id objects.ID, err error) {
	r.doubting.Lock()
	_, known := r.doubted[id]
	r.doubted[id] = struct{}{}
	absent := !known && errors.Is(err, backend.ErrNotExist)
	if absent {
		if r.absent == nil {
			r.absent = map[objects.ID]error{}
		}
		r.absent[id] = err // warned about when it is certain that nobody has removed it
	}
	r.doubting.Unlock()
	r.Index.Distrust(id)
	if !known && !absent {
		r.warnDoubt(id, err)
	}
}
