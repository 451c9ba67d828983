package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"cairn/test/servers"
)

// cutsAtOnce is how many runs that are cut wait at the same time.
const cutsAtOnce = 12

// A scene is a repository in a bucket, and a command that is cut while it works
// on copies of it.
type scene struct {
	*box
	server *servers.S3
	args   func(b *box) []string
	cold   bool // it works without a cache

	// again is what must work afterwards. The run that was cut said it was done,
	// or not.
	again func(b *box, done bool) error
}

// TestCutAtEveryRequest breaks the connection at each request of small runs: so
// that the store never hears of it, that it does what it was asked and cannot
// say so, or for good. The first two are made up for. In the last case a person
// ends the wait. Nothing is damaged by it, and the next run does what this one
// could not.
func TestCutAtEveryRequest(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	for name, make := range map[string]func(*scene){
		"backup": (*scene).backup, "restore": (*scene).restore, "delete": (*scene).delete, "compact": (*scene).compact,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scene{box: newBox(t), server: server}
			s.onBucket(server, server.Endpoint)
			write(t, s.src+"/kept", noise(1, 300_000))
			write(t, s.src+"/changed", noise(2, 300_000))
			settle()
			s.want(done, "init")
			s.want(done, s.backupArgs()...)
			write(t, s.src+"/changed", noise(3, 300_000))
			settle()
			make(s)
			s.cutEverywhere()
		})
	}
}

func (s *scene) backup() {
	s.args = (*box).backupArgs
	s.again = func(b *box, _ bool) error { return b.well(b.backupArgs()...) }
}

func (s *scene) restore() {
	s.cold = true
	s.want(done, s.backupArgs()...)
	want := describe(s.t, s.src, owners)
	s.args = func(b *box) []string { return []string{"restore", "latest", "--target", filepath.Join(b.dir, "back")} }
	s.again = func(b *box, _ bool) error {
		if err := b.well(s.args(b)...); err != nil {
			return err
		}
		got, err := describeTree(filepath.Join(b.dir, "back"), owners)
		if d := differences(got, want); err == nil && d != "" {
			err = errors.New(d)
		}
		return err
	}
}

func (s *scene) delete() {
	first := s.oldest()
	s.want(done, s.backupArgs()...)
	s.args = func(*box) []string { return []string{"delete", first} }
	s.again = func(b *box, ended bool) error {
		r := b.run("list", "--json")
		if !strings.Contains(r.out, first) {
			return nil
		}
		if ended {
			return fmt.Errorf("archive %s is still there", first)
		}
		return b.well("delete", first)
	}
}

func (s *scene) compact() {
	first := s.oldest()
	s.want(done, s.backupArgs()...)
	s.want(done, "delete", first)
	s.args = func(*box) []string { return []string{"compact", "--now", "--max-unused", "0"} }
	s.again = func(b *box, _ bool) error {
		if err := b.well(s.args(b)...); err != nil {
			return err
		}
		return b.well(b.backupArgs()...)
	}
}

// oldest returns the ID of the first archive.
func (s *scene) oldest() string {
	s.t.Helper()
	var first struct{ ID string }
	must(s.t, json.NewDecoder(strings.NewReader(s.want(done, "list", "--json").out)).Decode(&first))
	return first.ID
}

// cutEverywhere runs the command once for every request that it makes, and every
// way to cut it.
func (s *scene) cutEverywhere() {
	s.t.Helper()
	whole := s.server.Cutting(s.t, servers.LostRequest, 0)
	b := s.copy("whole", whole.Endpoint)
	b.want(done, s.args(b)...)
	begun := time.Now()
	var group errgroup.Group
	group.SetLimit(cutsAtOnce)
	for at := 1; at <= whole.Seen(); at++ {
		for _, how := range []servers.Cut{servers.LostRequest, servers.LostReply, servers.DeadLine} {
			cutter := s.server.Cutting(s.t, how, at)
			b := s.copy(fmt.Sprint(at, "-", int(how)), cutter.Endpoint)
			group.Go(func() error {
				if err := s.cut(b, cutter, how); err != nil {
					s.t.Errorf("%s at request %d of %d: %v", how, at, whole.Seen(), err)
				}
				return nil
			})
		}
	}
	_ = group.Wait() // nobody returns an error
	s.t.Logf("%d requests, %s", whole.Seen(), time.Since(begun).Round(time.Millisecond))
}

