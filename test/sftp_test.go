package test

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cairn/test/servers"

	"golang.org/x/sys/unix"
)

// onServer makes a directory of the server the box's repository, and its person
// somebody who may log in there.
func (b *box) onServer(s *servers.SSH, name string) {
	b.t.Helper()
	must(b.t, os.Symlink(filepath.Join(s.Home, ".ssh"), filepath.Join(b.dir, "home", ".ssh")))
	b.useRepo(s.URL(name))
}

// fillSource puts cairn's own sources, and one of each kind of file that there
// is, into the box's source directory.
func (b *box) fillSource() {
	b.t.Helper()
	src := func(name string) string { return filepath.Join(b.src, name) }
	for _, dir := range []string{"objects", "pipeline", "cmd"} {
		if out, err := exec.Command("cp", "-a", filepath.Join("..", dir), b.src).CombinedOutput(); err != nil {
			b.t.Fatalf("cp: %v\n%s", err, out)
		}
	}
	noise := make([]byte, 40<<20)
	_, _ = rand.Read(noise)
	write(b.t, src("noise"), noise)
	write(b.t, src("odd/name\nwith \xff bytes"), []byte("x"))
	must(b.t,
		os.Link(src("noise"), src("again")),
		os.Symlink("nowhere", src("dangling")),
		syscall.Mkfifo(src("fifo"), 0o610),
		os.Chmod(src("odd"), 0o711|os.ModeSetgid),
		os.Chtimes(src("noise"), time.Unix(1, 2), time.Unix(1_000_000_000, 123_456_789)),
	)
	if err := unix.Lsetxattr(src("noise"), "user.cairn", []byte("value"), 0); err != nil && !errors.Is(err, syscall.ENOTSUP) {
		b.t.Fatal(err)
	}
	settle()
}

// TestSFTP backs up real files to OpenSSH and brings them back, also on a
// machine that has seen nothing of the repository.
func TestSFTP(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.onServer(servers.OpenSSH(t, servers.OpenSSHOptions{}), "backups/desk")
	b.fillSource()
	b.want(noRepo, "list")
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	want := describe(t, b.src, owners)
	b.checkRestore("restored", want)
	must(t, os.RemoveAll(filepath.Join(b.dir, "home", ".cache")))
	b.checkRestore("restored without a cache", want)

	write(t, filepath.Join(b.src, "cmd", "later"), []byte("more"))
	must(t, os.RemoveAll(filepath.Join(b.src, "objects")))
	settle()
	must(t, os.RemoveAll(filepath.Join(b.dir, "home", ".cache")))
	b.want(done, b.backupArgs()...)
	b.checkRestore("restored the second one", describe(t, b.src, owners))
	b.want(done, "check", "--read-data")
	if out := b.want(done, "list").out; strings.Count(out, "\n") != 3 {
		t.Errorf("list: got\n%swant two archives", out)
	}
	b.want(failed, "init") // over what is there
}

// TestSFTPRefused holds what a person is told who cannot log in.
func TestSFTPRefused(t *testing.T) {
	t.Parallel()
	s := servers.PkgSFTP(t, servers.PkgSFTPOptions{})
	b := newBox(t)
	b.onServer(s, "desk")
	b.want(done, "init")
	known, err := os.ReadFile(s.KnownHosts())
	must(t, err)

	must(t, os.Remove(s.KnownHosts()))
	r := b.want(failed, "list")
	_, command, ok := strings.Cut(r.err, "accept it with: ")
	if !ok || !strings.Contains(r.err, "SHA256:") || strings.Count(r.err, "\n") != 1 {
		t.Fatalf("unknown host: got %q, want one line with the fingerprint and what accepts it", r.err)
	}
	shell := exec.Command("sh", "-c", strings.ReplaceAll(command, "~", filepath.Join(b.dir, "home")))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	b.want(done, "list")

	other, err := servers.WriteKey(filepath.Join(b.dir, "other"), servers.Ed25519())
	must(t, err)
	changed := strings.Fields(string(known))[0] + " " + string(servers.AuthorizedKey(other))
	must(t, os.WriteFile(s.KnownHosts(), []byte("\n"+changed), 0o600))
	if r := b.want(failed, "list"); !strings.Contains(r.err, s.KnownHosts()+":2") && !strings.Contains(r.err, ".ssh/known_hosts:2") {
		t.Errorf("changed key: got %q, want the file and line of the old one", r.err)
	}

	must(t, os.WriteFile(s.KnownHosts(), known, 0o600))
	_, err = servers.WriteKey(filepath.Join(s.Home, ".ssh", "id_ed25519"), servers.Ed25519())
	must(t, err)
	if r := b.want(failed, "list"); !strings.Contains(r.err, "access denied") || !strings.Contains(r.err, "ssh-copy-id") {
		t.Errorf("wrong key: got %q, want it denied, and what to do", r.err)
	}
	b.useRepo("sftp://nobody@127.0.0.1:1/desk")
	if r := b.want(failed, "list"); !strings.Contains(r.err, "127.0.0.1:1: connection refused") {
		t.Errorf("nobody listens: got %q, want address and reason", r.err)
	}
}
