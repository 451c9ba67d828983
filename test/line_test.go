package test

import (
	"bufio"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"cairn/test/servers"
)

// slowLine makes TestSlowLine take its time.
var slowLine = flag.Bool("slow-line", false, "back up 200 MB over a line of 1 Mbit/s that breaks every two minutes: takes half an hour")

// onBucket makes a new bucket, reached at addr, the box's repository.
func (b *box) onBucket(s *servers.S3, addr string) {
	b.t.Helper()
	b.env = append(b.env, "AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey)
	b.useRepo(fmt.Sprintf("s3+http://%s/%s/cairn", addr, s.Bucket(b.t)))
}

// bucket returns the name of the bucket that the box's repository is in.
func (b *box) bucket() string {
	b.t.Helper()
	at, err := url.Parse(b.repo)
	must(b.t, err)
	bucket, _, _ := strings.Cut(strings.Trim(at.Path, "/"), "/")
	return bucket
}

// keptIn returns how many bytes the objects in the box's bucket take.
func (b *box) keptIn(s *servers.S3) (bytes int64) {
	b.t.Helper()
	for object := range s.Client.ListObjectsIter(b.t.Context(), b.bucket(), minio.ListObjectsOptions{Recursive: true}) {
		must(b.t, object.Err)
		bytes += object.Size
	}
	return bytes
}

// emptyBucket removes everything in the box's bucket, and the bucket.
func (b *box) emptyBucket(s *servers.S3) {
	b.t.Helper()
	must(b.t, s.Client.RemoveBucketWithOptions(b.t.Context(), b.bucket(), minio.RemoveBucketOptions{ForceDelete: true}))
}

// fillNoise puts n files of a MiB that do not shrink into the box's source.
func (b *box) fillNoise(n int) {
	b.t.Helper()
	content := make([]byte, 1<<20)
	for i := range n {
		_, _ = rand.Read(content)
		write(b.t, filepath.Join(b.src, fmt.Sprint(i)), content)
	}
	settle()
}

// TestSlowLine backs up 200 MB through what is far from being able to take a
// usual pack from one break to the next, and holds how much is sent twice. Its
// small brother is TestOverSlowLine of pipeline/packer.
func TestSlowLine(t *testing.T) {
	if !*slowLine {
		t.Skip("takes half an hour: run it with -slow-line")
	}
	t.Parallel()
	const rate, holds, mebibytes = 1e6 / 8, 2 * time.Minute, 191
	server := servers.MinIO(t)
	proxy := servers.Between(t, server.Endpoint, servers.Faults{Rate: rate})
	b := newBox(t)
	b.onBucket(server, proxy.Addr())
	b.fillNoise(mebibytes)
	b.want(done, "init")
	before := proxy.Sent()

	stop := proxy.CutEach(holds)
	begun := time.Now()
	r := b.run(append(b.backupArgs(), "--json")...)
	took := time.Since(begun)
	cuts := stop()
	if r.code != done {
		t.Fatalf("got exit code %d, want %d\n%s%s", r.code, done, r.out, r.err)
	}
	sent := proxy.Sent() - before
	kept := b.keptIn(server)
	twice := float64(sent-kept) / float64(kept)
	t.Logf("%d bytes kept, %d sent in %s over %d breaks: %.1f %% twice\n%s%s", kept, sent, took.Round(time.Second), cuts, 100*twice, r.out, r.err)
	if twice > 0.1 {
		t.Errorf("%.1f %% were sent twice, want at most a tenth", 100*twice)
	}
	b.useRepo(strings.Replace(b.repo, proxy.Addr(), server.Endpoint, 1))
	b.want(done, "check", "--read-data")
	must(t, os.RemoveAll(filepath.Join(b.dir, "home", ".cache")))
	b.checkRestore("restored", describe(t, b.src, owners))
}

// TestCutTenTimes backs up through a connection that is cut ten times, while
// packs are put and 4 MiB apart: nobody has to do anything about it.
func TestCutTenTimes(t *testing.T) {
	t.Parallel()
	faults := servers.Faults{CutEvery: 4 << 20, Cuts: 10}
	run := func(t *testing.T, b *box, proxy *servers.Proxy) {
		b.fillNoise(64)
		r := b.want(done, b.backupArgs()...)
		if proxy.Cuts() != 10 {
			t.Errorf("got %d cuts, want 10", proxy.Cuts())
		}
		if !strings.Contains(r.err, "trying again in") {
			t.Errorf("got %q, want it to say what it is waiting for", r.err)
		}
		b.want(done, "check", "--read-data")
		b.checkRestore("restored", describe(t, b.src, owners))
	}
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		server := servers.MinIO(t)
		proxy := servers.Between(t, server.Endpoint, faults)
		b := newBox(t)
		b.onBucket(server, proxy.Addr())
		b.want(done, "init")
		run(t, b, proxy)
	})
	t.Run("SFTP", func(t *testing.T) {
		t.Parallel()
		server := servers.OpenSSH(t, servers.OpenSSHOptions{})
		proxy := servers.Between(t, server.Addr, faults)
		b := newBox(t)
		b.onServer(server.Via(t, proxy), "backups/desk")
		b.want(done, "init")
		run(t, b, proxy)
	})
}

// TestNobodyAnswers: who waits for a server is told so at once, and what for.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	b := newBox(t)
	b.env = append(b.env, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret")
	write(t, filepath.Join(b.dir, "key"), nil)
	for url, want := range map[string]string{
		"s3+http://127.0.0.1:1/bucket/desk":   "connection refused: is the server running, and the port right?; trying again in 1s",
		"s3+http://store.invalid/bucket/desk": "no address is known for store.invalid",
		"sftp://nobody@127.0.0.1:1/desk":      "connect to 127.0.0.1:1: connection refused: is the address right",
		"sftp://nobody@store.invalid/desk":    "connect to store.invalid:22",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			cmd := b.command("-r", url, "list")
			stderr, err := cmd.StderrPipe()
			must(t, err)
			begun := time.Now()
			must(t, cmd.Start())
			line, err := bufio.NewReader(stderr).ReadString('\n')
			took := time.Since(begun)
			must(t, err, cmd.Process.Signal(os.Interrupt))
			_, _ = io.Copy(io.Discard, stderr)
			code := exitCode(t, cmd.Wait())
			// What looks a name up may wait for its own servers.
			if took > 5*time.Second && strings.Contains(url, "127.0.0.1") || !strings.Contains(line, want) {
				t.Errorf("got %q after %s, want %q within seconds", line, took, want)
			}
			if code != failed && code != interrupted {
				t.Errorf("got exit code %d", code)
			}
		})
	}
}
