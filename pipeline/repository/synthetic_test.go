package repository_test

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"cairn/backend/mem"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"

	"github.com/zeebo/blake3"
)

// synthetic says what a repository of no real files is made of: packs with the
// chunks of a pack of 8 MiB and hardly any bytes.
type synthetic struct {
	hosts, runs  int
	first, later int // packs of a host's first run, and of the others
	packs        int // made so far
}

const syntheticChunks = 72 // of a pack: 8 MiB of the usual size

// scale returns n, or in a short run a little of it.
func scale(n int) int {
	if testing.Short() {
		return n/20 + 1
	}
	return n
}

// many is what the targets are stated for: 500 runs by 4 hosts, with a
// checkpoint each, and 10 000 packs.
func many() *synthetic {
	return &synthetic{hosts: 4, runs: scale(500), first: scale(1012), later: 12}
}

// chunkOf names the i-th chunk of the n-th pack, by a hash, as chunks are named.
func chunkOf(n, i int) objects.ID {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	binary.LittleEndian.PutUint64(b[8:], uint64(i))
	return blake3.Sum256(b[:])
}

// store stores n packs and makes them part of the next commit of w.
func (y *synthetic) store(t testing.TB, r *repository.Repository, w *repository.Writer, n int) {
	t.Helper()
	buffers := pack.NewBuffers(pack.MinTarget, 1)
	for range n {
		b, err := pack.NewBuilder(r.Keys, objects.Data, pack.Options{Target: pack.MinTarget, Random: rand.Reader, Buffers: buffers})
		must(t, err)
		for i := 0; i < syntheticChunks; i += 8 {
			var chunks []pack.Chunk
			for j := range 8 {
				chunks = append(chunks, pack.Chunk{ID: chunkOf(y.packs, i+j), Len: 1})
			}
			ok, err := b.Add(pack.Stored, make([]byte, 8), chunks)
			if !ok || err != nil {
				t.Fatalf("add a frame: %v, %v", ok, err)
			}
		}
		done, err := b.Finish(pack.ToPadme)
		must(t, err)
		must(t, r.Backend().Put(t.Context(), packer.Key(done.ID), done.Parts...))
		p := record.Pack{
			ID: done.ID, Kind: done.Kind, Length: uint64(done.Size), HeaderHash: done.PrefixHash,
			HeaderLen: uint32(len(done.Prefix) - pack.PreambleLen), Header: append([]byte(nil), done.Prefix...),
		}
		must(t, r.Index.Add(packer.IndexPack(p), done.Header))
		done.Release()
		w.Add([]record.Pack{p})
		y.packs++
	}
}

// run is one run of a machine: packs, a checkpoint, packs, an archive.
func (y *synthetic) run(t testing.TB, m *machine, n int) {
	t.Helper()
	m.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		for _, part := range []int{n / 2, n - n/2} {
			w, ctx, err := r.Begin(t.Context(), t.Context())
			must(t, err)
			must(t, w.Ensure(ctx, t.Context()))
			y.store(t, r, w, part)
			a := record.Archive{Name: fmt.Sprint(y.packs), Host: m.cache, Start: time.Now(), End: time.Now(), Kind: record.Full}
			must(t, w.Commit(ctx, &record.Commit{Made: time.Now(), Archives: []record.Archive{a}}))
			must(t, w.End(t.Context()))
		}
	})
}

// make fills a store, and returns it with the machines that did.
func (y *synthetic) make(t testing.TB) (*mem.Store, []byte, []*machine) {
	t.Helper()
	s, key := newStore(t)
	var machines []*machine
	for range y.hosts {
		machines = append(machines, newMachine(t, s, key))
	}
	for i := range y.runs {
		n := y.later
		if i < y.hosts {
			n = y.first
		}
		y.run(t, machines[i%y.hosts], n)
	}
	return s, key, machines
}

// finds wants a machine to find every chunk of every pack.
func (y *synthetic) finds(t testing.TB, r *repository.Repository) {
	t.Helper()
	for n := range y.packs {
		for i := range syntheticChunks {
			if known, err := r.Index.Has(chunkOf(n, i)); !known || err != nil {
				t.Fatalf("chunk %d of pack %d: got %v, %v, want it known", i, n, known, err)
			}
		}
	}
}

// pages is how many requests a List of n objects is to a store that answers a
// thousand at a time.
func pages(n int) int { return n/1000 + 1 }
