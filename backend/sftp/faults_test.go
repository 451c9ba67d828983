package sftp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/retry"
	"cairn/backend/sftp"
	"cairn/test/servers"
)

// create makes a store in a new directory of the server.
func create(t testing.TB, s *servers.SSH) (store *sftp.Store, dir string) {
	t.Helper()
	store = dial(t, s, "store")
	if err := store.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store, filepath.Join(s.Dir, "store")
}

func TestVanishedRootIsNoEmptyStore(t *testing.T) {
	t.Parallel()
	s, dir := create(t, servers.PkgSFTP(t, servers.PkgSFTPOptions{}))
	if err := s.Put(t.Context(), "a/k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{"missing", "a mount point"} {
		_, getErr := s.Get(t.Context(), "a/k", backend.Range{})
		_, statErr := s.Stat(t.Context(), "a/k")
		_, _, loadErr := s.Load(t.Context(), "")
		_, swapErr := s.Swap(t.Context(), "", []byte("v"))
		errs := map[string]error{
			"get": getErr, "stat": statErr, "load": loadErr, "swap": swapErr,
			"put": s.Put(t.Context(), "a/l"), "delete": s.Delete(t.Context(), "a/k"),
		}
		for _, err := range s.List(t.Context(), "") {
			errs["list"] = err
		}
		if len(errs) != 7 {
			t.Errorf("%s: got %d errors, want 7: %v", there, len(errs), errs)
		}
		for op, err := range errs {
			if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNotExist) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: got %v, want ErrUnavailable", there, op, err)
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil { // as it is when the disk is not mounted
			t.Fatal(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the mount point holds %v, %v, want it left alone", entries, err)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	server := servers.PkgSFTP(t, servers.PkgSFTPOptions{})
	for name, want := range map[string]backend.State{"missing/too": backend.Missing, "empty": backend.Empty, "disk": backend.Empty, "foreign": backend.Foreign, "file": backend.Foreign} {
		path := filepath.Join(server.Dir, name)
		var err error
		switch name {
		case "empty":
			err = os.Mkdir(path, 0o755)
		case "disk":
			err = os.MkdirAll(path+"/lost+found", 0o755)
		case "foreign":
			err = os.MkdirAll(path+"/photos", 0o755)
		case "file":
			err = os.WriteFile(path, nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := dial(t, server, name)
		if got, err := s.Inspect(t.Context()); got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, want)
		}
		if want == backend.Missing || want == backend.Empty {
			if err := s.Create(t.Context()); err != nil {
				t.Errorf("%s: create: %v", name, err)
			}
			if got, err := s.Inspect(t.Context()); got != backend.Ours || err != nil {
				t.Errorf("%s: got %d, %v after create, want a store", name, got, err)
			}
		}
		s.Close()
	}
	if info, err := os.Stat(filepath.Join(server.Dir, "missing", "too")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("made %v, %v, want nobody else let in", info.Mode(), err)
	}
}

// TestCutConnections cuts every connection again and again while objects are
// put, read and listed, and the register counts.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{})
	proxy := servers.Between(t, server.Addr, servers.Faults{CutAfter: 3 << 20})
	under, dir := create(t, server.Via(t, proxy))
	o := retry.Options{FirstWait: time.Millisecond, MaxWait: 20 * time.Millisecond}
	s, r := retry.New(under, o), retry.NewRegister(under, o)
	var group sync.WaitGroup
	for w := range 3 {
		group.Go(func() {
			for i := range 6 {
				data := bytes.Repeat([]byte{byte(w), byte(i), 7}, 700<<10/3+i)
				key := backend.Key(fmt.Sprintf("packs/%x", sha256.Sum256(data)))
				if err := s.Put(t.Context(), key, data); err != nil {
					t.Errorf("put: %v", err)
				} else if got, err := s.Get(t.Context(), key, backend.Range{}); err != nil || !bytes.Equal(got, data) {
					t.Errorf("get: got %d bytes, %v, want what was put", len(got), err)
				}
			}
		})
	}
	group.Go(func() {
		if err := countOverFaults(t.Context(), r, 30); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
	var sum int
	for _, err := range s.List(t.Context(), "packs/") {
		if sum++; err != nil {
			t.Fatal(err)
		}
	}
	if cuts := proxy.Cuts(); sum != 18 || cuts < 5 {
		t.Errorf("got %d objects after %d cuts, want 18 after at least 5", sum, cuts)
	}
	t.Logf("%d connections were cut", proxy.Cuts())
	_ = dir
}

// countOverFaults counts in the register, taking a swap that was certainly not
// applied for a lost race.
func countOverFaults(ctx context.Context, r backendtest.Register, n int) error {
	return backendtest.Count(ctx, lossy{r}, "counter", n)
}

// lossy is a register whose swaps that fail are conflicts.
type lossy struct{ backendtest.Register }

// Swap implements backendtest.Register.
func (l lossy) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	tag, err := l.Register.Swap(ctx, old, value)
	if err != nil && !errors.Is(err, backend.ErrUnknown) && ctx.Err() == nil {
		err = backend.ErrConflict
	}
	return tag, err
}

// TestSilentPeer holds that a transfer over a connection on which nothing comes
// any more ends when its context does, in a moment.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	server := servers.PkgSFTP(t, servers.PkgSFTPOptions{})
	proxy := servers.Between(t, server.Addr, servers.Faults{})
	s, _ := create(t, server.Via(t, proxy))
	if err := s.Put(t.Context(), "k", make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	proxy.Silence()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, getErr := s.Get(ctx, "k", backend.Range{})
	_, statErr := s.Stat(ctx, "k")
	for op, err := range map[string]error{"get": getErr, "stat": statErr, "put": s.Put(ctx, "l", make([]byte, 4<<20))} {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want the context's error", op, err)
		}
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %s, want a few seconds", took)
	}
}

// TestLeftovers holds that what a killed writer left is removed when it is a day
// old, and nothing else.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	server := servers.PkgSFTP(t, servers.PkgSFTPOptions{})
	s, dir := create(t, server)
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, "new": 23 * time.Hour} {
		path, when := filepath.Join(dir, "tmp", name), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // waits for what is left to do
		t.Fatal(err)
	}
	if left, err := filepath.Glob(dir + "/tmp/*"); err != nil || len(left) != 1 || filepath.Base(left[0]) != "new" {
		t.Errorf("got %v, %v in tmp, want the new one", left, err)
	}
}

