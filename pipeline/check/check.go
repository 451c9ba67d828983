// Package check says whether a repository holds what its archives need: it
// trusts no cache and changes nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"

	"github.com/zeebo/blake3"
)

// Depth says how much is read.
type Depth int

const (
	Structure Depth = iota // headers and metadata, and that every pack has its length
	ReadData               // every byte of every pack
)

// Options say how to check.
type Options struct {
	Depth    Depth
	Progress *Progress // may be nil

	// Problem is told of what is wrong as it is found, one at a time: of all that
	// is wrong with packs and slots, and for each archive of up to namedMax
	// entries and ranges of entries, and how many more there are.
	Problem func(error)
	Warn    func(error) // told of damage that a second copy makes good; may be nil
}

// Progress counts what has been checked so far. Its fields may be read at any
// time.
type Progress struct {
	Packs, PacksTotal       atomic.Uint64
	Bytes                   atomic.Uint64 // of packs read whole
	Archives, ArchivesTotal atomic.Uint64
	Entries                 atomic.Uint64
}

// Summary says what was found.
type Summary struct {
	Packs, Archives, Entries, Bytes uint64
	Unreferenced                    uint64 // packs that no commit names: of runs under way or dead, no damage
	Problems                        uint64
	Bad                             []objects.ID // packs that are missing or damaged
}

// checker is one check under way.
type checker struct {
	repo     *repository.Repository // with an index of its own
	o        Options
	progress *Progress
	problems atomic.Uint64

	mu  sync.Mutex          // serialises Options.Problem; guards bad
	bad map[objects.ID]bool // chunks that cannot be read; guarded by mu

	badPacks map[objects.ID]bool // guarded by mu

	done      map[objects.ID]bool // packs that were checked, or are gone
	at        objects.ID          // the commit whose packs these are
	stray     uint64              // packs that no commit names, when they were listed last
	asking    sync.Mutex          // held while the repository is read anew
	overtaken bool                // packs were removed meanwhile; guarded by asking
}

// allPacks checks the packs of the repository. Where others remove some
// meanwhile, those that took their place are checked too.
func (c *checker) allPacks(ctx context.Context) error {
	for {
		c.overtaken = false
		state := c.repo.State()
		c.at = state.Commit
		c.progress.PacksTotal.Store(uint64(state.Packs.Len()))
		todo := map[objects.ID]record.Pack{}
		for p := range state.Packs.All() {
			if !c.done[p.ID] {
				todo[p.ID], c.done[p.ID] = p, true
			}
		}
		var err error
		c.stray, err = c.listed(ctx, state, todo)
		if err == nil {
			err = c.packs(ctx, todo)
		}
		if err != nil || !c.overtaken {
			return err
		}
	}
}

// removed reports whether a pack that is not there was condemned, and then
// deleted, since the repository was read.
func (c *checker) removed(ctx context.Context, id objects.ID) (bool, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	before := c.repo.State()
	if !before.Condemned.Has(id) {
		if err := c.repo.Refresh(ctx); err != nil {
			return false, err
		}
	}
	now := c.repo.State()
	dead := now.Condemned.Has(id)
	// What was added since is listed from here on, and has to be looked at, too.
	c.overtaken = c.overtaken || dead || now.Commit != before.Commit
	return dead, nil
}

// Run checks repo, which must have been opened without a cache, so that its
// index is what the packs say now. Damage is told to Options.Problem and
// counted; an error means that the check could not go on.
func Run(ctx context.Context, repo *repository.Repository, o Options) (Summary, error) {
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	c := &checker{
		repo: repo, o: o, progress: o.Progress,
		bad: map[objects.ID]bool{}, badPacks: map[objects.ID]bool{}, done: map[objects.ID]bool{},
	}
	err := c.allPacks(ctx)
	if err == nil {
		err = c.slots(ctx)
	}
	if err == nil {
		c.progress.ArchivesTotal.Store(uint64(repo.State().Archives.Len()))
		err = c.archives(ctx)
	}
	return Summary{
		Packs: c.progress.Packs.Load(), Archives: c.progress.Archives.Load(),
		Entries: c.progress.Entries.Load(), Bytes: c.progress.Bytes.Load(),
		Unreferenced: c.stray, Problems: c.problems.Load(), Bad: slices.Collect(maps.Keys(c.badPacks)),
	}, err
}

