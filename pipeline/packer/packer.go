// Package packer turns chunks into stored packs: the writing half of every
// command that adds data to a repository.
//
// Workers each own a Framer, which names chunks, drops the known ones and
// gathers the rest into frames (FORMAT.md §7.6). A frame is compressed in the
// worker and sealed straight into the run's one open pack of its kind; a full
// pack is stored in the background while the next one fills.
package packer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
)

// headersKept is how many bytes of pack headers a Packer remembers. Those of
// further packs are read from the packs by whoever wants them.
const headersKept = 8 << 20

// Store is what a Packer asks of the place where packs are kept.
type Store interface {
	Put(ctx context.Context, key backend.Key, parts ...[]byte) error
}

// Try says on which chunks of data compression is tried. Metadata is always
// worth it.
type Try uint8

const (
	Likely Try = iota // those that look as if it paid (pack.Compressible)
	All
	None
)

// Options say where and how packs are written. All fields but Stats, Level, Try,
// Entropy, Size, Stored and Before are required.
type Options struct {
	Keys      *crypt.Keys
	Store     Store
	Index     *index.Index
	FrameSize int // bytes of plaintext a frame gathers
	Target    int // bytes of a pack of data
	Uploads   int // packs stored at the same time while one fills; one more at the end
	Level     pack.Level
	Try       Try
	Entropy   func() []byte // see pack.Options; called for every pack
	Stats     *Stats        // is counted on, over several Packers of one run; nil: begins at zero

	// Stored is told of every pack that has become durable, and keeps none of
	// it. It may be called concurrently; may be nil.
	Stored func(*pack.Pack)

	// Size, unless nil, returns how long packs should be for now, bytes: a slow
	// way to the store is better off with short ones. measured is false as long
	// as nobody knows, because none has gone that way; then one goes first.
	Size func() (n int64, measured bool)

	// Before is called before every pack is stored, by one goroutine at a
	// time: the place to take a lock. It may be nil.
	Before func(context.Context) error
}

// Stats count what was stored. They only grow while a Packer runs.
type Stats struct {
	Chunks atomic.Uint64 // new chunks
	Raw    atomic.Uint64 // their plaintext, bytes
	Stored atomic.Uint64 // bytes of finished packs
	Packs  atomic.Uint64
}

// Packer is the writer of one run. Memory: at most 1+Uploads packs of data and
// two of metadata, which are a quarter as large.
type Packer struct {
	Stats *Stats

	o     Options
	group *errgroup.Group
	spawn func(func(context.Context) error) // runs in group, under the context New returned
	data  openPack
	meta  openPack

	asking chan struct{} // holds a token while Before is asked

	mu      sync.Mutex
	packs   []record.Pack              // durable, not taken yet; guarded by mu
	headers int                        // bytes of headers in packs; guarded by mu
	storing map[chan struct{}]struct{} // closed when a pack is durable, one each; guarded by mu
}

// New starts a Packer. The context it returns ends when ctx does or when a
// pack could not be stored, with the reason as its cause; everything that
// feeds the Packer runs under it. Close must be called to learn whether all
// was stored.
func New(ctx context.Context, o Options) (*Packer, context.Context) {
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	p := &Packer{Stats: o.Stats, o: o, asking: make(chan struct{}, 1), storing: map[chan struct{}]struct{}{}}
	p.group, ctx = errgroup.WithContext(ctx)
	p.spawn = func(f func(context.Context) error) { p.group.Go(func() error { return f(ctx) }) }
	p.data.init(objects.Data, o.Target, o.Uploads)
	p.meta.init(objects.Meta, o.Target/metaShare, 1)
	return p, ctx
}

// metaShare is how many times smaller than packs of data those of metadata
// are: a run makes few of them, and they need not take as much memory.
const metaShare = 4

// openPack is the one pack of its kind that is being filled.
type openPack struct {
	kind   objects.Kind
	target int
	room   chan struct{} // a token for every pack that may be in memory
	memory *pack.Buffers

	mu      sync.Mutex
	builder *pack.Builder // nil: none is open; guarded by mu
}

