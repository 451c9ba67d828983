// Package repository opens a repository and reads what it holds: the one
// place where keys, the commit chain, the index cache and the stored packs
// come together.
package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cairn/backend"
	"cairn/index"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
)

// Errors that callers tell apart.
var (
	ErrNotFound   = errors.New("there is no repository")
	ErrIncomplete = errors.New("the repository was never finished: init was interrupted before anything could be stored in it; run init again")
	ErrExists     = errors.New("there is a repository already")
	ErrNoKey      = errors.New("no key fits")
)

// Store is a place that can hold a repository.
type Store struct {
	Backend  backend.Backend
	Register locking.Register

	// PackSize, unless nil, returns how long packs should be for now: see
	// packer.Options.Size.
	PackSize func() (n int64, measured bool)
}

// Options say how a repository is opened.
type Options struct {
	Unlock   Unlocker
	Location string // names the store, for what is kept on this machine; empty: it is not recognised
	CacheDir string // holds a folder for each repository
	StateDir string // holds what was last seen of each repository

	// MetaLimit is how many bytes of packs of metadata are kept in CacheDir, so
	// that they need not be read from a store that is far; 0: none.
	MetaLimit int64

	Rollback locking.Rollback

	Warn func(error) // is told of damage that was healed, and the like; may be nil
	// Indexing is told how many of the packs that the index cache lacks have been
	// read into it. It may be called concurrently; may be nil.
	Indexing func(done, total int)

	// For others who wait while this process writes, and for waiting for them.
	Host, User, Command string
	Wait                time.Duration
	Waiting             func(locking.Waiting) // may be nil
	Timing              locking.Timing        // zero outside of tests
}

// Repository is an open repository. Its methods may be called concurrently
// unless they say otherwise.
type Repository struct {
	Config record.Config
	Keys   *crypt.Keys
	Index  *index.Index

	store   Store
	o       Options
	chain   *locking.Chain
	news    atomic.Pointer[locking.News]
	openers map[objects.Kind]*pack.Opener
	meta    *metaCache
	rebuild sync.Mutex // held while the index is built anew

	moving sync.Mutex
	missed map[objects.ID]bool // packs that are not there and were not condemned; guarded by moving

	doubting sync.Mutex
	doubted  map[objects.ID]struct{} // packs that were warned about; guarded by doubting
	absent   map[objects.ID]error    // of these, what is not there, and that was not told yet; guarded by doubting

	hinting sync.Mutex
	hints   []listedBundle // that records named and nobody has read; guarded by hinting

	keeping sync.Mutex
	kept    objects.ID // the commit of the state that this machine remembers; guarded by keeping
}

// Open opens the repository in store and reads what is in it now. The caller
// closes it.
func Open(ctx context.Context, store Store, o Options) (*Repository, error) {
	r := &Repository{store: store, o: o, doubted: map[objects.ID]struct{}{}}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	id := r.Config.Repository
	var err error
	r.Index, err = index.Open(filepath.Join(o.CacheDir, id.String(), "index"), id)
	if err != nil {
		return nil, err
	}
	if err := r.recallDistrust(); err != nil {
		r.warn(err) // it only spares what is stored twice
	}
	return r, nil
}

// enter unlocks the repository and reads what is in it: in one request, if
// nothing has changed since this machine was here last.
func (r *Repository) enter(ctx context.Context) error {
	r.o.Unlock = r.o.Unlock.askingOnce()
	defer func() { r.o.Unlock = Unlocker{} }() // the passphrase is not needed any more
	known := recallEntrance(&r.o)
	if known.config != nil {
		e, err := r.enterBy(ctx, known)
		if err == nil && !bytes.Equal(e.slot, known.slot) {
			r.keepEntrance(e)
		}
		if err == nil || !outdated(err) {
			return err
		}
	}
	config, err := r.readConfig(ctx)
	if err != nil {
		return err
	}
	e, err := r.enterBy(ctx, entrance{config: config})
	if errors.Is(err, locking.ErrNoHead) {
		err = r.firstHead(ctx, err)
		if err == nil {
			err = r.Refresh(ctx)
		}
	}
	if err == nil {
		r.keepEntrance(e)
	}
	return err
}

// enterBy enters with that config, and returns it with the slot that fitted.
func (r *Repository) enterBy(ctx context.Context, e entrance) (entrance, error) {
	e, err := r.unlock(ctx, e)
	if err != nil {
		return e, err
	}
	r.meta = newMetaCache(&r.o, r.Config.Repository)
	r.openers = map[objects.Kind]*pack.Opener{
		objects.Data: pack.NewOpener(r.Keys, objects.Data),
		objects.Meta: pack.NewOpener(r.Keys, objects.Meta),
	}
	r.chain, err = locking.New(locking.Options{
		Register: r.store.Register, Records: r.store.Backend, Keys: r.Keys, Known: r.recallState(),
		Witness: locking.NewWitness(filepath.Join(r.o.StateDir, r.Config.Repository.String())), Rollback: r.o.Rollback,
		Self: locking.Self(), Look: locking.Look, Warn: r.warn, Timing: r.o.Timing,
	})
	if err != nil {
		return e, err
	}
	return e, r.Refresh(ctx)
}

