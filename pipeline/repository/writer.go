package repository

import (
	"context"
	"errors"
	"fmt"
	"path"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"

	"github.com/zeebo/blake3"
)

// Writer is one run's turn to change the repository.
type Writer struct {
	r     *Repository
	lease *locking.Writer
	packs []record.Pack
}

// Begin starts a run that may change the repository, without a request where
// nobody else is writing. The returned context ends with ctx, with the run, or
// when its lease is lost. Nothing is waited for any more once stop ends. End
// must follow.
func (r *Repository) Begin(ctx, stop context.Context) (*Writer, context.Context, error) {
	w := &Writer{r: r}
	var err error
	w.lease, ctx, err = r.chain.Begin(ctx, locking.Run{
		Host: r.o.Host, User: r.o.User, Command: r.o.Command,
		Wait: r.o.Wait, Waiting: r.o.Waiting,
	})
	if err != nil {
		return nil, nil, err
	}
	if head := &r.news.Load().Head; len(head.Holders) > 0 || head.Orphans > 0 {
		// Another run is writing, or died while it was: what it has stored is
		// worth knowing before anything is read.
		if err := w.Ensure(ctx, stop); err != nil {
			return nil, nil, errors.Join(err, w.End(context.WithoutCancel(ctx)))
		}
	}
	return w, ctx, nil
}

// Ensure takes the lease if it is not held yet: to be called before the first
// pack is stored. Packs that earlier runs stored and could not commit are then
// taken over. It is waited for until stop ends.
func (w *Writer) Ensure(ctx, stop context.Context) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	if err := w.lease.Ensure(waiting); err != nil {
		return err
	}
	if w.lease.Orphans() == 0 {
		return nil
	}
	if err := w.adopt(ctx); err != nil {
		return fmt.Errorf("take over what an interrupted run has stored: %w", err)
	}
	w.lease.Adopted()
	return nil
}

// adopt finds durable packs that no commit names, and makes them part of the
// next commit.
func (w *Writer) adopt(ctx context.Context) error {
	if err := w.r.Refresh(ctx); err != nil {
		return err
	}
	if err := w.r.Sync(ctx); err != nil {
		return err
	}
	state := w.r.State()
	for info, err := range w.r.store.Backend.List(ctx, "packs/") {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		id, err := objects.ParseID(path.Base(string(info.Key)))
		if err != nil || packer.Key(id) != info.Key {
			continue // nothing of ours
		}
		_, named := state.Packs[id]
		_, dead := state.Condemned[id]
		if named || dead {
			continue
		}
		if err := w.adoptPack(ctx, id, info); err != nil {
			return err
		}
	}
	return nil
}

// adoptPack makes one pack part of the next commit, if it is whole.
func (w *Writer) adoptPack(ctx context.Context, id objects.ID, info backend.Info) error {
	p, h, err := w.r.examine(ctx, id, info.Size)
	if objects.IsCorrupt(err) || errors.Is(err, objects.ErrNewer) {
		w.r.warn(fmt.Errorf("a pack that an interrupted run has left is not used: %w", err))
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.harden(ctx, info.Key); err != nil {
		return err
	}
	if err := w.r.Index.Add(packer.IndexPack(p), h); err != nil {
		return err
	}
	w.packs = append(w.packs, p)
	return nil
}

// harden makes sure that an object is durable whose writer may have died
// before it could say so: creating it again fails, and that is the answer
// which the store gives only for what is durable.
func (w *Writer) harden(ctx context.Context, key backend.Key) error {
	err := w.r.store.Backend.Put(ctx, key)
	if errors.Is(err, backend.ErrExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(errors.New("it vanished"), w.r.store.Backend.Delete(ctx, key))
	}
	return fmt.Errorf("make %s durable: %w", key, err)
}

// Add makes durable packs part of the next commit.
func (w *Writer) Add(packs []record.Pack) { w.packs = append(w.packs, packs...) }

// Commit makes c, with the packs that were added, part of the repository, and
// gives up the lease.
func (w *Writer) Commit(ctx context.Context, c *record.Commit) error {
	c.Host, c.User = w.r.o.Host, w.r.o.User
	c.Packs = w.packs
	if err := w.lease.Commit(ctx, c, locking.Release); err != nil {
		return err
	}
	// In effect from here on; what follows concerns this machine's cache only.
	if err := w.r.remember(ctx); err != nil {
		w.r.warn(fmt.Errorf("the index cache could not be brought up to date, the next run does it: %w", err))
	}
	return nil
}

// remember brings the cache to the state after a commit of our own, which takes
// no request.
func (r *Repository) remember(ctx context.Context) error {
	news, err := r.chain.Known(ctx)
	if err != nil {
		return err
	}
	if news.State == nil {
		err = r.Refresh(ctx)
	} else {
		r.note(news)
	}
	if err != nil {
		return err
	}
	return r.Sync(ctx)
}

// End gives up the lease, if it is still held. What was stored and not
// committed is found by the next run.
func (w *Writer) End(ctx context.Context) error { return w.lease.Release(ctx) }

// examine reads what a commit record says of a pack from the pack itself.
func (r *Repository) examine(ctx context.Context, id objects.ID, size int64) (record.Pack, *pack.Header, error) {
	object := "pack " + id.String()
	if size < pack.PreambleLen {
		return record.Pack{}, nil, objects.Corrupt(object, "it has only %d bytes", size)
	}
	first, err := r.Read(ctx, id, 0, pack.PreambleLen)
	if err != nil {
		return record.Pack{}, nil, err
	}
	pre, err := pack.ParsePreamble(first)
	if err != nil {
		return record.Pack{}, nil, fmt.Errorf("%s: %w", object, err)
	}
	if pre.PackLen() != size {
		return record.Pack{}, nil, objects.Corrupt(object, "it has %d bytes instead of %d", size, pre.PackLen())
	}
	prefix, err := r.Read(ctx, id, 0, int64(pre.Prefix()))
	if err != nil {
		return record.Pack{}, nil, err
	}
	h, err := pack.OpenHeader(r.Keys, prefix)
	if err != nil {
		return record.Pack{}, nil, fmt.Errorf("%s: %w", object, err)
	}
	return record.Pack{
		ID: id, Kind: h.Kind, Length: uint64(size), HeaderLen: pre.HeaderLen, HeaderHash: blake3.Sum256(prefix),
	}, h, nil
}
