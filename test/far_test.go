package test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cairn/test/servers"
)

// farBytes makes TestFar measure.
var farBytes = flag.Int64("far", 0, "measure backup and restore of so many MiB in a bucket that is far away: 1024 takes some minutes")

// TestFar measures what it costs that a bucket is far away: transfers overlap,
// and so it is little. It compares a backup and a restore with answers that come
// 50 and 100 ms later with those where they come at once; rounds take turns,
// and the median counts.
func TestFar(t *testing.T) {
	if *farBytes == 0 {
		t.Skip("measures, and takes some minutes: run it with -far 1024 on a machine that has nothing else to do")
	}
	const rounds, limit = 3, 1.3
	server := servers.MinIO(t)
	source := newBox(t)
	source.fillNoise(int(*farBytes))
	delays := []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond}
	backups, restores := map[time.Duration][]time.Duration{}, map[time.Duration][]time.Duration{}
	for range rounds {
		for _, delay := range delays {
			proxy := servers.Between(t, server.Endpoint, servers.Faults{Delay: delay})
			b := newBox(t)
			b.src = source.src
			b.onBucket(server, proxy.Addr())
			b.want(done, "init")
			backups[delay] = append(backups[delay], b.timed(append(b.backupArgs(), "-v")...))
			back := filepath.Join(b.dir, "back")
			restores[delay] = append(restores[delay], b.timed("restore", "latest", "-v", "--target", back))
			must(t, os.RemoveAll(b.dir))
			b.emptyBucket(server)
		}
	}
	for what, took := range map[string]map[time.Duration][]time.Duration{"backup": backups, "restore": restores} {
		for _, delay := range delays {
			slices.Sort(took[delay])
			ratio := took[delay][rounds/2].Seconds() / took[0][rounds/2].Seconds()
			t.Logf("%s, %s later: %v, %.2f times", what, delay, took[delay], ratio)
			if ratio > limit {
				t.Errorf("%s, %s later: takes %.2f times as long, want at most %g", what, delay, ratio, limit)
			}
		}
	}
}

// timed runs cairn to its good end and returns how long that took.
func (b *box) timed(args ...string) time.Duration {
	b.t.Helper()
	begun := time.Now()
	r := b.want(done, args...)
	took := time.Since(begun)
	b.t.Logf("%s: %s\n%s%s", args[0], took.Round(time.Millisecond), r.out, r.err)
	return took.Round(time.Millisecond)
}
