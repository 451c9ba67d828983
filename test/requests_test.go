package test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/test/servers"
)

// TestRequests holds what a run asks of a bucket: every request costs money and
// a round trip.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	counter := server.Counting(t)
	b := newBox(t)
	b.env = append(b.env, "AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey)
	b.useRepo(fmt.Sprintf("s3+http://%s/%s/cairn", counter.Endpoint, server.Bucket(t)))
	for i := range 40 {
		content := make([]byte, 2<<20)
		_, _ = rand.Read(content)
		must(t, os.WriteFile(filepath.Join(b.src, fmt.Sprint(i)), content, 0o600))
	}
	b.want(done, "init")
	counter.Take()
	atMost := func(what string, limit int) {
		t.Helper()
		seen := counter.Take()
		if len(seen) > limit {
			t.Errorf("%s: got %d requests, want at most %d:\n%s", what, len(seen), limit, strings.Join(seen, "\n"))
		}
	}
	settle()
	const packs = 4 // of up to 30 MiB each, for 80 MiB, and one of metadata
	b.want(done, b.backupArgs()...)
	atMost("first backup", packs+8)
	b.want(done, b.backupArgs()...)
	atMost("unchanged backup", 4) // one reads the metadata of the backup before
	b.want(done, "list")
	atMost("list", 1)
	must(t, os.RemoveAll(filepath.Join(b.dir, "home")))
	b.want(done, "list")
	atMost("list without a cache", 6)
	b.want(done, "restore", "latest", "--target", filepath.Join(b.dir, "back"))
	atMost("restore, with the index to be built", packs+3*2+8) // headers; parts of up to 16 MiB
	b.want(done, "restore", "latest", "--target", filepath.Join(b.dir, "again"))
	atMost("restore", 3*2+8)
}
