package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/test/servers"
)

// TestCompactOverSlowLine compacts a bucket over a line of 1 Mbit/s that breaks
// every two minutes, and so never lets a usual pack through, either way.
func TestCompactOverSlowLine(t *testing.T) {
	if !*slowLine {
		t.Skip("takes ten minutes: run it with -slow-line")
	}
	t.Parallel()
	const rate, holds, mebibytes = 1e6 / 8, 2 * time.Minute, 96
	server := servers.MinIO(t)
	b := newBox(t)
	b.onBucket(server, server.Endpoint)
	b.fillNoise(mebibytes)
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	first := b.newest()
	for i := range mebibytes / 2 {
		must(t, os.Remove(filepath.Join(b.src, fmt.Sprint(2*i))))
	}
	b.want(done, b.backupArgs()...)
	b.want(done, "delete", first)

	proxy := servers.Between(t, server.Endpoint, servers.Faults{Rate: rate})
	near := b.repo
	b.useRepo(strings.Replace(near, server.Endpoint, proxy.Addr(), 1))
	stop := proxy.CutEach(holds)
	r := b.run("--json", "compact", "--now", "-v")
	stop()
	if r.code != done {
		t.Fatalf("got exit code %d, want %d\n%s%s", r.code, done, r.out, r.err)
	}
	var report struct {
		New      int64 `json:"new_packs"`
		NewBytes int64 `json:"new_bytes"`
	}
	must(t, json.Unmarshal([]byte(r.out), &report))
	twice := float64(proxy.Sent()-report.NewBytes) / float64(report.NewBytes)
	t.Logf("%.1f %% sent twice\n%s%s", 100*twice, r.out, r.err)
	if report.NewBytes < mebibytes/2<<20 || twice > 0.15 {
		t.Errorf("got %d bytes moved, and %.1f %% sent twice, want at most 15", report.NewBytes, 100*twice)
	}
	b.useRepo(near)
	b.want(done, "check", "--read-data")
	b.checkRestore("restored", describe(t, b.src, owners))
}
