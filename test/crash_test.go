package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills is how often TestKilled kills a backup.
const kills = 20

// TestKilled kills backups at moments of its own choice while the files
// change, until one is let through: at once, whole, and with the use of what
// the killed ones have stored.
func TestKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	b := newBox(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	tree := newChangingTree(t, b.src, random)
	b.want(done, "init")
	b.want(done, b.backupArgs()...)

	// A run to its end says how long there is time to kill one.
	tree.change()
	begun := time.Now()
	b.want(done, b.backupArgs()...)
	whole := time.Since(begun)
	for i := range kills {
		tree.change()
		after := time.Duration(random.Int64N(int64(whole * 5 / 4)))
		code := b.kill(after)
		t.Logf("kill %d after %s: exit code %d, %d bytes stored", i, after, code, b.stored())
	}
	b.want(done, "--lock-wait", "0", "backup", b.src+"/./.")
	b.checkRestore("the archive after the kills", describe(t, b.src, owners))
	r := b.want(done, "--json", "check", "--read-data")
	var report struct {
		Unreferenced int `json:"unreferenced_packs"`
	}
	must(t, json.Unmarshal([]byte(r.out), &report))
	if report.Unreferenced > 0 {
		t.Errorf("%d packs are stored and in no commit", report.Unreferenced)
	}
	// What was not durable at a kill takes no room, and what was is not stored
	// again.
	if most := tree.added + tree.added/20 + 4<<20; b.stored() > most {
		t.Errorf("files of %d bytes take %d: some were stored twice", tree.added, b.stored())
	}
	if left := files(t, filepath.Join(b.repo, "tmp")); len(left) > kills*4 {
		t.Errorf("%d unfinished files are left after %d kills", len(left), kills)
	}
	b.want(done, "--lock-wait", "0", "backup", b.src+"/./.")
}

// TestAdopted kills a backup that has stored much and committed nothing. The
// next one stores the rest only.
func TestAdopted(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	b := newBox(t)
	const size = 100_000_000
	write(t, b.src+"/file", noise(1, size))
	settle()
	b.want(done, "init")
	cmd := b.command(b.backupArgs()...)
	must(t, cmd.Start())
	waitForPack(t, b, cmd)
	must(t, cmd.Process.Kill())
	exitCode(t, cmd.Wait())
	kept := b.stored()
	if kept == 0 || kept > size/10*9 {
		t.Fatalf("%d of %d bytes were stored at the kill: nothing to see here", kept, size)
	}

	r := b.want(done, "--json", "--lock-wait", "0", "backup", b.src+"/./.")
	var report struct {
		Stored int `json:"stored_bytes"`
	}
	must(t, json.Unmarshal([]byte(r.out), &report))
	if most := size - kept + size/50; report.Stored > most {
		t.Errorf("%d bytes were there and %d more are stored, want at most %d", kept, report.Stored, most)
	}
	if got, most := b.stored(), size+size/50; got > most {
		t.Errorf("a file of %d bytes takes %d", size, got)
	}
	b.want(done, "check", "--read-data")
	b.checkRestore("the archive after the kill", describe(t, b.src, owners))
}

// TestKilledInit kills the making of a repository: the next backup --init
// finishes it, or makes it anew. Only of a key file that was left without a
// repository somebody must say first that it is not needed.
func TestKilledInit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills / 4 {
		// Most of the time goes into the passphrase, before and after.
		killInit(t, time.Duration(random.Int64N(int64(500*time.Millisecond))), "CAIRN_KEY_FILE=", "CAIRN_PASSPHRASE=swordfish")
	}
	for range kills {
		killInit(t, time.Duration(random.Int64N(int64(40*time.Millisecond))))
	}
}

func killInit(t *testing.T, after time.Duration, env ...string) {
	t.Helper()
	b := newBox(t)
	b.env = append(b.env, env...)
	write(t, b.src+"/letter", []byte("Dear reader"))
	create := []string{"backup", "--init", b.src + "/./."}
	cmd := b.command(create...)
	must(t, cmd.Start())
	time.Sleep(after)
	must(t, cmd.Process.Kill())
	exitCode(t, cmd.Wait())
	r := b.run(create...)
	key := filepath.Join(b.dir, "key")
	if r.code == failed && strings.Contains(r.err, "key file "+key+" exists already") && strings.Contains(r.err, "remove it and run this again") {
		must(t, os.Remove(key))
		r = b.run(create...)
	}
	if r.code != done {
		t.Fatalf("after a kill at %s: got exit code %d, want %d\n%s", after, r.code, done, r.err)
	}
	b.want(done, "check", "--read-data")
	b.checkRestore("the first archive", describe(t, b.src, owners))
}

// kill starts a backup and kills it after some time, unless it is faster.
func (b *box) kill(after time.Duration) (code int) {
	b.t.Helper()
	var stderr bytes.Buffer
	cmd := b.command("--lock-wait", "0", "backup", b.src+"/./.")
	cmd.Stderr = &stderr
	must(b.t, cmd.Start())
	time.Sleep(after)
	must(b.t, cmd.Process.Kill())
	code = exitCode(b.t, cmd.Wait())
	if code > done {
		b.t.Fatalf("a backup after others were killed: got exit code %d, want %d\n%s", code, done, &stderr)
	}
	return code
}

