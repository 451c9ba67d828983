package index

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"cairn/objects"
	"cairn/objects/pack"
)

// limits bound memory and the number of runs that a lookup searches.
type limits struct {
	recent    int // chunks and frames kept in memory before they become a run
	committed int // runs in the manifest
	pending   int // further runs, until Commit
}

// Eight runs in all. The recent table takes about 8 MiB when full; in an index
// of ten million chunks, each is written five times.
func defaults() limits { return limits{recent: 128 << 10, committed: 4, pending: 4} }

// Index maps chunk IDs to places. Its methods may be called concurrently, but
// not after Close.
//
// Memory does not grow with the number of chunks, except for a bit for every
// 4 KiB of run, and while runs are merged 16 bytes for every pack and 8 for two
// of a thousand chunks. The rest is mapped files, which the kernel can take back.
type Index struct {
	folder *folder
	found  Found
	limits limits

	// writing serialises everything that changes the fields guarded by mu. A
	// writer prepares new runs without mu, so that lookups go on meanwhile.
	writing sync.Mutex

	// mu guards what follows. It is held for reading while a run is in use,
	// so that a run that is no longer in the sets can be unmapped. Writers
	// hold writing too, so they may read without it.
	mu        sync.RWMutex
	state     State
	committed []*run
	pending   []*run
	runs      []*run // both, largest first
	draft     draft

	doubts map[objects.ID]doubt // packs that are not to be counted on
	added  int                  // rows of the draft in recent
	refuse int                  // rows of the draft when the disk last refused a run; 0: it did not

	recent recent // has locks of its own; rows move from it to a run under mu
}

// Place is where a chunk is.
type Place struct {
	Pack     objects.ID
	Kind     objects.Kind
	Key      pack.Key
	Frame    pack.Frame // First and Count are not kept: zero
	Off, Len uint32     // in the frame's plaintext, bytes
}

// Pack is what the index knows of a pack beside its chunks.
type Pack struct {
	ID        objects.ID
	Kind      objects.Kind
	Len       int64  // bytes
	HeaderLen uint32 // FORMAT.md §7.2, bytes
}

// Open opens the cache in dir, which it makes if need be, for repository repo.
// A cache that is damaged, of another repository or of a newer version is
// emptied; Found says so. An error means that the machine has not the means
// to map it.
func Open(dir string, repo objects.RepositoryID) (*Index, error) {
	return open(dir, repo, defaults())
}

func open(dir string, repo objects.RepositoryID, l limits) (*Index, error) {
	d := openFolder(dir, repo)
	m, runs, found, err := d.load()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open index cache: %w", err), d.close())
	}
	x := &Index{folder: d, found: found, limits: l, state: m.state}
	x.setRuns(runs, nil)
	return x, nil
}

// Found reports what Open met.
func (x *Index) Found() Found { return x.found }

// Saves reports whether Commit will be seen by the next Open. It is not while
// another process has the cache open, or where dir cannot be written to; then
// the index works for this process alone.
func (x *Index) Saves() bool { return x.folder.lock != nil }

// State returns what the index stands for, without what was added since.
func (x *Index) State() State {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.state
}

// setRuns needs mu for writing, or an index that nobody else has yet.
func (x *Index) setRuns(committed, pending []*run) {
	x.committed, x.pending = committed, pending
	x.runs = slices.Concat(committed, pending)
	slices.SortStableFunc(x.runs, bySize)
}

// bySize puts larger runs first.
func bySize(a, b *run) int { return cmp.Compare(b.header.counts.chunks, a.header.counts.chunks) }

// Lookup returns a place of chunk id; ok is false when no pack has it. When a
// page that might name a place is rotten, the error is ErrDamaged. It does not
// allocate.
func (x *Index) Lookup(id objects.ID) (p Place, ok bool, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.doubts) > 0 {
		return x.lookupDoubting(&id)
	}
	if ok, err = x.search(&id, &p); ok {
		return p, true, nil
	}
	if c, found := x.recent.find(&id); found {
		return x.draft.place(c), true, nil
	}
	return Place{}, false, err
}

// lookupDoubting is Lookup where packs are in doubt: the least doubtful place
// is the best. It needs mu.
func (x *Index) lookupDoubting(id *objects.ID) (p Place, ok bool, err error) {
	if found, _ := x.inRunsUpTo(trusted, id, &p); found {
		return p, true, nil
	}
	if c, found := x.recent.find(id); found {
		return x.draft.place(c), true, nil
	}
	if ok, err = x.inRunsUpTo(distrusted, id, &p); !ok {
		p = Place{}
	}
	return p, ok, err
}

// Has reports whether a pack has chunk id, as Lookup does.
func (x *Index) Has(id objects.ID) (bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.has(&id)
}

