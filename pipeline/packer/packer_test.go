package packer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"

	"github.com/zeebo/blake3"
)

// The smallest packs there are make many of them from little data.
const (
	target    = 16 << 10
	frameSize = 4 << 10
)

// bench is what a Packer works with.
type bench struct {
	t     testing.TB
	keys  *crypt.Keys
	index *index.Index
	store *mem.Store
}

func newBench(t testing.TB) *bench {
	t.Helper()
	master, err := crypt.NewMaster(rand.NewChaCha8([32]byte{1}))
	must(t, err)
	repo := objects.RepositoryID{1}
	keys, err := crypt.Derive(master, repo, crypt.Preferred())
	must(t, err)
	x, err := index.Open(t.TempDir(), repo)
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	return &bench{t: t, keys: keys, index: x, store: new(mem.Store)}
}

func (b *bench) options(uploads int) packer.Options {
	return packer.Options{
		Keys: b.keys, Store: b.store, Index: b.index,
		FrameSize: frameSize, Target: target, Uploads: uploads, Level: pack.Fastest,
	}
}

// framer returns a Framer of file data.
func (b *bench) framer(p *packer.Packer, kind objects.Kind) *packer.Framer {
	b.t.Helper()
	f, err := p.NewFramer(kind)
	must(b.t, err)
	return f
}

// find returns the plaintext of a chunk, by way of the index and the store.
func (b *bench) find(id objects.ID) ([]byte, error) {
	place, ok, err := b.index.Lookup(id)
	if err != nil || !ok {
		return nil, fmt.Errorf("chunk %s: found %v, %w", id.Short(), ok, err)
	}
	f := place.Frame
	sealed, err := b.store.Get(context.Background(), packer.Key(place.Pack), backend.Range{Off: int64(f.Off), Len: int64(f.Stored)})
	if err != nil {
		return nil, err
	}
	raw, err := pack.NewOpener(b.keys, place.Kind).Open(nil, place.Key, f, sealed)
	if err != nil {
		return nil, err
	}
	return raw[place.Off : place.Off+place.Len], nil
}

// noise returns n bytes that do not shrink and depend on seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p) // never fails
	return p
}

// text returns n bytes that shrink and depend on seed.
func text(seed uint64, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%8d ", seed), n/9+1)[:n]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Many goroutines store chunks of all sorts, most of them the same ones. Each
// chunk is in exactly one pack, can be found, and every pack is as the record
// says.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p, ctx := packer.New(context.Background(), b.options(2))
	const workers, each = 8, 400
	chunk := func(w, i int) []byte {
		seed := uint64(i)
		if i%4 == 0 {
			seed = uint64(w*each + i) // this worker's own
		}
		if i%3 == 0 {
			return text(seed, 1+i*7%frameSize)
		}
		return noise(seed, 1+i*13%frameSize)
	}
	var named sync.Map // objects.ID to its bytes
	var feeders sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		kind := []objects.Kind{objects.Data, objects.Meta}[w%2]
		f := b.framer(p, kind)
		feeders.Go(func() {
			for i := range each {
				id, err := f.Put(ctx, chunk(w, i))
				if err != nil {
					errs[w] = err
					return
				}
				named.Store(id, chunk(w, i))
			}
			errs[w] = f.Flush(ctx)
		})
	}
	feeders.Wait()
	must(t, errors.Join(errs...))
	packs, err := p.Close()
	must(t, err)

	count := 0
	named.Range(func(id, want any) bool {
		count++
		got, err := b.find(id.(objects.ID))
		if err != nil || !bytes.Equal(got, want.([]byte)) {
			t.Errorf("a chunk of %d bytes is not what was put: %d bytes, %v", len(want.([]byte)), len(got), err)
		}
		return !t.Failed()
	})
	if got := p.Stats.Chunks.Load(); got != uint64(count) {
		t.Errorf("got %d new chunks, want %d: some were stored twice", got, count)
	}
	b.checkRecords(packs, p.Stats)
}

