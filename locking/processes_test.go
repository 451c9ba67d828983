package locking_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/backend/local"
	"cairn/backend/s3"
	"cairn/backend/sftp"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/test/servers"
)

// helperVariable tells a test binary that it is to play another process.
const helperVariable = "CAIRN_LOCKING_TEST_HELPER"

const processCommits = 20

func TestMain(m *testing.M) {
	place := os.Getenv(helperVariable)
	if place == "" {
		debug.SetGCPercent(400) // every record that is written takes an encoder of a megabyte
		os.Exit(m.Run())
	}
	if err := playProcess(context.Background(), place, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(1)
	}
}

// store is what a chain needs of one.
type store interface {
	locking.Register
	locking.Records
}

// openStore opens the store at a place: its kind and what opens it, in words.
func openStore(ctx context.Context, place string) (store, error) {
	words := strings.Fields(place)
	switch words[0] {
	case "local":
		return local.Open(words[1], local.Options{})
	case "s3":
		return s3.Open(ctx, s3.Options{Scheme: s3.PlainHTTP, Host: words[1], Bucket: words[2]})
	case "sftp":
		l, err := sftp.Parse(words[1])
		if err != nil {
			return nil, err
		}
		return sftp.Dial(ctx, l, sftp.Options{Home: words[2], User: words[3], Transfers: 1})
	}
	return nil, errors.New("no such kind of store: " + place)
}

// openAt returns a chain on the store at a place; every process has the same keys.
func openAt(ctx context.Context, place string) (*locking.Chain, error) {
	master, err := crypt.NewMaster(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		return nil, err
	}
	keys, err := crypt.Derive(master, objects.RepositoryID{1}, crypt.AES256GCM)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, place)
	if err != nil {
		return nil, err
	}
	return locking.New(locking.Options{
		Register: store, Records: store, Keys: keys,
		Self: locking.Self(), Look: locking.Look,
		Timing: locking.Timing{MinPoll: 5 * time.Millisecond, MaxPoll: 50 * time.Millisecond},
	})
}

// playProcess makes commits, with and without a lease, and prints the label of
// each when it has been answered.
func playProcess(ctx context.Context, place, name string) error {
	c, err := openAt(ctx, place)
	if err != nil {
		return err
	}
	for i := range processCommits {
		if name == sleeper && i == 3 {
			return fallAsleep(ctx, c)
		}
		if _, err := c.Refresh(ctx); err != nil {
			return err
		}
		label := fmt.Sprintf("%s/%d", name, i)
		if err := oneCommit(ctx, c, label, i%2 == 0); err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
		fmt.Println(label)
	}
	return nil
}

// sleeper is the process that takes the lease, says so, and sleeps.
const (
	sleeper = "0"
	asleep  = "asleep"
)

func fallAsleep(ctx context.Context, c *locking.Chain) error {
	w, ctx, err := c.Begin(ctx, locking.Run{Wait: 10 * time.Minute})
	if err != nil {
		return err
	}
	if err := w.Ensure(ctx); err != nil {
		return err
	}
	fmt.Println(asleep)
	<-ctx.Done() // comes with SIGKILL only
	return w.Release(ctx)
}

func oneCommit(ctx context.Context, c *locking.Chain, label string, lease bool) (err error) {
	w, ctx, err := c.Begin(ctx, locking.Run{Wait: 10 * time.Minute})
	if err != nil {
		return err
	}
	defer func() {
		if releaseErr := w.Release(ctx); err == nil {
			err = releaseErr
		}
	}()
	if lease {
		if err := w.Ensure(ctx); err != nil {
			return err
		}
	}
	return w.Commit(ctx, labelled(label), locking.Release)
}

func TestProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := local.Create(dir); err != nil {
		t.Fatal(err)
	}
	takeTurns(t, "local "+dir)
}

// TestProcessesS3 is not parallel: who it is stands in the environment.
func TestProcessesS3(t *testing.T) {
	server := servers.MinIO(t)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	takeTurns(t, fmt.Sprintf("s3 %s %s", server.Endpoint, server.Bucket(t)))
}

func TestProcessesSFTP(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{Lines: []string{"MaxStartups 100"}})
	place := fmt.Sprintf("sftp %s %s %s", server.URL("repo"), server.Home, server.User)
	s, err := openStore(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.(*sftp.Store).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	takeTurns(t, place)
}

// takeTurns lets eight processes commit to one store and kills three of them in
// the middle of it, one for certain while it holds the lease. The others must
// not wait for the dead ones' leases.
func takeTurns(t *testing.T, place string) {
	const processes, killed = 8, 3
	c, err := openAt(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	answered := make([][]string, processes)
	var group errgroup.Group
	for p := range processes {
		group.Go(func() (err error) {
			killAfter := processCommits + 1
			if p < killed && fmt.Sprint(p) != sleeper {
				killAfter = 1 + rand.IntN(processCommits/2)
			}
			answered[p], err = watchProcess(place, fmt.Sprint(p), killAfter)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	labels := audit(t.Context(), t, c)
	for p, done := range answered {
		mine := slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return !strings.HasPrefix(l, fmt.Sprint(p, "/")) })
		// The one commit that was under way when it was killed may be there.
		if len(mine) > len(done)+1 || p >= killed && len(done) != processCommits || !slices.Equal(mine[:len(done)], done) {
			t.Errorf("process %d: got %v in the chain, want %v", p, mine, done)
		}
	}
	if got := time.Since(start); got > 3*time.Minute {
		t.Errorf("took %s: somebody has waited for the dead", got)
	}
	// Whoever died last may still stand in the table, but in nobody's way.
	if err := oneCommit(t.Context(), c, "last", true); err != nil {
		t.Errorf("after all: %v", err)
	}
}

// ignoreExit drops the error that says that a process was killed.
func ignoreExit(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil
	}
	return err
}

// watchProcess runs a process and returns the labels that it printed. It kills
// the process a moment after it has printed so many of them.
func watchProcess(place, name string, killAfter int) (labels []string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, name)
	cmd.Env = append(os.Environ(), helperVariable+"="+place)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == asleep {
			return labels, errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait()))
		}
		labels = append(labels, lines.Text())
		if len(labels) == killAfter {
			time.AfterFunc(rand.N(30*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil && len(labels) < killAfter {
		return nil, fmt.Errorf("process %s: %w", name, err)
	}
	return labels, nil
}
