package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cairn/test/servers"
)

// soakTime is for how long TestSoak lets everybody work on one repository.
var soakTime = flag.Duration("soak", 8*time.Second, "how long the soak test takes, for each store")

const (
	soakWriters  = 8
	soakPatience = time.Minute // with a machine that is too slow to do much in soakTime
)

// A soak is one repository that many write to, and what its archives hold.
type soak struct {
	*box
	packs string // where the repository lies on this machine; empty: nowhere
	ttl   time.Duration

	// crowded: all write side by side, what they have is taken from a few contents
	// that are the same everywhere, and checks go on beside them. So each chunk is
	// wanted by several, by nobody, and stored anew, again and again.
	crowded bool

	mu    sync.Mutex
	holds map[string][]string // by archive; guarded by mu

	backups, kills, pauses, deletes, compactions, swept, checks atomic.Int64
}

// TestSoak lets eight machines back up to one repository, each its own data,
// while another deletes archives and compacts. Some are killed, some are stopped
// for longer than their lease lasts. In the end everything is whole.
func TestSoak(t *testing.T) {
	t.Parallel()
	soakEach(t, func(s *soak) { s.run() })
}

// TestSoakCrowded is TestSoak with machines that all have the same few contents, two
// of which share a cache each, and with checks at the same time, which find nothing
// at any moment.
func TestSoakCrowded(t *testing.T) {
	t.Parallel()
	soakEach(t, func(s *soak) {
		s.crowded = true
		s.run()
	})
}

func soakEach(t *testing.T, run func(*soak)) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		run(&soak{box: b, packs: b.repo, ttl: 2 * time.Second})
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		server := servers.MinIO(t)
		b.useRepo(fmt.Sprintf("s3+http://%s/%s/soak", server.Endpoint, server.Bucket(t)))
		b.env = append(b.env, "AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey)
		run(&soak{box: b, ttl: 3 * time.Second})
	})
	t.Run("sftp", func(t *testing.T) {
		t.Parallel()
		if *soakTime < time.Minute {
			t.Skip("every run logs in anew over SFTP, and so takes minutes: run it with -soak 1m or more")
		}
		b := newBox(t)
		server := servers.OpenSSH(t, servers.OpenSSHOptions{})
		b.onServer(server, "backups/soak")
		run(&soak{box: b, ttl: 3 * time.Second})
	})
}

func (s *soak) run() {
	t := s.t
	s.holds = map[string][]string{}
	s.env = append(s.env, "CAIRN_TEST_TTL="+s.ttl.String())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s.want(done, "init")
	// A slow machine takes longer to do anything worth looking at.
	begun := time.Now()
	over := func() bool {
		worked := s.backups.Load() >= soakWriters && s.compactions.Load() > 0
		passed := time.Since(begun)
		return t.Failed() || passed > *soakTime && worked || passed > *soakTime+soakPatience
	}
	var group sync.WaitGroup
	for i := range soakWriters {
		w := s.writer(i, rand.New(rand.NewPCG(seed, uint64(i))))
		group.Go(func() {
			for !over() {
				w.backUp()
			}
		})
	}
	group.Go(func() {
		r := rand.New(rand.NewPCG(seed, soakWriters))
		for !over() {
			s.tidy(r)
		}
	})
	if s.crowded {
		group.Go(func() {
			for !over() {
				s.checkBeside()
			}
		})
	}
	group.Wait()
	t.Logf("%d backups, %d kills, %d pauses, %d archives deleted, %d compactions, %d packs deleted, %d checks",
		s.backups.Load(), s.kills.Load(), s.pauses.Load(), s.deletes.Load(), s.compactions.Load(), s.swept.Load(), s.checks.Load())
	if s.backups.Load() < soakWriters || s.compactions.Load() == 0 {
		t.Error("hardly anything was done")
	}
	s.check()
	s.want(done, "compact", "--now")
	s.check()
}

// checkBeside wants a check beside everybody's work to find nothing.
func (s *soak) checkBeside() {
	r := s.result(s.start(s.box, "--json", "check"))
	if r.code != done {
		s.t.Errorf("check beside others: got exit code %d\n%s%s", r.code, r.out, r.err)
	}
	s.checks.Add(1)
}

// check wants every byte to be good and every archive to come back.
func (s *soak) check() {
	s.t.Helper()
	r := s.want(done, "--json", "check", "--read-data")
	s.t.Logf("check: %s", r.out)
	for _, a := range s.list() {
		target := filepath.Join(s.dir, "back")
		must(s.t, os.RemoveAll(target))
		s.want(done, "restore", a.ID, "--target", target)
		want, known := s.holds[a.ID]
		if !known {
			continue // its run was killed before it could tell
		}
		if d := differences(describe(s.t, target, owners), want); d != "" {
			s.t.Errorf("archive %s:\n%s", a.Name, d)
		}
	}
}

type soakArchive struct{ ID, Name, Host, Series string }

func (s *soak) list() []soakArchive {
	s.t.Helper()
	var list []soakArchive
	for line := range strings.Lines(s.want(done, "--json", "list").out) {
		var a soakArchive
		must(s.t, json.Unmarshal([]byte(line), &a))
		list = append(list, a)
	}
	return list
}