// A changingTree is a directory of files of which some change at every step.
type changingTree struct {
	t      *testing.T
	dir    string
	random *rand.Rand
	seed   byte
	added  int // bytes ever written, none of them twice the same
}

// large is the size of its large files: with it most runs fill a pack.
const large = 12 << 20

func newChangingTree(t *testing.T, dir string, random *rand.Rand) *changingTree {
	c := &changingTree{t: t, dir: dir, random: random}
	for i := range 200 {
		c.write(fmt.Sprintf("d%d/small-%d", i%7, i), random.IntN(20_000))
	}
	for i := range 4 {
		c.write(fmt.Sprintf("large-%d", i), large)
	}
	return c
}

func (c *changingTree) write(name string, size int) {
	content := make([]byte, size)
	key := [32]byte{0: c.seed}
	copy(key[1:], name)
	rand.NewChaCha8(key).Read(content)
	write(c.t, filepath.Join(c.dir, name), content)
	c.added += size
}

// change writes anew some small files and a large one, and removes one.
func (c *changingTree) change() {
	c.seed++
	for range 20 {
		i := c.random.IntN(200)
		c.write(fmt.Sprintf("d%d/small-%d", i%7, i), c.random.IntN(20_000))
	}
	c.write(fmt.Sprintf("large-%d", c.random.IntN(4)), large)
	os.Remove(filepath.Join(c.dir, fmt.Sprintf("d0/small-%d", 7*c.random.IntN(28))))
	c.write(fmt.Sprintf("new-%d", c.seed), 1000)
}

// TestInterrupted sends SIGINT to a backup in its midst: it stores a
// checkpoint, which is listed only when asked for, and from which the next run
// goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			testInterrupted(t, signal)
		})
	}
}

func testInterrupted(t *testing.T, signal os.Signal) {
	b := newBox(t)
	const many, each = 160, 1 << 20
	for i := range many {
		write(t, fmt.Sprintf("%s/file-%03d", b.src, i), noise(byte(i), each))
	}
	settle()
	b.want(done, "init")
	cmd := b.command(b.backupArgs()...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	waitForPack(t, b, cmd)
	must(t, cmd.Process.Signal(signal))
	if code := exitCode(t, cmd.Wait()); code != interrupted {
		t.Fatalf("got exit code %d, want %d\n%s", code, interrupted, &stderr)
	}
	if !strings.Contains(stderr.String(), "the next run goes on from it") {
		t.Errorf("stderr does not say what becomes of the run: %s", &stderr)
	}

	// A checkpoint is no archive that somebody would take for the latest.
	b.want(failed, "restore", "latest", "--target", filepath.Join(b.dir, "back"))
	if r := b.want(done, "--json", "list"); r.out != "" {
		t.Errorf("list shows the checkpoint: %s", r.out)
	}
	if r := b.want(done, "--json", "list", "--all"); !strings.Contains(r.out, `"checkpoint":true`) {
		t.Errorf("list --all does not show the checkpoint: %s", r.out)
	}
	b.want(done, "check", "--read-data")
	kept := b.stored()

	r := b.want(done, append([]string{"--json"}, b.backupArgs()...)...)
	var report struct {
		Read uint64 `json:"bytes_read"`
	}
	must(t, json.Unmarshal([]byte(r.out), &report))
	if report.Read >= many*each {
		t.Errorf("the next run read all %d bytes again, although %d were stored", report.Read, kept)
	}
	if got, most := b.stored(), many*each+many*each/20; got > most {
		t.Errorf("%d bytes of files take %d, want at most %d", many*each, got, most)
	}
	b.checkRestore("the archive after the interruption", describe(t, b.src, owners))
	if r := b.want(done, "--json", "list", "--all"); strings.Contains(r.out, `"checkpoint":true`) {
		t.Errorf("the checkpoint outlives the archive that replaces it: %s", r.out)
	}
}

// TestInterruptedReading interrupts what only reads: it ends without a word
// about what it was doing, and leaves nothing unfinished behind.
func TestInterruptedReading(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	b := newBox(t)
	const many, each = 100, 2 << 20
	for i := range many {
		write(t, fmt.Sprintf("%s/file-%03d", b.src, i), noise(byte(i), each))
	}
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	target := filepath.Join(b.dir, "back")
	cmd := b.command("restore", "latest", "--target", target)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	deadline := time.Now().Add(30 * time.Second)
	for found := []string{}; len(found) == 0; found, _ = filepath.Glob(target + "/*") {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal("nothing was restored in 30 s")
		}
		time.Sleep(time.Millisecond) // of a process that tells nobody
	}
	must(t, cmd.Process.Signal(os.Interrupt))
	if code := exitCode(t, cmd.Wait()); code != interrupted {
		t.Fatalf("got exit code %d, want %d\n%s", code, interrupted, &stderr)
	}
	if got, want := stderr.String(), "cairn: interrupted\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
	for name, content := range files(t, target) {
		if len(content) != each {
			t.Errorf("%s stays, with %d of %d bytes", name, len(content), each)
		}
	}
}

// waitForPack returns once cmd has stored something.
func waitForPack(t *testing.T, b *box, cmd *exec.Cmd) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for countPacks(b.repo) == 0 {
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal("no pack was stored in 30 s")
		}
		time.Sleep(time.Millisecond) // of a process that tells nobody
	}
}