// checkRecords holds what Close returned against what is stored.
func (b *bench) checkRecords(packs []record.Pack, stats *packer.Stats) {
	b.t.Helper()
	var stored, headers, chunks uint64
	for _, r := range packs {
		p, err := b.store.Get(context.Background(), packer.Key(r.ID), backend.Range{})
		must(b.t, err)
		prefix := p[:pack.PreambleLen+r.HeaderLen]
		switch {
		case objects.ID(blake3.Sum256(p)) != r.ID:
			b.t.Errorf("pack %s does not have the hash that names it", r.ID.Short())
		case uint64(len(p)) != r.Length:
			b.t.Errorf("pack %s: got length %d, want %d", r.ID.Short(), r.Length, len(p))
		case objects.ID(blake3.Sum256(prefix)) != r.HeaderHash:
			b.t.Errorf("pack %s: the hash of its header is not recorded", r.ID.Short())
		case r.Header != nil && !bytes.Equal(r.Header, prefix):
			b.t.Errorf("pack %s: the header in its record is another one", r.ID.Short())
		}
		h, err := pack.OpenHeader(b.keys, prefix)
		must(b.t, err)
		stored, headers, chunks = stored+r.Length, headers+uint64(len(r.Header)), chunks+uint64(len(h.Chunks))
	}
	if headers > 8<<20 {
		b.t.Errorf("got %d bytes of headers, want at most %d", headers, 8<<20)
	}
	if got := stats.Stored.Load(); got != stored {
		b.t.Errorf("got Stats.Stored %d, want %d", got, stored)
	}
	if got := stats.Packs.Load(); got != uint64(len(packs)) {
		b.t.Errorf("got Stats.Packs %d, want %d", got, len(packs))
	}
	if got := stats.Chunks.Load(); got != chunks {
		b.t.Errorf("got Stats.Chunks %d, want the %d that are in the packs", got, chunks)
	}
	if got := b.store.Count(mem.Put); got != len(packs) {
		b.t.Errorf("got %d Puts, want one for each of %d packs", got, len(packs))
	}
}

// Chunks that the repository has are named and not stored.
func TestKnownChunks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var first objects.ID
	for run := range 2 {
		p, ctx := packer.New(context.Background(), b.options(1))
		f := b.framer(p, objects.Data)
		id, err := f.Put(ctx, noise(1, 1000))
		must(t, err)
		must(t, f.Flush(ctx))
		packs, err := p.Close()
		must(t, err)
		if run == 0 {
			first = id
		} else if id != first || len(packs) != 0 {
			t.Errorf("the second time: got chunk %s in %d packs, want %s in none", id.Short(), len(packs), first.Short())
		}
	}
	// The ID of metadata is another one: the same bytes are stored as both.
	p, ctx := packer.New(context.Background(), b.options(1))
	f := b.framer(p, objects.Meta)
	id, err := f.Put(ctx, noise(1, 1000))
	must(t, err)
	must(t, f.Flush(ctx))
	if packs, err := p.Close(); err != nil || len(packs) != 1 || packs[0].Kind != objects.Meta || id == first {
		t.Errorf("as metadata: got %d packs, error %v", len(packs), err)
	}
}

// A Packer with nothing to store asks for nothing.
func TestNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.options(1)
	o.Before = func(context.Context) error { t.Error("Before was called"); return nil }
	p, ctx := packer.New(context.Background(), o)
	must(t, b.framer(p, objects.Data).Flush(ctx))
	if packs, err := p.Close(); err != nil || len(packs) != 0 || b.store.Count(mem.Put) != 0 {
		t.Errorf("got %d packs, error %v, %d Puts", len(packs), err, b.store.Count(mem.Put))
	}
}