// packProblem is problem for what is wrong with a pack.
func (c *checker) packProblem(id objects.ID, err error) {
	c.mu.Lock()
	c.badPacks[id] = true
	c.mu.Unlock()
	c.problem(err)
}

func (c *checker) problem(err error) {
	c.problems.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Problem != nil {
		c.o.Problem(err)
	}
}

// listed compares the packs that are there with those of todo. Strays are those
// that state does not name.
func (c *checker) listed(ctx context.Context, state *record.State, todo map[objects.ID]record.Pack) (stray uint64, err error) {
	absent := make(map[backend.Key]record.Pack, len(todo))
	for id, p := range todo {
		absent[packer.Key(id)] = p
	}
	named := make(map[backend.Key]bool, state.Packs.Len())
	for p := range state.Packs.All() {
		named[packer.Key(p.ID)] = true
	}
	for id := range state.Condemned.All() {
		named[packer.Key(id)] = true // there for a day
	}
	for info, err := range c.repo.Backend().List(ctx, "packs/") {
		if err != nil {
			return 0, fmt.Errorf("list packs: %w", err)
		}
		if !named[info.Key] {
			stray++
		}
		if p, is := absent[info.Key]; is && info.Size != int64(p.Length) {
			c.packProblem(p.ID, fmt.Errorf("%s has %d bytes instead of %d", info.Key, info.Size, p.Length))
		}
		delete(absent, info.Key)
	}
	for _, p := range absent {
		if err := c.missing(ctx, p.ID); err != nil {
			return 0, err
		}
		delete(todo, p.ID)
	}
	return stray, nil
}

// missing tells of a pack that is not there, unless it was removed meanwhile.
func (c *checker) missing(ctx context.Context, id objects.ID) error {
	removed, err := c.removed(ctx, id)
	if err == nil && !removed {
		c.packProblem(id, fmt.Errorf("%s is missing", packer.Key(id)))
	}
	return err
}

// packs reads the header of every pack, or all of it, and fills the index.
func (c *checker) packs(ctx context.Context, todo map[objects.ID]record.Pack) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.width())
	for _, p := range todo {
		group.Go(func() error {
			err := c.pack(ctx, p)
			switch {
			case errors.Is(err, backend.ErrNotExist):
				if err := c.missing(ctx, p.ID); err != nil {
					return err
				}
			case objects.IsCorrupt(err):
				c.packProblem(p.ID, err)
			case err != nil:
				return err
			}
			c.progress.Packs.Add(1)
			return ctx.Err()
		})
	}
	return group.Wait()
}

// width is how many packs are read at the same time: headers wait for the
// store, whole packs for the processors.
func (c *checker) width() int {
	if c.o.Depth == ReadData {
		return runtime.GOMAXPROCS(0)
	}
	return 32
}

func (c *checker) pack(ctx context.Context, p record.Pack) error {
	p.Header = nil // what the pack itself says counts here
	if c.o.Depth == Structure {
		h, err := c.repo.Header(ctx, p)
		if err != nil {
			return err
		}
		return c.repo.Index.Add(packer.IndexPack(p), h)
	}
	return c.whole(ctx, p)
}