// init makes room for one pack that is filled and others that are stored.
func (o *openPack) init(kind objects.Kind, target, uploads int) {
	o.kind, o.target = kind, target
	o.room = make(chan struct{}, 1+uploads)
	o.memory = pack.NewBuffers(target, cap(o.room))
}

// add seals one frame into the open pack.
func (p *Packer) add(ctx context.Context, kind objects.Kind, c pack.Compression, payload []byte, chunks []pack.Chunk) error {
	return p.into(ctx, kind, func(b *pack.Builder) (bool, error) { return b.Add(c, payload, chunks) })
}

// Move takes over a frame of another pack as it is stored there, which the
// caller has verified: opened it, or the whole pack by its name. It keeps none
// of the slices.
func (p *Packer) Move(ctx context.Context, kind objects.Kind, key pack.Key, f pack.Frame, stored []byte, chunks []pack.Chunk) error {
	p.Stats.Chunks.Add(uint64(len(chunks)))
	p.Stats.Raw.Add(uint64(f.Raw))
	return p.into(ctx, kind, func(b *pack.Builder) (bool, error) { return b.AddSealed(key, f, stored, chunks) })
}

// into adds one frame to the open pack, opening and closing packs as needed.
func (p *Packer) into(ctx context.Context, kind objects.Kind, add func(*pack.Builder) (bool, error)) error {
	open := &p.data
	if kind == objects.Meta {
		open = &p.meta
	}
	for {
		b, err := p.current(ctx, open)
		if err != nil {
			return err
		}
		ok, err := add(b)
		if errors.Is(err, pack.ErrFinished) {
			continue // another worker has just retired it: there is a new one
		}
		switch {
		case err != nil:
			return err
		case ok:
			return p.shorten(ctx, open, b)
		}
		p.retire(open, b, pack.ToQuantum)
	}
}

