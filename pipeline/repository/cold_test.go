package repository_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/backend/s3"
	"cairn/test/servers"
)

var coldRuns = flag.Int("cold.runs", 0, "let the program meet a repository of so many runs, 20 packs each, on MinIO: 500")

const (
	coldTries  = 3
	coldTime   = 3 * time.Second
	coldMemory = 100 << 20 // bytes
)

// TestColdMachine measures the program on a machine that has never seen a large
// repository before: how long it needs, and how much memory. It takes minutes,
// and a machine that has nothing else to do: so it waits for -cold.runs=500.
func TestColdMachine(t *testing.T) {
	if *coldRuns == 0 {
		t.Skip("asked for by -cold.runs")
	}
	y := many()
	y.runs, y.first = *coldRuns, 2*(*coldRuns)+12
	whole, key, machines := y.make(t)
	machines[0].backup(t, "one") // one archive that can be restored
	minio := servers.MinIO(t)
	bucket := minio.Bucket(t)
	t.Setenv("AWS_ACCESS_KEY_ID", minio.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", minio.SecretKey)
	upload(t, whole, s3.Options{Scheme: s3.PlainHTTP, Host: minio.Endpoint, Bucket: bucket, Prefix: "many"})
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "key"), key, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o700))
	program := filepath.Join(dir, "cairn")
	if out, err := exec.Command("go", "build", "-o", program, "cairn/cmd/cairn").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"list"}, {"restore", "one", "--target", filepath.Join(dir, "back")}} {
		for n := range coldTries {
			cmd := exec.Command(program, args...)
			cmd.Env = append(os.Environ(), fmt.Sprintf("HOME=%s/%s-%d", dir, args[0], n), "CAIRN_KEY_FILE="+dir+"/key",
				fmt.Sprintf("CAIRN_REPOSITORY=s3+http://%s/%s/many", minio.Endpoint, bucket))
			took, anon := watchMemory(t, cmd)
			t.Logf("%d packs, %s on a cold machine: %.2f s, of processors %.2f s, at most %d MB",
				y.packs, args[0], took.Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), anon>>20)
			if took > coldTime || anon > coldMemory {
				t.Errorf("%s: got %s and %d bytes, want at most %s and %d", args[0], took, anon, coldTime, coldMemory)
			}
			must(t, os.RemoveAll(filepath.Join(dir, "back")))
		}
	}
}

// watchMemory runs cmd, and returns how long it took and how much memory it had
// that the kernel cannot just drop.
func watchMemory(t testing.TB, cmd *exec.Cmd) (took time.Duration, anon int) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	must(t, cmd.Start())
	ended := make(chan error, 1)
	var group sync.WaitGroup
	group.Go(func() { ended <- cmd.Wait() })
	defer group.Wait()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("cairn %q: %v\n%s", cmd.Args[1:], err, &out)
			}
			return time.Since(begun), anon
		case <-time.After(2 * time.Millisecond):
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			_, rest, _ := strings.Cut(string(status), "RssAnon:")
			kb := 0
			_, _ = fmt.Sscan(rest, &kb)
			anon = max(anon, kb<<10)
		}
	}
}

// upload copies a repository to a bucket.
func upload(t testing.TB, from *mem.Store, o s3.Options) {
	t.Helper()
	to, err := s3.Open(t.Context(), o)
	must(t, err)
	must(t, to.Create(t.Context()))
	for info, err := range from.List(t.Context(), "") {
		must(t, err)
		p, err := from.Get(t.Context(), info.Key, backend.Range{})
		must(t, err)
		must(t, to.Put(t.Context(), info.Key, p))
	}
	head, _, err := from.Load(t.Context(), "")
	must(t, err)
	_, err = to.Swap(t.Context(), "", head)
	must(t, err)
	must(t, to.Close())
}