// whole reads all of a pack: its name, its header, every frame, every chunk.
func (c *checker) whole(ctx context.Context, p record.Pack) error {
	stored, err := c.repo.Backend().Get(ctx, packer.Key(p.ID), backend.Range{})
	if err != nil {
		return fmt.Errorf("read pack %s: %w", p.ID, err)
	}
	c.progress.Bytes.Add(uint64(len(stored)))
	if objects.ID(blake3.Sum256(stored)) != p.ID {
		c.packProblem(p.ID, objects.Corrupt("pack "+p.ID.String(), "its bytes do not have the hash that is its name"))
	}
	n := pack.PreambleLen + int(p.HeaderLen)
	if len(stored) < n || objects.ID(blake3.Sum256(stored[:n])) != p.HeaderHash {
		return objects.Corrupt("pack "+p.ID.String(), "its header is not the one that was committed")
	}
	h, err := pack.OpenHeader(c.repo.Keys, stored[:n])
	if err != nil {
		return fmt.Errorf("pack %s: %w", p.ID, err)
	}
	if err := c.repo.Index.Add(packer.IndexPack(p), h); err != nil {
		return err
	}
	hasher := c.repo.Keys.NewHasher()
	var raw []byte
	for i, f := range h.Frames {
		if raw, err = c.frame(raw, hasher, h, f, stored); err != nil {
			c.packProblem(p.ID, fmt.Errorf("pack %s, frame %d of %d: %w", p.ID, i+1, len(h.Frames), err))
			c.lost(h.FrameChunks(f))
		}
	}
	return nil
}

func (c *checker) frame(dst []byte, hasher *crypt.Hasher, h *pack.Header, f pack.Frame, stored []byte) ([]byte, error) {
	end := uint64(f.Off) + uint64(f.Stored)
	if end > uint64(len(stored)) {
		return dst, objects.Corrupt("frame", "the pack ends before it does")
	}
	raw, err := c.repo.OpenFrame(dst, h.Kind, h.Keys[f.Key], f, stored[f.Off:end])
	if err != nil || f.Count == 0 { // padding holds no chunks
		return raw, err
	}
	return raw, pack.Verify(hasher, h.Kind, raw, h.FrameChunks(f))
}

// lost remembers chunks that cannot be read.
func (c *checker) lost(chunks []pack.Chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range chunks {
		c.bad[chunk.ID] = true
	}
}

// damage reports whether err says that something stored is missing or not as
// it was: not that the store could not be asked.
func damage(err error) bool {
	var short *backend.ShortError
	return objects.IsCorrupt(err) || errors.As(err, &short) ||
		errors.Is(err, backend.ErrNotExist) || errors.Is(err, repository.ErrNoChunk) ||
		errors.Is(err, crypt.ErrNoEpoch) || errors.Is(err, objects.ErrNewer)
}

// entry checks that every chunk of e is in a pack and was read without error.
func (c *checker) entry(reader *archive.Reader, e *archive.Entry) error {
	if err := c.content(reader, &e.Content); err != nil {
		return err
	}
	for i := range e.Xattrs {
		if spilled := e.Xattrs[i].Spilled; spilled != nil {
			if err := c.content(reader, spilled); err != nil {
				return fmt.Errorf("extended attribute %s: %w", e.Xattrs[i].Name, err)
			}
		}
	}
	return nil
}

func (c *checker) content(reader *archive.Reader, content *archive.Content) error {
	at := uint64(0)
	for x, err := range reader.Extents(content) {
		if err != nil {
			return err
		}
		if !x.Hole {
			if err := c.chunk(x); err != nil {
				return fmt.Errorf("bytes %d to %d: %w", at, at+x.Len, err)
			}
		}
		at += x.Len
	}
	return nil
}

func (c *checker) chunk(x archive.Extent) error {
	if c.bad[x.ID] {
		return objects.Corrupt("chunk "+x.ID.String(), "the pack that holds it is")
	}
	place, ok, err := c.repo.Index.Lookup(x.ID)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("chunk %s %w", x.ID, repository.ErrNoChunk)
	}
	if place.Kind != objects.Data {
		return objects.Corrupt("chunk "+x.ID.String(), "it lies in a pack of metadata")
	}
	if uint64(place.Len) != x.Len {
		return objects.Corrupt("chunk "+x.ID.String(), "it has %d bytes instead of %d", place.Len, x.Len)
	}
	return nil
}