// shorten retires b before it is full, if it is long enough for the way to the
// store. As long as nobody knows that, it waits for a pack that is on its way.
func (p *Packer) shorten(ctx context.Context, open *openPack, b *pack.Builder) error {
	for p.o.Size != nil {
		n, measured := p.o.Size()
		if b.Len() < n {
			return nil
		}
		durable := p.oneStoring()
		if measured || durable == nil {
			p.retire(open, b, pack.ToPadme)
			return nil
		}
		select {
		case <-durable:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// oneStoring returns what is closed when some pack that is being stored is
// durable, or nil.
func (p *Packer) oneStoring() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	for durable := range p.storing {
		return durable
	}
	return nil
}

// current returns the open builder, beginning a pack when there is none: that
// waits until there is room for one more.
func (p *Packer) current(ctx context.Context, open *openPack) (*pack.Builder, error) {
	open.mu.Lock()
	defer open.mu.Unlock()
	if open.builder != nil {
		return open.builder, nil
	}
	select {
	case open.room <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	o := pack.Options{Target: open.target, Random: rand.Reader, Buffers: open.memory}
	if p.o.Entropy != nil {
		o.Entropy = p.o.Entropy()
	}
	b, err := pack.NewBuilder(p.o.Keys, open.kind, o)
	if err != nil {
		<-open.room
		return nil, err
	}
	open.builder = b
	return b, nil
}

// retire closes b, if it is still the open pack, and stores it in the
// background: longer than the stage that filled it may run. One that a worker has
// just begun, and put nothing into yet, stays open.
func (p *Packer) retire(open *openPack, b *pack.Builder, padding pack.Padding) {
	open.mu.Lock()
	defer open.mu.Unlock()
	if open.builder != b || b == nil || b.Empty() {
		return
	}
	open.builder = nil
	durable := make(chan struct{})
	p.mu.Lock()
	p.storing[durable] = struct{}{}
	p.mu.Unlock()
	p.spawn(func(ctx context.Context) error {
		defer func() { <-open.room }()
		if err := p.store(ctx, b, padding); err != nil {
			return err // the context ends with it, and whoever waits sees that
		}
		p.mu.Lock()
		delete(p.storing, durable)
		p.mu.Unlock()
		close(durable)
		return nil
	})
}

// Settle stores what the open packs hold, and waits until all that was sealed
// before the call is durable. A Framer's chunks are sealed by its Flush. The
// context is the one that New returned, or comes from it.
func (p *Packer) Settle(ctx context.Context) error {
	for _, open := range []*openPack{&p.data, &p.meta} {
		open.mu.Lock()
		b := open.builder
		open.mu.Unlock()
		p.retire(open, b, pack.ToPadme)
	}
	p.mu.Lock()
	waiting := slices.Collect(maps.Keys(p.storing))
	p.mu.Unlock()
	for _, durable := range waiting {
		select {
		case <-durable:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Take returns the packs that have become durable since it was called last, for
// a commit to name them. The next commit has as much room for headers again.
func (p *Packer) Take() []record.Pack {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.packs
	p.packs, p.headers = nil, 0
	return taken
}

// ready returns what Before answers.
func (p *Packer) ready(ctx context.Context) error {
	if p.o.Before == nil {
		return nil
	}
	select {
	case p.asking <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.asking }()
	return p.o.Before(ctx)
}

// store finishes one pack and makes it durable and findable.
func (p *Packer) store(ctx context.Context, b *pack.Builder, padding pack.Padding) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	done, err := b.Finish(padding)
	if err != nil {
		return err
	}
	defer done.Release()
	if err := p.o.Store.Put(ctx, Key(done.ID), done.Parts...); err != nil {
		return fmt.Errorf("store pack %s: %w", done.ID, err)
	}
	// Durable from here on: should the run die now, the pack is an
	// unreferenced object that a later run adopts.
	entry := p.record(done)
	if err := p.o.Index.Add(IndexPack(entry), done.Header); err != nil {
		return fmt.Errorf("index pack %s: %w", done.ID, err)
	}
	if p.o.Stored != nil {
		p.o.Stored(done)
	}
	p.Stats.Packs.Add(1)
	p.Stats.Stored.Add(uint64(done.Size))
	return nil
}

// record notes a durable pack for the commit, with its header while there is
// room for it.
func (p *Packer) record(done *pack.Pack) record.Pack {
	entry := record.Pack{
		ID:         done.ID,
		Kind:       done.Kind,
		Length:     uint64(done.Size),
		HeaderLen:  uint32(len(done.Prefix) - pack.PreambleLen),
		HeaderHash: done.PrefixHash,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.headers+len(done.Prefix) <= headersKept {
		p.headers += len(done.Prefix)
		entry.Header = append([]byte(nil), done.Prefix...)
	}
	p.packs = append(p.packs, entry)
	return entry
}

// Close stores what is still open and waits for everything under way. Every
// Framer must have been flushed. It returns the packs of the run that were not
// taken yet, with more headers than ride in a commit record: all of them are
// durable if the error is nil.
func (p *Packer) Close() ([]record.Pack, error) {
	for _, open := range []*openPack{&p.data, &p.meta} {
		p.retire(open, open.builder, pack.ToPadme)
	}
	if err := p.group.Wait(); err != nil {
		return nil, err
	}
	return p.Take(), nil
}

// IndexPack is what the index keeps of a pack.
func IndexPack(p record.Pack) index.Pack {
	return index.Pack{ID: p.ID, Kind: p.Kind, Len: int64(p.Length), HeaderLen: p.HeaderLen}
}

// Key is where the pack named id is stored (FORMAT.md §2).
func Key(id objects.ID) backend.Key {
	name := id.String()
	return backend.Key("packs/" + name[:2] + "/" + name)
}

// ParseKey returns the ID of the pack that is stored at key; ok is false if key
// is not a pack's.
func ParseKey(key backend.Key) (id objects.ID, ok bool) {
	id, err := objects.ParseID(path.Base(string(key)))
	return id, err == nil && Key(id) == key
}