// Refresh reads what changed since the repository was read last.
func (r *Repository) Refresh(ctx context.Context) error {
	news, err := r.chain.Refresh(ctx)
	if err != nil {
		return err
	}
	r.note(news)
	return nil
}

// note makes news what State returns.
func (r *Repository) note(news locking.News) {
	r.news.Store(&news)
	r.hinting.Lock()
	for _, link := range news.Records {
		for _, id := range link.Record.Bundles {
			r.hints = append(r.hints, listedBundle{id: id})
		}
	}
	r.hinting.Unlock()
	r.keepState(news.State)
}

// takeHints returns the bundles that were named since it was called last.
func (r *Repository) takeHints() []listedBundle {
	r.hinting.Lock()
	defer r.hinting.Unlock()
	hints := r.hints
	r.hints = nil
	return hints
}

// firstHead makes the head of a repository whose init died before it did. One
// that holds anything has lost its head, which is damage: missing.
func (r *Repository) firstHead(ctx context.Context, missing error) error {
	for _, prefix := range []backend.Prefix{"commits/", "packs/"} {
		for _, err := range r.store.Backend.List(ctx, prefix) {
			if err != nil {
				return fmt.Errorf("look for %s: %w", strings.TrimSuffix(string(prefix), "/"), err)
			}
			return missing
		}
	}
	return r.chain.Init(ctx)
}

func (r *Repository) readConfig(ctx context.Context) ([]byte, error) {
	stored, err := r.store.Backend.Get(ctx, configKey, backend.Range{})
	if errors.Is(err, backend.ErrNotExist) {
		return nil, r.missing(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return stored, nil
}

// unlock reads config and finds a key that fits, in the slot of e if it has
// one. It returns e with the slot that was opened.
func (r *Repository) unlock(ctx context.Context, e entrance) (entrance, error) {
	clear, damaged, err := record.PeekConfig(e.config)
	if err != nil {
		return e, err
	}
	if damaged {
		r.warn(errors.New("one of the two copies of config is damaged; the other one is used"))
	}
	master, slot, err := r.o.Unlock.unlock(ctx, r, clear.Repository, e.slot)
	if err != nil {
		return e, err
	}
	e.slot = slot
	if r.Keys, err = crypt.Derive(master, clear.Repository, clear.AEAD); err != nil {
		return e, err
	}
	r.Config, err = record.DecodeConfig(r.Keys, e.config)
	return e, err
}

// missing tells a half-made repository from none at all.
func (r *Repository) missing(ctx context.Context) error {
	if err := lostConfig(ctx, r.store.Backend); err != nil {
		return err
	}
	for _, err := range r.store.Backend.List(ctx, "keys/") {
		if err != nil {
			return fmt.Errorf("look for a repository: %w", err)
		}
		return ErrIncomplete
	}
	return ErrNotFound
}

// lostConfig returns an error if there are commits: a repository without config
// is damaged then, and neither to be finished nor to be made anew.
func lostConfig(ctx context.Context, store backend.Backend) error {
	for _, err := range store.List(ctx, "commits/") {
		if err != nil {
			return fmt.Errorf("look for commits: %w", err)
		}
		return objects.Corrupt("config", "it is missing, and there are commits")
	}
	return nil
}

func (r *Repository) indexing(done, total int) {
	if r.o.Indexing != nil {
		r.o.Indexing(done, total)
	}
}

func (r *Repository) warn(err error) {
	if r.o.Warn != nil {
		r.o.Warn(err)
	}
}

// Backend returns where the repository's objects are kept.
func (r *Repository) Backend() backend.Backend { return r.store.Backend }

// PackSize returns how long packs should be for now: see packer.Options.Size.
// It is nil where that does not depend on the way to the store.
func (r *Repository) PackSize() func() (n int64, measured bool) { return r.store.PackSize }

// State returns what the repository held when it was read last. It must not
// be changed.
func (r *Repository) State() *record.State { return r.news.Load().State }

// Head returns the lock table and what else head said when it was read last. It
// must not be changed.
func (r *Repository) Head() record.Head { return r.news.Load().Head }

// Record reads the commit record at m, which a later one or head named.
func (r *Repository) Record(ctx context.Context, m locking.Mark) (*record.Commit, error) {
	return r.chain.Record(ctx, m)
}

// Swept notes what locking.Chain.Swept does.
func (r *Repository) Swept(ctx context.Context, head record.Head, left uint64) error {
	return r.chain.Swept(ctx, head, left)
}

// Close gives up what Open took, except the store. The index cache is kept.
func (r *Repository) Close() error { return r.Index.Close() }
