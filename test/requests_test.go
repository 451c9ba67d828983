package test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/test/servers"
)

// told is what a command says of itself with --json, in its result or at its end.
type told struct {
	Packs   int `json:"packs"`
	Traffic struct {
		Requests map[string]int `json:"requests"`
	} `json:"traffic"`
}

// A counted is a box whose requests are counted on their way to a bucket.
type counted struct {
	*box
	counter *servers.Counter
}

// do runs cairn and wants it to make at most as many requests besides those
// for packs, and to count them as the server does. It returns what cairn says.
func (c *counted) do(what string, packs, others int, args ...string) told {
	c.t.Helper()
	c.counter.Take()
	r := c.want(done, append(args, "--json", "-v")...)
	seen := c.counter.Take()
	byKind := map[string]int{}
	for _, request := range seen {
		kind, _, _ := strings.Cut(request, " ")
		byKind[kind]++
	}
	var result, end told
	for line := range strings.Lines(r.out) {
		must(c.t, json.Unmarshal([]byte(line), &result))
	}
	for line := range strings.Lines(r.err) {
		must(c.t, json.Unmarshal([]byte(line), &end))
	}
	if result.Traffic.Requests != nil && !maps.Equal(result.Traffic.Requests, byKind) {
		c.t.Errorf("%s: the result says %v, the server has seen %v", what, result.Traffic.Requests, byKind)
	}
	if !maps.Equal(end.Traffic.Requests, byKind) {
		c.t.Errorf("%s: it says %v, the server has seen %v", what, end.Traffic.Requests, byKind)
	}
	c.t.Logf("%s: %d requests: %v", what, len(seen), byKind)
	if most := packs + result.Packs + others; len(seen) > most {
		c.t.Errorf("%s: got %d requests, want at most %d:\n%s", what, len(seen), most, strings.Join(seen, "\n"))
	}
	return result
}

// TestRequests holds what a run asks of a bucket, every request of which costs
// money and a round trip, and that cairn says so.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	b := newBox(t)
	c := &counted{b, server.Counting(t)}
	b.onBucket(server, c.counter.Endpoint)
	b.fillNoise(80)
	b.want(done, "init")
	cold := func() { must(t, os.RemoveAll(filepath.Join(b.dir, "home", ".cache"))) }

	first := c.do("first backup", 0, 8, b.backupArgs()...)
	if first.Packs < 4 || first.Packs > 6 { // up to 30 MiB each for 80 MiB, one that goes ahead, and one of metadata
		t.Errorf("got %d packs", first.Packs)
	}
	c.do("unchanged backup", 0, 3, b.backupArgs()...)
	c.do("unchanged backup again", 0, 3, b.backupArgs()...)
	c.do("list", 0, 1, "list")
	cold()
	c.do("list without a cache", 0, 6, "list")
	// Parts of up to 16 MiB of each pack, and the headers of all, for the index.
	parts := first.Packs + 80/16
	c.do("restore, with the index to be built", 0, first.Packs+parts+8, "restore", "latest", "--target", filepath.Join(b.dir, "back"))
	c.do("restore", 0, parts+8, "restore", "latest", "--target", filepath.Join(b.dir, "again"))

	for i := range 5 {
		write(t, filepath.Join(b.src, "more"), fmt.Append(nil, i))
		settle()
		c.do("backup of a change", 0, 8, b.backupArgs()...)
	}
	cold()
	c.do("list without a cache, later", 0, 6+8, "list")
	c.checkpoints()
}

// TestRequestsOfASlowBackup: that a first backup takes long, and so packs go by
// one at a time and the lease has to be kept up, costs no more than two requests.
func TestRequestsOfASlowBackup(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	b := newBox(t)
	c := &counted{b, server.Counting(t)}
	b.onBucket(server, c.counter.Endpoint)
	const seconds, kib = 5, 4 << 10
	b.fillNoise(seconds * kib >> 10)
	b.want(done, "init")
	begun := time.Now()
	c.do("slow first backup", 0, 8+2, append(b.backupArgs(), "--limit-upload", fmt.Sprint(kib))...)
	if took := time.Since(begun); took < (seconds-1)*time.Second {
		t.Errorf("took %s, want at least about %d s", took, seconds)
	}
}

// checkpoints holds what a slow backup asks for that makes some on its way: three
// requests for each. That it is slow is because it was told to.
func (c *counted) checkpoints() {
	t := c.t
	// More than the packs that a run holds in memory, or it would be through with
	// the files before a checkpoint is due.
	const seconds, kib = 9, 20 << 10
	content := make([]byte, seconds*kib<<10)
	_, _ = rand.Read(content)
	for i := range seconds * kib >> 10 {
		write(t, filepath.Join(c.src, "large", fmt.Sprint(i)), content[i<<20:(i+1)<<20])
	}
	settle()
	c.counter.Take()
	begun := time.Now()
	r := c.want(done, append(c.backupArgs(), "--json", "--checkpoint-interval", "1s", "--limit-upload", fmt.Sprint(kib))...)
	if took := time.Since(begun); took < (seconds-1)*time.Second {
		t.Errorf("with --limit-upload: took %s, want at least about %d s", took, seconds)
	}
	seen := c.counter.Take()
	commits := 0
	for _, request := range seen {
		if strings.HasPrefix(request, "PUT") && strings.Contains(request, "/commits/") {
			commits++
		}
	}
	var says told
	must(t, json.Unmarshal([]byte(r.out), &says))
	if most := says.Packs + 8 + 3*(commits-1); commits < 2 || len(seen) > most {
		t.Errorf("got %d checkpoints and %d requests, want at least one and at most %d:\n%s", commits-1, len(seen), most, strings.Join(seen, "\n"))
	}
	t.Logf("backup with %d checkpoints: %d packs, %d requests", commits-1, says.Packs, len(seen))
}