// TestDeniedDirectory holds that a directory that nobody may read or write is
// ErrDenied, and no empty one.
func TestDeniedDirectory(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{User: "nobody"})
	s, dir := create(t, server)
	if err := s.Put(t.Context(), "packs/aa/k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/packs/aa", 0); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(t.Context(), "packs/aa/k", backend.Range{})
	_, statErr := s.Stat(t.Context(), "packs/aa/k")
	errs := map[string]error{"get": getErr, "stat": statErr, "put": s.Put(t.Context(), "packs/aa/l"), "delete": s.Delete(t.Context(), "packs/aa/k")}
	for _, err := range s.List(t.Context(), "packs/") {
		errs["list"] = err
	}
	if len(errs) != 5 {
		t.Errorf("got %d errors, want 5: %v", len(errs), errs)
	}
	for op, err := range errs {
		if !errors.Is(err, backend.ErrDenied) || errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: got %v, want ErrDenied", op, err)
		}
	}
	if err := s.Put(t.Context(), "packs/bb/k", []byte("x")); err != nil {
		t.Errorf("put elsewhere: %v", err)
	}
}

// TestWords holds that errors say where and why.
func TestWords(t *testing.T) {
	t.Parallel()
	server := servers.PkgSFTP(t, servers.PkgSFTPOptions{})
	proxy := servers.Between(t, server.Addr, servers.Faults{})
	s, _ := create(t, server.Via(t, proxy))
	proxy.Cut()
	proxy.Refuse()
	_, err := s.Stat(t.Context(), "k")
	_, again := s.Stat(t.Context(), "k")
	for _, err := range []error{err, again} {
		if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), proxy.Addr()) {
			t.Errorf("got %v, want ErrUnavailable with the address", err)
		}
	}
}
