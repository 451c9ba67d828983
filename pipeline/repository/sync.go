package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
// it lacks are. A pack whose header is missing or damaged is warned about and
// left out: what it held is then unknown, so that the next backup stores it
// again. So is, when the cache is built anew, every pack that is not there.
func (r *Repository) Sync(ctx context.Context) error {
	state := r.State()
	want := index.State{Generation: state.Generation, Commit: state.Commit}
	if r.Index.State() == want {
		return nil
	}
	missing, extra, err := r.compare(state)
	if err != nil {
		return err
	}
	if extra { // another history: a rolled back or a forked repository
		if err := r.Index.Reset(); err != nil {
			return fmt.Errorf("empty index cache: %w", err)
		}
		if missing, _, err = r.compare(state); err != nil {
			return err
		}
	}
	if r.Index.State() == (index.State{}) {
		if missing, err = r.stored(ctx, missing); err != nil {
			return err
		}
	}
	if err := r.fetch(ctx, missing); err != nil {
		r.Index.Discard()
		return err
	}
	if err := r.Index.Commit(want); err != nil {
		return fmt.Errorf("write index cache: %w", err)
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
	r.warn(errors.New("the index cache is damaged; it is built anew from the repository, nothing is lost"))
	if err := r.Index.Reset(); err != nil {
		return fmt.Errorf("empty index cache: %w", err)
	}
	return r.Sync(ctx)
}

// compare tells which packs of state the index lacks, and whether it has some
// that the state does not name.
func (r *Repository) compare(state *record.State) (missing []record.Pack, extra bool, err error) {
	have := make(map[objects.ID]bool)
	for p, err := range r.Index.Packs() {
		if err != nil {
			return nil, false, fmt.Errorf("read index cache: %w", err)
		}
		have[p.ID] = true
	}
	for _, p := range state.Packs {
		if !have[p.ID] {
			missing = append(missing, p)
		}
		delete(have, p.ID)
	}
	return missing, len(have) > 0, nil
}

// stored returns those of packs that are in the store; the others are warned
// about. It asks for all names at once, because a header that is at hand in its
// commit record does not show that the pack is there.
func (r *Repository) stored(ctx context.Context, packs []record.Pack) ([]record.Pack, error) {
	if len(packs) == 0 {
		return nil, nil
	}
	there := make(map[backend.Key]bool, len(packs))
	for info, err := range r.store.Backend.List(ctx, "packs/") {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		there[info.Key] = true
	}
	return slices.DeleteFunc(packs, func(p record.Pack) bool {
		if there[packer.Key(p.ID)] {
			return false
		}
		r.warn(fmt.Errorf("pack %s cannot be used: %w", p.ID, backend.ErrNotExist))
		return true
	}), nil
}

// fetch adds packs to the index, reading many headers at a time.
func (r *Repository) fetch(ctx context.Context, packs []record.Pack) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(headersAtOnce)
	for _, p := range packs {
		group.Go(func() error {
			h, err := r.Header(ctx, p)
			switch {
			case errors.Is(err, backend.ErrNotExist), objects.IsCorrupt(err):
				r.warn(fmt.Errorf("pack %s cannot be used: %w", p.ID, err))
				return nil
			case err != nil:
				return err
			}
			return r.Index.Add(packer.IndexPack(p), h)
		})
	}
	return group.Wait()
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
