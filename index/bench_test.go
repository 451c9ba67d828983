package index

import (
	"encoding/binary"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
)

// benchChunks is the size of the index that is measured: 10 M chunks
// (-index.chunks=10000000) are 450 MB in a temporary directory.
var benchChunks = flag.Int("index.chunks", 1<<18, "chunks in the index that is measured")

// benchPack is how many chunks a pack has: 16 MiB of the usual size.
const benchPack = 60

// unknown is the number of the first ID that is not in the index.
const unknown = 1 << 40

// benchID returns the n-th ID, spread as evenly as hashes are (splitmix64).
func benchID(n uint64) (id objects.ID) {
	n *= 0xd1342543de82ef95
	for i := 0; i < len(id); i += 8 {
		n += 0x9e3779b97f4a7c15
		z := (n ^ n>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(id[i:], z^z>>31)
	}
	return id
}

// benchHeader makes the header of the n-th pack, in frames of four chunks.
func benchHeader(n uint64) (Pack, *pack.Header) {
	h := &pack.Header{Kind: objects.Data, Keys: []pack.Key{{AEAD: crypt.AES256GCM, Epoch: 1}}}
	for i := range uint32(benchPack) {
		if i%4 == 0 {
			h.Frames = append(h.Frames, pack.Frame{Number: i / 4, Off: i << 18, Stored: 1 << 20, Raw: 1 << 20, First: i, Count: 4})
		}
		h.Chunks = append(h.Chunks, pack.Chunk{ID: benchID(n*benchPack + uint64(i)), Len: 1 << 18})
	}
	return Pack{ID: benchID(unknown<<1 + n), Kind: objects.Data, Len: 16 << 20, HeaderLen: 4096}, h
}

// BenchmarkIndex measures an index of -index.chunks chunks.
func BenchmarkIndex(b *testing.B) {
	dir := b.TempDir()
	chunks := benchBuild(b, dir)
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			x, err := Open(dir, repository)
			if err != nil || x.Found() != Intact {
				b.Fatal(err, x.Found())
			}
			mustClose(b, x)
		}
	})
	x := mustOpen(b, dir, defaults())
	numbers := func(first, n uint64) func() objects.ID {
		var at atomic.Uint64
		return func() objects.ID { return benchID(first + at.Add(0x9e3779b97f4a7c15)%n) }
	}
	each := func(name string, next func() objects.ID, want bool, call func(objects.ID) (bool, error)) {
		b.Run(name, func(b *testing.B) {
			before := cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got, err := call(next()); got != want || err != nil {
						b.Error(got, want, err)
					}
				}
			})
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(anonMB(), "anon-MB")
		})
	}
	lookup := func(id objects.ID) (bool, error) {
		_, ok, err := x.Lookup(id)
		return ok, err
	}
	claim := func(id objects.ID) (bool, error) { return x.Claim(id), nil }
	each("Cold", numbers(0, chunks), true, x.Has) // pages are mapped and verified
	touch(b, x)
	each("LookupHit", numbers(0, chunks), true, lookup)
	each("LookupMiss", numbers(unknown, 1<<30), false, lookup)
	each("HasHit", numbers(0, chunks), true, x.Has)
	each("ClaimKnown", numbers(0, chunks), false, claim)
	var fresh atomic.Uint64
	each("ClaimNew", func() objects.ID { return benchID(2*unknown + fresh.Add(1)) }, true, claim)
	b.Logf("%d runs", len(x.runs))
}

// touch makes the benchmarks behind it measure a warm cache.
func touch(b *testing.B, x *Index) {
	b.Helper()
	for _, r := range x.runs {
		for _, t := range []table{r.layout.packs, r.layout.keys, r.layout.frames, r.layout.chunks, r.layout.fan, r.layout.filter} {
			for i := uint32(0); i < t.rows; i += t.perPage {
				if _, err := r.row(&t, i); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// cpuTime returns what this process has used: on a busy machine the better
// measure.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchBuild fills the index and says how long that took.
func benchBuild(b *testing.B, dir string) (chunks uint64) {
	b.Helper()
	x := mustOpen(b, dir, defaults())
	start := time.Now()
	peak := 0.0
	packs := uint64(*benchChunks / benchPack)
	for n := range packs {
		p, h := benchHeader(n)
		mustAdd(b, x, p, h)
		if n%4096 == 0 {
			peak = max(peak, anonMB())
		}
	}
	added := time.Since(start)
	mustCommit(b, x, State{Generation: 1})
	b.Logf("%d chunks: Add %v, Commit %v, at most %.0f MB anonymous", packs*benchPack, added, time.Since(start)-added, peak)
	mustClose(b, x)
	debug.FreeOSMemory()
	return packs * benchPack
}

// BenchmarkAdd measures one pack, with its share of spills and merges.
func BenchmarkAdd(b *testing.B) {
	x := mustOpen(b, b.TempDir(), defaults())
	n := uint64(0)
	for b.Loop() {
		p, h := benchHeader(n)
		mustAdd(b, x, p, h)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*benchPack), "ns/chunk")
}

// anonMB returns the anonymous memory of this process, or 0 where the system
// does not tell.
func anonMB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil || runtime.GOOS != "linux" {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1e3
}