// Before is called before every pack is stored: a run may have given up its turn
// meanwhile.
func TestBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var called atomic.Int64
	var returned atomic.Bool
	b.store.Hook = func(op mem.Op, key backend.Key, _ mem.Moment) error {
		if op == mem.Put && !returned.Load() {
			t.Errorf("Put of %s before Before has returned", key)
		}
		return nil
	}
	o := b.options(3)
	release := make(chan struct{})
	o.Before = func(context.Context) error {
		called.Add(1)
		<-release
		returned.Store(true)
		return nil
	}
	p, ctx := packer.New(context.Background(), o)
	f := b.framer(p, objects.Data)
	for i := range uint64(3 * target / frameSize) { // three packs wait for it
		_, err := f.Put(ctx, noise(i, frameSize))
		must(t, err)
	}
	close(release)
	must(t, f.Flush(ctx))
	packs, err := p.Close()
	must(t, err)
	if called.Load() != int64(len(packs)) || len(packs) < 3 {
		t.Errorf("got %d calls for %d packs, want one for each of at least 3", called.Load(), len(packs))
	}
}

// When Before fails nothing is stored, and its error is the run's.
func TestBeforeFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	errLocked := errors.New("somebody else writes")
	o := b.options(1)
	o.Before = func(context.Context) error { return errLocked }
	p, ctx := packer.New(context.Background(), o)
	f := b.framer(p, objects.Data)
	if err := feed(ctx, f, 100); !errors.Is(err, errLocked) {
		t.Errorf("Put: got %v, want %v", err, errLocked)
	}
	packs, err := p.Close()
	if !errors.Is(err, errLocked) || packs != nil {
		t.Errorf("Close: got %d packs, error %v, want %v", len(packs), err, errLocked)
	}
	if n := b.store.Count(mem.Put); n != 0 {
		t.Errorf("got %d Puts, want none", n)
	}
}

// feed puts chunks until n are put, or one is refused.
func feed(ctx context.Context, f *packer.Framer, n uint64) error {
	for i := range n {
		if _, err := f.Put(ctx, noise(i, frameSize)); err != nil {
			return err
		}
	}
	return f.Flush(ctx)
}

// A pack that cannot be stored ends the run: its error names the pack, ends the
// context, is what those who wait for room are told, and what Close returns.
func TestPutFails(t *testing.T) {
	t.Parallel()
	for nth := int64(1); nth <= 4; nth++ {
		for _, at := range []mem.Moment{mem.Before, mem.After} {
			t.Run(fmt.Sprintf("%d/%d", nth, at), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				errStore := errors.New("the store is unwell")
				b.store.Hook = mem.FailNth(mem.Put, nth, at, errStore)
				p, ctx := packer.New(context.Background(), b.options(1))
				if err := feed(ctx, b.framer(p, objects.Data), 200); !errors.Is(err, errStore) {
					t.Errorf("Put: got %v, want %v", err, errStore)
				}
				packs, err := p.Close()
				if !errors.Is(err, errStore) || !strings.Contains(err.Error(), "store pack ") || packs != nil {
					t.Errorf("Close: got %d packs, error %v, want none and %q", len(packs), err, errStore)
				}
				if !errors.Is(context.Cause(ctx), errStore) {
					t.Errorf("the context ended with %v, want %v", context.Cause(ctx), errStore)
				}
			})
		}
	}
}

// When the caller's context ends, those who wait for room are told why.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	errEnough := errors.New("enough")
	outer, cancel := context.WithCancelCause(context.Background())
	b.store.Hook = func(mem.Op, backend.Key, mem.Moment) error {
		cancel(errEnough) // while a pack is under way
		return outer.Err()
	}
	p, ctx := packer.New(outer, b.options(1))
	if err := feed(ctx, b.framer(p, objects.Data), 200); !errors.Is(err, errEnough) {
		t.Errorf("Put: got %v, want %v", err, errEnough)
	}
	if packs, err := p.Close(); !errors.Is(err, context.Canceled) || packs != nil {
		t.Errorf("Close: got %d packs, error %v, want %v", len(packs), err, context.Canceled)
	}
}

// With a store that does not answer, no more is taken in than 1+Uploads packs
// and what the Framer gathers.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, uploads := range []int{1, 3} {
		t.Run(fmt.Sprint(uploads), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testMemory(t, uploads) })
		})
	}
}

