package repository

import (
	"context"
	"errors"
	"fmt"
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

const (
	headersAtOnce = 32   // pack headers that are read at the same time
	headersLost   = 4096 // that an interruption may cost, at most
)

// fetch brings the headers of packs into the index: from where it costs least.
type fetch struct {
	r     *Repository
	packs []record.Pack
	save  bool // what was read may be kept, to go on from there after an interruption

	done    atomic.Int64
	lacking atomic.Bool // some could not be had
}

// run reports whether the index has the header of every pack of state, and no
// pack is in doubt. If the index is made afresh, it looks too whether all packs
// are there.
func (f *fetch) run(ctx context.Context, state *record.State, afresh bool) (whole bool, err error) {
	group, ctx := errgroup.WithContext(ctx)
	var absent []objects.ID
	if afresh {
		group.Go(func() (err error) {
			absent, err = f.r.verify(ctx, state)
			return err
		})
	}
	group.Go(func() error { return f.headers(ctx) })
	if err := group.Wait(); err != nil {
		return false, err
	}
	f.r.Index.Drop(absent...) // their headers came from elsewhere
	return !f.lacking.Load() && (!afresh || f.r.trusting()), nil
}

// headers asks records, then bundles, then the packs themselves.
func (f *fetch) headers(ctx context.Context) error {
	w := &wanted{packs: make(map[objects.ID]record.Pack, len(f.packs))}
	for _, p := range f.packs {
		if p.Header == nil {
			w.packs[p.ID] = p
			continue
		}
		if err := f.add(p, p.Header); err != nil {
			return err
		}
	}
	if err := f.r.fromBundles(ctx, w, f.add); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(headersAtOnce)
	for _, p := range w.packs {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			header, err := f.r.readHeader(ctx, p)
			if err == nil {
				return f.add(p, header)
			}
			return f.lack(p, err)
		})
	}
	return group.Wait()
}

// add makes a pack findable by what it begins with. It may be called
// concurrently.
func (f *fetch) add(p record.Pack, header []byte) error {
	h, err := f.r.openHeader(p, header)
	if err != nil {
		return f.lack(p, err)
	}
	if err := f.r.Index.Add(packer.IndexPack(p), h); err != nil {
		return err
	}
	n := f.done.Add(1)
	if f.save && n%headersLost == 0 {
		// It stands for no state, and has what has been read so far. A disk that
		// refuses that is told of when all has been read.
		if err := f.r.Index.Commit(index.State{}); errors.Is(err, index.ErrDamaged) {
			return err
		}
	}
	f.r.indexing(int(n), len(f.packs))
	return nil
}

// lack doubts a pack whose header cannot be had because it is missing or
// damaged; any other err is returned.
func (f *fetch) lack(p record.Pack, err error) error {
	if !errors.Is(err, backend.ErrNotExist) && !objects.IsCorrupt(err) {
		return err
	}
	f.lacking.Store(true)
	f.r.doubt(p.ID, err)
	return nil
}

// Header returns the header of a pack, from the commit record or from the
// pack itself, bound to what the record says of it (FORMAT.md §9.3).
func (r *Repository) Header(ctx context.Context, p record.Pack) (*pack.Header, error) {
	header := p.Header
	if header == nil {
		var err error
		if header, err = r.readHeader(ctx, p); err != nil {
			return nil, err
		}
	}
	return r.openHeader(p, header)
}

// readHeader returns what a pack begins with, by one read of the pack.
func (r *Repository) readHeader(ctx context.Context, p record.Pack) ([]byte, error) {
	header, err := r.store.Backend.Get(ctx, packer.Key(p.ID), backend.Range{Len: pack.PreambleLen + int64(p.HeaderLen)})
	var short *backend.ShortError
	if errors.As(err, &short) {
		return nil, objects.Corrupt("pack "+p.ID.String(), "it has %d bytes instead of %d", short.Size, p.Length)
	}
	if err != nil {
		return nil, fmt.Errorf("read header of pack %s: %w", p.ID, err)
	}
	return header, nil
}

// openHeader opens what a pack begins with, if it is what the record says.
func (r *Repository) openHeader(p record.Pack, header []byte) (*pack.Header, error) {
	if objects.ID(blake3.Sum256(header)) != p.HeaderHash {
		return nil, objects.Corrupt("pack "+p.ID.String(), "its header is not the one that was committed")
	}
	h, err := pack.OpenHeader(r.Keys, header)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", p.ID, err)
	}
	return h, nil
}