// copy returns a box of its own with a copy of the scene's repository, behind
// addr.
func (s *scene) copy(name, addr string) *box {
	s.t.Helper()
	b := newBox(s.t)
	b.src = s.src
	b.env = append(b.env, s.env[len(s.env)-3:]...) // keys, and the repository
	b.useRepo(strings.Replace(strings.Replace(s.repo, s.server.Endpoint, addr, 1), "/cairn", "/"+name, 1))
	key, err := os.ReadFile(filepath.Join(s.dir, "key"))
	must(s.t, err, os.WriteFile(filepath.Join(b.dir, "key"), key, 0o600))
	if !s.cold {
		home := filepath.Join(b.dir, "home")
		must(s.t, os.Remove(home), os.CopyFS(home, os.DirFS(filepath.Join(s.dir, "home"))))
	}
	for object := range s.server.Client.ListObjectsIter(s.t.Context(), s.bucket(), minio.ListObjectsOptions{Prefix: "cairn/", Recursive: true}) {
		must(s.t, object.Err)
		_, err := s.server.Client.CopyObject(s.t.Context(),
			minio.CopyDestOptions{Bucket: s.bucket(), Object: name + strings.TrimPrefix(object.Key, "cairn")},
			minio.CopySrcOptions{Bucket: s.bucket(), Object: object.Key})
		must(s.t, err)
	}
	return b
}

// cut runs the command behind the cutter, and then what must be well.
func (s *scene) cut(b *box, cutter *servers.Cutter, how servers.Cut) error {
	ended, err := b.interrupted(s.args(b), how)
	if err != nil {
		return err
	}
	b.useRepo(strings.Replace(b.repo, cutter.Endpoint, s.server.Endpoint, 1))
	if err := b.well("check", "--read-data"); err != nil {
		return err
	}
	return s.again(b, ended)
}

// interrupted runs cairn, and reports whether it did what it should. On a dead
// line it must say what it is waiting for, and end when somebody who has seen
// that ends it: the first time it still tries to keep what it has.
func (b *box) interrupted(args []string, how servers.Cut) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir = b.env, b.dir
	said := watched{word: "trying again in", seen: func() {}}
	if how == servers.DeadLine {
		said.seen = func() { _ = cmd.Process.Signal(os.Interrupt) }
	}
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	err = cmd.Run()
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil, how != servers.DeadLine, !strings.Contains(said.text.String(), said.word):
		return false, fmt.Errorf("%s: %w\n%s", args[0], err, &said.text)
	}
	return false, nil
}

// watched calls seen whenever a word is written.
type watched struct {
	text bytes.Buffer
	word string
	seen func()
}

// Write implements io.Writer.
func (w *watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.word)) {
		w.seen()
	}
	return w.text.Write(p)
}

// well runs cairn and returns an error unless all is well.
func (b *box) well(args ...string) error {
	if r := b.run(args...); r.code != done {
		return fmt.Errorf("cairn %q: got exit code %d, want %d\n%s%s", args, r.code, done, r.out, r.err)
	}
	return nil
}

// TestEndingSlowly interrupts a backup whose store is gone: it says that it is not
// over yet, and what to do to end it at once.
func TestEndingSlowly(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	b := newBox(t)
	b.onBucket(server, server.Endpoint)
	write(t, b.src+"/file", noise(1, 300_000))
	b.want(done, "init")
	cutter := server.Cutting(t, servers.DeadLine, 4)
	b.useRepo(strings.Replace(b.repo, server.Endpoint, cutter.Endpoint, 1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, b.backupArgs()...)
	cmd.Env, cmd.Dir = b.env, b.dir
	said := watched{word: "trying again in"}
	said.seen = func() {
		said.word = "interrupt it once more"
		said.seen = func() { _ = cmd.Process.Signal(os.Interrupt) }
		said.seen()
	}
	cmd.Stderr = &said
	err := cmd.Run()
	if ctx.Err() != nil || err == nil || !strings.Contains(said.text.String(), said.word) {
		t.Errorf("got %v, %v, want that the second interrupt ends it\n%s", err, ctx.Err(), &said.text)
	}
	b.useRepo(strings.Replace(b.repo, cutter.Endpoint, server.Endpoint, 1))
	b.want(done, b.backupArgs()...)
	b.want(done, "check", "--read-data")
}
