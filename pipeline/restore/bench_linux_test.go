package restore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cairn/pipeline/restore"
)

// BenchmarkSmall restores 20 000 files of up to 4 KiB, the sync included.
func BenchmarkSmall(b *testing.B) {
	s := newStore(b)
	for i := range 20_000 {
		s.file(fmt.Sprintf("d%03d/f%03d", i/100, i%100), noise(uint64(i), i%4096))
	}
	benchmark(b, s)
}

// BenchmarkLarge restores 1 GiB in files of 4 MiB, or a quarter of it with -short.
func BenchmarkLarge(b *testing.B) {
	s := newStore(b)
	s.chunk = 256 << 10
	n := 256
	if testing.Short() {
		n = 64
	}
	for i := range n {
		s.file(fmt.Sprintf("f%03d", i), noise(uint64(i), 4<<20))
	}
	benchmark(b, s)
}

// benchmark says, besides the time on the clock, what depends less on the rest
// of the machine: the time on the processors, the kernel's work included, and
// how much memory the restore takes on top of what was there before.
func benchmark(b *testing.B, s *store) {
	root := s.finish()
	s.toDisk()
	b.SetBytes(int64(root.Size))
	b.StopTimer()
	var cpu, sync time.Duration
	peak := 0
	for i := range b.N {
		target := filepath.Join(b.TempDir(), fmt.Sprint(i))
		debug.FreeOSMemory()
		before, begun := resident(b), processor(b)
		stop := make(chan struct{})
		var watch errgroup.Group
		watch.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				case <-time.After(5 * time.Millisecond):
					peak = max(peak, resident(b)-before)
				}
			}
		})
		b.StartTimer()
		sum, err := restore.Run(b.Context(), s.source(), root, restore.Options{Target: target})
		b.StopTimer()
		close(stop)
		_ = watch.Wait()
		if err != nil || sum.Failed > 0 {
			b.Fatalf("got %+v, %v", sum, err)
		}
		cpu += processor(b) - begun
		sync += sum.Sync
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(sync.Seconds()/float64(b.N), "sync-s/op")
	b.ReportMetric(float64(peak)/1e6, "peak-MB")
}

// processor returns the time that the process spent on processors.
func processor(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Error(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident returns the memory of the process that is no file's, in bytes.
func resident(b *testing.B) int {
	p, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Error(err)
	}
	_, after, _ := strings.Cut(string(p), "RssAnon:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		b.Error(err)
	}
	return kib << 10
}