// tidy deletes some archives and compacts, and changes whether writers take turns.
func (s *soak) tidy(r *rand.Rand) {
	s.order(r)
	for _, a := range s.list() {
		if r.IntN(2) == 0 {
			s.want(done, "delete", "-q", a.ID)
			s.deletes.Add(1)
		}
	}
	s.age()
	args := []string{"--json", "compact"}
	now := (s.packs == "" || s.crowded) && r.IntN(2) == 0
	if now {
		args = append(args, "--now")
	}
	if s.crowded && r.IntN(2) == 0 {
		args = append(args, "--max-unused", "0")
	}
	res := s.result(s.start(s.box, args...))
	switch {
	case res.code == done:
		var report struct {
			Deleted int64 `json:"deleted_packs"`
		}
		must(s.t, json.Unmarshal([]byte(res.out), &report))
		s.swept.Add(report.Deleted)
		s.compactions.Add(1)
	case res.code == locked && now: // and somebody writes
	default:
		s.t.Errorf("compact: got exit code %d\n%s", res.code, res.err)
	}
}

// order says whether writers take turns.
func (s *soak) order(r *rand.Rand) {
	order := []string{"in-turn", "parallel"}[r.IntN(2)]
	if s.crowded {
		order = "parallel"
	}
	s.want(done, "-q", "config", "set", "writers", order)
}

// age makes the store say that every record is a day old, so that what they
// condemned may be deleted: much earlier than in life.
func (s *soak) age() {
	if s.packs == "" {
		return
	}
	old := time.Now().Add(-25 * time.Hour)
	must(s.t, filepath.WalkDir(filepath.Join(s.packs, "commits"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // one that came to nothing
		}
		return err
	}))
}

// overslept reports whether a run ended as one does that was paused in its commit
// until the records had been removed that tell what became of it. In life that
// takes a day; here age makes it moments, if many commit in them.
func (s *soak) overslept(r result) bool {
	return s.crowded && s.packs != "" && r.code == failed && strings.Contains(r.err, "the records after generation")
}

// start starts cairn for somebody.
func (s *soak) start(b *box, args ...string) *running {
	r := &running{cmd: b.command(args...)}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.err
	if err := r.cmd.Start(); err != nil {
		s.t.Error(err)
	}
	return r
}

// running is a cairn that was started.
type running struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

func (s *soak) result(r *running) result {
	var exit *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		s.t.Error(err)
	}
	return result{code: r.cmd.ProcessState.ExitCode(), out: r.out.String(), err: r.err.String()}
}

// A soakWriter is one of the machines.
type soakWriter struct {
	s      *soak
	box    *box
	random *rand.Rand
}

// writer makes a machine with a home and data of its own.
func (s *soak) writer(i int, random *rand.Rand) *soakWriter {
	dir := filepath.Join(s.dir, fmt.Sprint("machine-", i))
	b := &box{t: s.t, dir: dir, repo: s.repo, src: filepath.Join(dir, "src")}
	home := filepath.Join(dir, "home")
	if s.crowded && i%2 == 1 { // two share what they know of the repository
		home = filepath.Join(s.dir, fmt.Sprint("machine-", i-1), "home")
	}
	b.env = append(append([]string{}, s.env...), "HOME="+home)
	must(s.t, os.MkdirAll(home, 0o755), os.MkdirAll(b.src, 0o755))
	link, err := os.Readlink(filepath.Join(s.dir, "home", ".ssh"))
	if _, there := os.Lstat(filepath.Join(home, ".ssh")); err == nil && there != nil {
		must(s.t, os.Symlink(link, filepath.Join(home, ".ssh")))
	}
	w := &soakWriter{s: s, box: b, random: random}
	for n := range 12 {
		w.write(n)
	}
	return w
}

// write makes or changes a file. Some contents come back, so that chunks are
// wanted again that nothing needed for a while.
func (w *soakWriter) write(n int) {
	size := 1000 + w.random.IntN(300_000)
	key := [32]byte{byte(w.random.IntN(6)), byte(n), byte(w.random.IntN(2) * (1 + int(w.box.dir[len(w.box.dir)-1])))}
	if w.s.crowded {
		key = [32]byte{byte(w.random.IntN(24))}
		size = 4000 * (1 + int(key[0]))
	}
	content := make([]byte, size)
	rand.NewChaCha8(key).Read(content)
	write(w.s.t, filepath.Join(w.box.src, fmt.Sprintf("d%d/file-%d", n%3, n)), content)
}

// backUp changes some files and backs up; one in four is killed, one in eight
// stopped for three ttls.
func (w *soakWriter) backUp() {
	for range 3 {
		w.write(w.random.IntN(12))
	}
	settle()
	want := describe(w.s.t, w.box.src, owners)
	r := w.s.start(w.box, "--json", "--lock-wait", "5m", "backup", w.box.src+"/./.")
	killed := false
	switch w.random.IntN(8) {
	case 0, 1:
		time.Sleep(time.Duration(w.random.Int64N(int64(time.Second))))
		killed = r.cmd.Process.Kill() == nil
		w.s.kills.Add(1)
	case 2:
		time.Sleep(time.Duration(w.random.Int64N(int64(500 * time.Millisecond))))
		if r.cmd.Process.Signal(syscall.SIGSTOP) == nil {
			time.Sleep(3 * w.s.ttl)
			_ = r.cmd.Process.Signal(syscall.SIGCONT)
			w.s.pauses.Add(1)
		}
	}
	res := w.s.result(r)
	if res.code != done {
		if !killed && !w.s.overslept(res) {
			w.s.t.Errorf("backup: got exit code %d\n%s", res.code, res.err)
		}
		return
	}
	var report struct{ Archive struct{ ID string } }
	must(w.s.t, json.Unmarshal([]byte(res.out), &report))
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.holds[report.Archive.ID] = want
	w.s.backups.Add(1)
}
