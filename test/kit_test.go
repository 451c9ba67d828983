package test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The exit codes that scripts rely on. They are spelled out here, not
// imported: that they stay is what is tested.
const (
	done        = 0
	warnings    = 1
	failed      = 2
	noRepo      = 3
	noKey       = 4
	locked      = 5
	damaged     = 6
	rolledBack  = 7
	forked      = 8
	full        = 9
	interrupted = 130
)

// A box is a person with a home directory and a repository that opens with a
// key file, on a machine without terminal.
type box struct {
	t    testing.TB
	dir  string // holds everything else
	repo string
	src  string // what to back up; empty at first
	env  []string
}

// newBox returns a box whose repository is not there yet.
func newBox(t testing.TB) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{t: t, dir: dir, repo: filepath.Join(dir, "repo"), src: filepath.Join(dir, "src")}
	b.env = []string{
		"HOME=" + filepath.Join(dir, "home"), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(dir, "tmp"),
		"CAIRN_REPOSITORY=" + b.repo, "CAIRN_KEY_FILE=" + filepath.Join(dir, "key"),
	}
	for _, name := range []string{"home", "tmp", "src"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	return b
}

// useRepo makes path the box's repository.
func (b *box) useRepo(path string) {
	b.repo = path
	b.env = append(b.env, "CAIRN_REPOSITORY="+path) // the last one counts
}

// checkRestore restores the latest archive and wants exactly this to come back.
func (b *box) checkRestore(what string, want []string) {
	b.t.Helper()
	target := filepath.Join(b.dir, "back")
	must(b.t, os.RemoveAll(target))
	b.want(done, "restore", "latest", "--target", target)
	if d := differences(describe(b.t, target, owners), want); d != "" {
		b.t.Errorf("%s:\n%s", what, d)
	}
	must(b.t, os.RemoveAll(target))
}

// stored returns how many bytes the packs take.
func (b *box) stored() int {
	b.t.Helper()
	n := 0
	for _, content := range files(b.t, filepath.Join(b.repo, "packs")) {
		n += len(content)
	}
	return n
}

// command returns a cairn that has not started.
func (b *box) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Env, cmd.Dir = b.env, b.dir
	return cmd
}

// result is how a run ended.
type result struct {
	code int
	out  string
	err  string
}

// run runs cairn to its end.
func (b *box) run(args ...string) result {
	b.t.Helper()
	cmd := b.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	code := exitCode(b.t, cmd.Run())
	if strings.Contains(stderr.String(), "goroutine ") {
		b.t.Errorf("cairn %q crashed:\n%s", args, &stderr)
	}
	return result{code: code, out: stdout.String(), err: stderr.String()}
}

// want runs cairn and ends the test unless it ends with the given code.
func (b *box) want(code int, args ...string) result {
	b.t.Helper()
	r := b.run(args...)
	if r.code != code {
		b.t.Fatalf("cairn %q: got exit code %d, want %d\n%s%s", args, r.code, code, r.out, r.err)
	}
	return r
}

func exitCode(t testing.TB, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return done
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return failed
}

// backupArgs are those of a backup of what is in src, named so that the archive
// does not depend on where src lies.
func (b *box) backupArgs() []string { return []string{"backup", b.src + "/./."} }

// must ends the test at an error of its own preparations.
func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// write makes a file and the directories above it.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644))
}

// files returns the contents of all regular files below dir, by relative path.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = content
		return err
	}))
	return all
}
