package index

import (
	"encoding/binary"
	"flag"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
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
// (-index.chunks=10000000) are 660 MB in a temporary directory.
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

// BenchmarkIndex measures an index of -index.chunks chunks, with random IDs. ID
// is what the others spend on making one.
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
	lookup := func(id *objects.ID) (bool, error) {
		_, ok, err := x.Lookup(*id)
		return ok, err
	}
	has := func(id *objects.ID) (bool, error) { return x.Has(*id) }
	claim := func(id *objects.ID) (bool, error) { return x.Claim(*id), nil }
	first := func(id *objects.ID) (bool, error) { return *id == objects.ID{}, nil }
	known, strange := numbers{n: chunks}, numbers{first: unknown, n: 1 << 30}
	known.parallel(b, "Cold", true, has) // pages are mapped and verified
	touch(b, x)
	known.measure(b, "ID", false, first)
	known.measure(b, "LookupHit", true, lookup)
	strange.measure(b, "LookupMiss", false, lookup)
	known.measure(b, "HasHit", true, has)
	known.measureAll(b, "HasAll", x.HasAll)
	known.measure(b, "ClaimKnown", false, claim)
	marks, err := x.NewMarks()
	if err != nil {
		b.Fatal(err)
	}
	known.measure(b, "Mark", true, func(id *objects.ID) (bool, error) {
		_, known, err := marks.Mark(*id)
		return known, err
	})
	fresh := numbers{first: 2 * unknown, n: math.MaxInt64}
	fresh.measure(b, "ClaimNew", true, claim)
	b.Logf("%d runs", len(x.runs))
}

// numbers are those of the IDs of one benchmark.
type numbers struct {
	first, n uint64
	users    atomic.Uint64
}

// next returns random IDs of the numbers, other ones than for any other caller.
func (r *numbers) next() func(*objects.ID) {
	at := r.users.Add(1) << 40
	return func(id *objects.ID) {
		at++
		z := at * 0x9e3779b97f4a7c15
		*id = benchID(r.first + (z^z>>29)%r.n)
	}
}

// measure calls call with random IDs, by one and by all processors. On a busy
// machine ns/op of the one is also the time that others had; median-ns/op, of
// the median thousand, is not.
func (r *numbers) measure(b *testing.B, name string, want bool, call func(*objects.ID) (bool, error)) {
	b.Run(name, func(b *testing.B) {
		next, before := r.next(), cpuTime(b)
		var id objects.ID
		var thousands []time.Duration
		for n := 0; n < b.N; n += 1000 {
			start := time.Now()
			for range min(1000, b.N-n) {
				next(&id)
				if got, err := call(&id); got != want || err != nil {
					b.Fatal(got, want, err)
				}
			}
			thousands = append(thousands, time.Since(start))
		}
		report(b, before)
		slices.Sort(thousands)
		b.ReportMetric(float64(thousands[len(thousands)/2])/1000, "median-ns/op")
	})
	r.parallel(b, name+"Parallel", want, call)
}

// measureAll is measure for many IDs in one call, as many as a file of 16 MiB
// has; an operation is one of them.
func (r *numbers) measureAll(b *testing.B, name string, call func([]objects.ID) (bool, error)) {
	b.Run(name, func(b *testing.B) {
		next, before := r.next(), cpuTime(b)
		ids := make([]objects.ID, benchPack)
		for n := 0; n < b.N; n += len(ids) {
			for i := range ids {
				next(&ids[i])
			}
			if ok, err := call(ids); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		report(b, before)
	})
}

func (r *numbers) parallel(b *testing.B, name string, want bool, call func(*objects.ID) (bool, error)) {
	b.Run(name, func(b *testing.B) {
		before := cpuTime(b)
		b.RunParallel(func(pb *testing.PB) {
			next := r.next()
			var id objects.ID
			for pb.Next() {
				next(&id)
				if got, err := call(&id); got != want || err != nil {
					b.Error(got, want, err)
				}
			}
		})
		report(b, before)
	})
}

func report(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(anonMB(), "anon-MB")
}

// touch makes the benchmarks behind it measure a warm cache.
func touch(b *testing.B, x *Index) {
	b.Helper()
	for _, r := range x.runs {
		for _, t := range []table{r.layout.packs, r.layout.keys, r.layout.frames, r.layout.guide, r.layout.chunks, r.layout.overflow} {
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
	start, before := time.Now(), cpuTime(b)
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
	peak = max(peak, anonMB()) // what a merge took is not yet given back
	size := 0
	for _, r := range x.runs {
		size += len(r.data)
	}
	b.Logf("%d chunks: Add %v, Commit %v, in all %v of processor time, at most %.0f MB anonymous, %.0f MB of files",
		packs*benchPack, added, time.Since(start)-added, cpuTime(b)-before, peak, float64(size)/1e6)
	mustClose(b, x)
	debug.FreeOSMemory()
	return packs * benchPack
}

// BenchmarkAdd measures one pack, with its share of spills and merges.
func BenchmarkAdd(b *testing.B) {
	x := mustOpen(b, b.TempDir(), defaults())
	n, before := uint64(0), cpuTime(b)
	for b.Loop() {
		p, h := benchHeader(n)
		mustAdd(b, x, p, h)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*benchPack), "ns/chunk")
	b.ReportMetric(float64(cpuTime(b)-before)/float64(n*benchPack), "cpu-ns/chunk")
}

// BenchmarkCommit measures what a small backup adds to an index of
// -index.chunks chunks: one pack, and Commit.
func BenchmarkCommit(b *testing.B) {
	dir := b.TempDir()
	n := benchBuild(b, dir) / benchPack
	x := mustOpen(b, dir, defaults())
	before, start, most := cpuTime(b), n, time.Duration(0)
	for b.Loop() {
		p, h := benchHeader(n)
		mustAdd(b, x, p, h)
		begin := time.Now()
		mustCommit(b, x, State{Generation: n})
		most = max(most, time.Since(begin))
		n++
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(n-start), "cpu-ns/op")
	b.ReportMetric(float64(most), "max-ns/op")
	b.Logf("%d runs", len(x.runs))
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
