package servers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// An S3 is a running S3 server: MinIO.
type S3 struct {
	Endpoint             string // host:port, without TLS
	AccessKey, SecretKey string // of somebody who may do everything

	// Client is for looking behind what is tested.
	Client *minio.Client
}

// shared is the one MinIO of this process.
var shared = sync.OnceValues(startMinIO)

// MinIO returns the MinIO of this test process, which the first call starts.
func MinIO(t testing.TB) *S3 {
	t.Helper()
	needed(t)
	s, err := StartMinIO()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// StartMinIO is MinIO for those who have no testing.TB.
func StartMinIO() (*S3, error) {
	s, err := shared()
	if err != nil {
		return nil, fmt.Errorf("start MinIO: %w", err)
	}
	return s, nil
}

func startMinIO() (*S3, error) {
	program, err := BuildMinIO()
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "cairn-minio-")
	if err != nil {
		return nil, err
	}
	s := &S3{Endpoint: fmt.Sprintf("127.0.0.1:%d", port), AccessKey: "cairn-test", SecretKey: rand.Text()}
	err = start(dir, []string{
		"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CI_CD=1",
		// For what asks the server to encrypt; a test's key, no secret.
		"MINIO_KMS_SECRET_KEY=cairn-test:YSBrZXkgZm9yIHRlc3RzIGFuZCBub3RoaW5nIGVsc2U=",
	}, program, "server", "--quiet", "--address", s.Endpoint, filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	s.Client, err = minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: "us-east-1",
	})
	if err != nil {
		return nil, err
	}
	if err := s.await(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, logTail(dir))
	}
	return s, nil
}

// await returns when the server answers that it is ready.
func (s *S3) await() error {
	err := errors.New("not asked")
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
		var response *http.Response
		if response, err = http.Get("http://" + s.Endpoint + "/minio/health/cluster"); err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		err = errors.New(response.Status)
	}
	return fmt.Errorf("it is not ready after a minute: %w", err)
}

// Bucket makes a bucket that holds nothing, of a name of its own.
func (s *S3) Bucket(t testing.TB) string { return s.makeBucket(t, minio.MakeBucketOptions{}) }

// VersionedBucket makes a bucket that keeps every version of its objects.
func (s *S3) VersionedBucket(t testing.TB) string {
	t.Helper()
	name := s.Bucket(t)
	if err := s.Client.EnableVersioning(t.Context(), name); err != nil {
		t.Fatalf("enable versioning: %v", err)
	}
	return name
}

// LockedBucket makes a bucket whose objects can be neither deleted nor changed
// for a day, by anybody.
func (s *S3) LockedBucket(t testing.TB) string {
	t.Helper()
	name := s.makeBucket(t, minio.MakeBucketOptions{ObjectLocking: true})
	mode, days, unit := minio.Compliance, uint(1), minio.Days
	if err := s.Client.SetBucketObjectLockConfig(t.Context(), name, &mode, &days, &unit); err != nil {
		t.Fatalf("lock objects: %v", err)
	}
	return name
}

func (s *S3) makeBucket(t testing.TB, o minio.MakeBucketOptions) string {
	t.Helper()
	name, err := s.newBucket(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// NewBucket is Bucket for those who have no testing.TB.
func (s *S3) NewBucket(ctx context.Context) (string, error) {
	return s.newBucket(ctx, minio.MakeBucketOptions{})
}

func (s *S3) newBucket(ctx context.Context, o minio.MakeBucketOptions) (string, error) {
	name := "test-" + strings.ToLower(rand.Text())
	if err := s.Client.MakeBucket(ctx, name, o); err != nil {
		return "", fmt.Errorf("make bucket: %w", err)
	}
	return name, nil
}

// BuildMinIO returns the path of the MinIO that the module beside this file
// names. It is built once for every version, by one process at a time, and kept
// in the user's cache directory.
func BuildMinIO() (string, error) {
	module, err := moduleDir("test/servers/minio")
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	version := sha256.Sum256(append(sums, runtime.Version()...))
	dir := filepath.Join(cache, "cairn-test", fmt.Sprintf("minio-%x", version[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "minio")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program+".new", "github.com/minio/minio")
	build.Dir = module
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, os.Rename(program+".new", program)
}

// moduleDir returns the directory name of cairn's module, from wherever in it
// the test runs.
func moduleDir(name string) (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), filepath.FromSlash(name))
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	return dir, nil
}