func testMemory(t *testing.T, uploads int) {
	b := newBench(t)
	answer := make(chan struct{})
	var storing atomic.Int64
	b.store.Hook = func(op mem.Op, _ backend.Key, at mem.Moment) error {
		if op == mem.Put && at == mem.Before {
			storing.Add(1)
			<-answer
		}
		return nil
	}
	p, ctx := packer.New(context.Background(), b.options(uploads))
	f := b.framer(p, objects.Data)
	fed := make(chan error, 1)
	go func() { fed <- feed(ctx, f, 200) }()
	synctest.Wait()
	taken := int(p.Stats.Raw.Load())
	if most := (1+uploads)*target + 2*frameSize; taken > most || taken < uploads*target/2 {
		t.Errorf("with %d uploads that do not end: %d bytes were taken, want at most %d", uploads, taken, most)
	}
	if n := int(storing.Load()); n > 1+uploads {
		t.Errorf("got %d packs in memory, want at most %d", n, 1+uploads)
	}
	close(answer)
	must(t, <-fed)
	_, err := p.Close()
	must(t, err)
}

// TestSettle holds that what was sealed before is durable, and named by Take,
// while the packer goes on.
func TestSettle(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p, ctx := packer.New(context.Background(), b.options(2))
	f := b.framer(p, objects.Data)
	var packs []record.Pack
	for round := range 5 {
		var ids []objects.ID
		for i := range 10 {
			id, err := f.Put(ctx, noise(uint64(10*round+i), 3000))
			must(t, err)
			ids = append(ids, id)
		}
		must(t, f.Flush(ctx))
		must(t, p.Settle(ctx))
		packs = append(packs, p.Take()...)
		for _, id := range ids {
			place, ok, err := b.index.Lookup(id)
			named := slices.ContainsFunc(packs, func(p record.Pack) bool { return p.ID == place.Pack })
			if err != nil || !ok || !named {
				t.Fatalf("round %d: chunk %s: found %v, in a pack that was taken %v, %v", round, id.Short(), ok, named, err)
			}
		}
	}
	rest, err := p.Close()
	must(t, err)
	if len(rest) != 0 || len(packs) != b.store.Count(mem.Put) {
		t.Errorf("took %d packs and %d at the end, want %d and none", len(packs), len(rest), b.store.Count(mem.Put))
	}
}

// TestSettleAfterFailure holds that a pack that could not be stored is never
// taken for durable.
func TestSettleAfterFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	lost := errors.New("gone")
	b.store.Hook = mem.FailNth(mem.Put, 2, mem.Before, lost)
	p, ctx := packer.New(context.Background(), b.options(2))
	f := b.framer(p, objects.Data)
	var err error
	for i := 0; err == nil && i < 50; i++ {
		if _, err = f.Put(ctx, noise(uint64(i), 3000)); err == nil {
			err = errors.Join(f.Flush(ctx), p.Settle(ctx))
		}
	}
	if !errors.Is(err, lost) {
		t.Errorf("settle: got %v, want %v", err, lost)
	}
	if _, err := p.Close(); !errors.Is(err, lost) {
		t.Errorf("close: got %v, want %v", err, lost)
	}
}

// TestSettleLeavesWhatIsEmpty: a checkpoint may come after a worker has begun a
// pack, and before its first frame is in it. That is nothing to be stored, and
// the frame goes into it all the same.
func TestSettleLeavesWhatIsEmpty(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p, ctx := packer.New(t.Context(), b.options(1))
	// A frame that is not legal begins a pack, and does not get into it.
	if err := p.Move(ctx, objects.Data, pack.Key{}, pack.Frame{}, nil, nil); err == nil {
		t.Fatal("an illegal frame was taken")
	}
	must(t, p.Settle(ctx))
	f := b.framer(p, objects.Data)
	id, err := f.Put(ctx, []byte("content"))
	must(t, err)
	must(t, f.Flush(ctx))
	must(t, p.Settle(ctx))
	if got, err := b.find(id); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := p.Move(ctx, objects.Data, pack.Key{}, pack.Frame{}, nil, nil); err == nil {
		t.Fatal("an illegal frame was taken")
	}
	packs, err := p.Close()
	must(t, err)
	if len(packs) != 1 {
		t.Errorf("got %d packs, want one", len(packs))
	}
}