// has needs mu.
func (x *Index) has(id *objects.ID) (bool, error) {
	found, err := x.inRuns(id)
	if found {
		return true, nil
	}
	if _, found := x.recent.find(id); found {
		return true, nil
	}
	return false, err
}

// HasAll reports whether Has holds for every one of ids. Many of them cost a
// fraction each of what one costs. It does not allocate.
func (x *Index) HasAll(ids []objects.ID) (bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for len(ids) > 0 {
		some := ids[:min(len(ids), idsTogether)]
		ids = ids[len(some):]
		var sure uint32
		if len(x.doubts) == 0 && len(some) > 1 {
			sure = surelyInRuns(x.runs, some)
		}
		for i := range some {
			if sure>>i&1 == 1 {
				continue
			}
			if ok, err := x.has(&some[i]); !ok {
				return false, err
			}
		}
	}
	return true, nil
}

// Claim reports whether the caller is to store chunk id: true for exactly one
// caller if no pack has the chunk. The claim lasts until a pack with the chunk
// is added, or Discard. A chunk whose page is rotten counts as unknown: it is
// stored once more, and the cache is dropped at Close.
func (x *Index) Claim(id objects.ID) (first bool) {
	// mu is held over both steps: no chunk moves from the table to a run
	// between them.
	x.mu.RLock()
	defer x.mu.RUnlock()
	if known, _ := x.inRuns(&id); known {
		return false
	}
	return x.recent.claim(&id)
}

// Add makes the chunks of pack p findable, until Discard or Close unless
// Commit comes first. h is the pack's opened header. Adding a pack again does
// nothing, and adding a dropped one gives up the claims of its chunks.
//
// When the disk refuses a run, that is no error: the chunks can be found all the
// same, take memory, and go into the next run that can be written. Commit says
// what is wrong with the disk.
func (x *Index) Add(p Pack, h *pack.Header) error {
	if err := check(p, h); err != nil {
		return fmt.Errorf("index pack %s: %w", p.ID, err)
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.knows(p.ID) {
		return nil
	}
	if x.is(dropped, p.ID) {
		x.recent.unclaim(h.Chunks) // they were stored in vain
		return nil
	}
	x.mu.Lock()
	x.insert(p, h)
	x.mu.Unlock()
	x.relieve()
	return nil
}

// relieve makes a run of the draft when it is large. It needs writing.
func (x *Index) relieve() {
	n := x.added + len(x.draft.frames)
	if n < x.limits.recent || n < 2*x.refuse {
		return
	}
	x.refuse = 0
	if x.spill() != nil {
		x.refuse = n // a disk that is full is not asked again for every pack
	}
}

// errHeader says that the caller's header is not one that pack.OpenHeader
// returns for that pack.
var errHeader = errors.New("header and pack do not belong together")

func check(p Pack, h *pack.Header) error {
	if p.Kind != h.Kind || p.Len < 0 || p.Len > 1<<32-1 {
		return errHeader
	}
	for _, f := range h.Frames {
		last := uint64(f.First) + uint64(f.Count)
		if uint64(f.Key) >= uint64(len(h.Keys)) || last > uint64(len(h.Chunks)) {
			return errHeader
		}
	}
	return nil
}

// knows reports whether the pack was added before. Where a rotten page hides
// the answer it is false: the merge of two runs drops the second copy.
func (x *Index) knows(id objects.ID) bool {
	if _, ok := x.draft.known[id]; ok {
		return true
	}
	for _, r := range x.runs {
		if _, ok, _ := r.findPack(id); ok {
			return true
		}
	}
	return false
}

// insert needs mu.
func (x *Index) insert(p Pack, h *pack.Header) {
	number, first := x.draft.add(p, h)
	for i, f := range h.Frames {
		off := uint32(0)
		for _, c := range h.FrameChunks(f) {
			x.recent.add(chunkRow{id: c.ID, lead: lead{first + uint32(i), number}, off: off, len: c.Len})
			off += c.Len
		}
		x.added += int(f.Count)
	}
}

// Close ends the use of the index; what was not committed is forgotten. A
// cache in which a rotten page was met is removed.
func (x *Index) Close() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	var err error
	if x.damaged() {
		err = x.folder.forget()
		x.pending = x.runs
	}
	for _, r := range x.runs {
		if slices.Contains(x.pending, r) {
			err = errors.Join(err, r.remove())
		} else {
			err = errors.Join(err, r.close())
		}
	}
	x.setRuns(nil, nil)
	x.draft = draft{}
	x.recent.reset()
	err = errors.Join(err, x.folder.close())
	x.folder.lock = nil
	if err != nil {
		return fmt.Errorf("close index cache: %w", err)
	}
	return nil
}

// damaged reports whether a rotten page was met in a run that is in use.
func (x *Index) damaged() bool {
	return slices.ContainsFunc(x.runs, func(r *run) bool { return r.damaged.Load() })
}
