package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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
	shown locking.Mark // the state that moved was called with last; only it uses this

	mu        sync.Mutex
	packs     []record.Pack  // durable, for the next commit; guarded by mu
	adopted   []objects.ID   // of these and of those before; guarded by mu
	making    *record.Commit // the commit under way; nil: none; guarded by mu
	unchecked bool           // packs were condemned since the run began to count on them; guarded by mu
	condemned int            // how many there were when that was looked at; guarded by mu
	checked   int            // how many there were when making was held against them; -1: it was not; guarded by mu
}

// Begin starts a run that may change the repository, without a request where
// nobody else is writing. The returned context ends with ctx, with the run, or
// when its lease is lost. Nothing is waited for any more once stop ends. End
// must follow.
func (r *Repository) Begin(ctx, stop context.Context) (*Writer, context.Context, error) {
	w := &Writer{r: r, condemned: r.State().Condemned.Len(), shown: markOf(r.State())}
	var err error
	w.lease, ctx, err = r.chain.Begin(ctx, locking.Run{
		Host: r.o.Host, User: r.o.User, Command: r.o.Command,
		Wait: r.o.Wait, Waiting: r.o.Waiting,
		// What the index was brought to: the chain may have been read further since.
		Base: w.shown, Moved: w.moved,
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

// Ensure takes the lease if it is not held: to be called before every pack is
// stored, by one goroutine at a time. Packs that earlier runs stored and could not commit are then
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
	state := w.r.State()
	if err := w.takeIn(ctx, state); err != nil {
		return err
	}
	return w.r.adopt(ctx, state, func(p record.Pack) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.packs, w.adopted = append(w.packs, p), append(w.adopted, p.ID)
	})
}

// adopt gives to found, which is called concurrently, every whole pack that
// state neither names nor condemns, and then makes it findable. What this run has
// stored itself is not among them.
func (r *Repository) adopt(ctx context.Context, state *record.State, found func(record.Pack)) error {
	var orphans []backend.Info
	for info, err := range r.store.Backend.List(ctx, "packs/") {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		id, ours := packer.ParseKey(info.Key)
		if ours && locking.MayAdopt(state, id) && !r.Index.Pending(id) {
			orphans = append(orphans, info)
		}
	}
	var done atomic.Int64
	group, adopting := errgroup.WithContext(ctx)
	group.SetLimit(headersAtOnce)
	for _, info := range orphans {
		if adopting.Err() != nil {
			break
		}
		group.Go(func() error {
			defer func() { r.indexing(int(done.Add(1)), len(orphans)) }()
			return r.adoptPack(adopting, info, found)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // one that ended may have left some out
}

// adoptPack gives one pack to found, if it is whole. One that is gone was adopted,
// condemned and swept by others since it was listed, and is nothing to be missed.
func (r *Repository) adoptPack(ctx context.Context, info backend.Info, found func(record.Pack)) error {
	id, _ := packer.ParseKey(info.Key)
	p, h, err := r.examine(ctx, id, info.Size)
	if err == nil {
		err = r.harden(ctx, info.Key)
	}
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return nil
	case objects.IsCorrupt(err), errors.Is(err, objects.ErrNewer):
		r.warn(fmt.Errorf("a pack that no commit names is not used: %w", err))
		return nil
	case err != nil:
		return err
	}
	// In this order: whoever counts on the pack, because the index has it, finds it
	// among what the next commit names.
	found(p)
	return r.Index.Add(packer.IndexPack(p), h)
}

// harden makes sure that an object is durable whose writer may have died
// before it could say so: creating it again fails, and that is the answer
// which the store gives only for what is durable. ErrNotExist: it is gone.
func (r *Repository) harden(ctx context.Context, key backend.Key) error {
	err := r.store.Backend.Put(ctx, key)
	if errors.Is(err, backend.ErrExist) {
		return nil
	}
	if err == nil {
		if err = r.store.Backend.Delete(ctx, key); err == nil {
			err = backend.ErrNotExist
		}
	}
	return fmt.Errorf("make %s durable: %w", key, err)
}

// Adopted returns the packs of earlier runs that this one has taken over.
func (w *Writer) Adopted() []objects.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.adopted)
}

// Add makes durable packs part of the next commit.
func (w *Writer) Add(packs []record.Pack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packs = append(w.packs, packs...)
}

// Commit makes c, with the packs that were added, part of the repository, and
// gives up the lease.
func (w *Writer) Commit(ctx context.Context, c *record.Commit) error {
	if err := w.commit(ctx, c, locking.Release); err != nil {
		return err
	}
	// In effect from here on; what follows concerns this machine's cache only.
	if err := w.r.remember(ctx); err != nil {
		w.r.warn(fmt.Errorf("the index cache could not be brought up to date, the next run does it: %w", err))
		return nil
	}
	if err := w.r.tidy(ctx); err != nil {
		w.r.warn(fmt.Errorf("copies of pack headers could not be put in order, a later run does it: %w", err))
	}
	return nil
}

// commit makes c, with the packs that were added, part of the repository. If
// that fails, they wait for the next commit.
func (w *Writer) commit(ctx context.Context, c *record.Commit, after locking.After) error {
	c.Host, c.User = w.r.o.Host, w.r.o.User
	unchecked := w.begin(c)
	defer w.begin(nil)
	if unchecked {
		if err := w.recheck(ctx, c); err != nil {
			return err
		}
	}
	w.r.carry(ctx, c)
	if err := w.lease.Commit(ctx, c, after); err != nil {
		return err
	}
	w.named(len(c.Packs))
	return nil
}

// Basis takes the turn if it is not held, and returns the state that a mark of
// what is needed has to cover for Condemn to accept it.
func (w *Writer) Basis(ctx context.Context) (locking.Basis, *record.State, error) {
	return w.lease.Basis(ctx)
}

// Condemn is Commit for a commit that condemns packs because nothing in the
// state of b needs them: locking.Writer.Condemn. The index cache learns of it
// by the next Sync.
func (w *Writer) Condemn(ctx context.Context, c *record.Commit, b locking.Basis) error {
	c.Host, c.User = w.r.o.Host, w.r.o.User
	w.begin(c)
	defer w.begin(nil)
	w.r.carry(ctx, c)
	if err := w.lease.Condemn(ctx, c, b, locking.Release); err != nil {
		return err
	}
	w.named(len(c.Packs))
	return nil
}

// begin makes c the commit under way, and reports whether it may count on what
// is dead.
func (w *Writer) begin(c *record.Commit) (unchecked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.making, w.checked = c, -1
	if c != nil {
		c.Packs = slices.Clone(w.packs)
	}
	return w.unchecked
}

// named notes that a commit names the first n of the packs. More may have come
// meanwhile, behind them.
func (w *Writer) named(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packs = w.packs[n:]
}

// Checkpoint makes c, with the packs that were added, part of the repository,
// and the run goes on; where others wait, it gives up its turn, and Ensure waits
// for the next. The local cache learns of the commit when the run ends. It does
// not wait for others: false says that it is not the run's turn, or that what c
// counts on was removed, which the run's last commit has to deal with.
func (w *Writer) Checkpoint(ctx context.Context, c *record.Commit) (made bool, err error) {
	err = w.commit(ctx, c, locking.Yield)
	var locked *locking.LockedError
	if errors.As(err, &locked) || errors.Is(err, ErrGone) {
		return false, nil
	}
	return err == nil, err
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

// Turns returns how long the run waited for the lease, and held it.
func (w *Writer) Turns() (waited, held time.Duration) {
	t := w.lease.Turns()
	return t.Waited, t.Held
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
		ID: id, Kind: h.Kind, Length: uint64(size),
		HeaderLen: pre.HeaderLen, HeaderHash: blake3.Sum256(prefix), Header: prefix,
	}, h, nil
}
