package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cairn/test/servers"

	"github.com/minio/minio-go/v7"
)

// A shelf is where a repository's objects lie, seen by whoever has the server.
type shelf interface {
	keys(t testing.TB, prefix string) []string
	get(t testing.TB, key string) []byte
	put(t testing.TB, key string, content []byte)
	remove(t testing.TB, key string)
}

// directory is a shelf on a disk.
type directory string

func (d directory) path(key string) string { return filepath.Join(string(d), key) }

func (d directory) keys(t testing.TB, prefix string) (keys []string) {
	t.Helper()
	for key := range files(t, string(d)) { // reads them all: they are few
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (d directory) get(t testing.TB, key string) []byte {
	t.Helper()
	content, err := os.ReadFile(d.path(key))
	must(t, err)
	return content
}

func (d directory) put(t testing.TB, key string, content []byte) {
	t.Helper()
	write(t, d.path(key), content)
}

func (d directory) remove(t testing.TB, key string) {
	t.Helper()
	must(t, os.Remove(d.path(key)))
}

// bucket is a shelf on MinIO, below a prefix.
type bucket struct {
	client       *minio.Client
	name, prefix string
}

func (b bucket) keys(t testing.TB, prefix string) (keys []string) {
	t.Helper()
	options := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}
	for object := range b.client.ListObjects(context.Background(), b.name, options) {
		must(t, object.Err)
		keys = append(keys, strings.TrimPrefix(object.Key, b.prefix))
	}
	return keys
}

func (b bucket) get(t testing.TB, key string) []byte {
	t.Helper()
	object, err := b.client.GetObject(context.Background(), b.name, b.prefix+key, minio.GetObjectOptions{})
	must(t, err)
	defer object.Close()
	content, err := io.ReadAll(object)
	must(t, err)
	return content
}

func (b bucket) put(t testing.TB, key string, content []byte) {
	t.Helper()
	_, err := b.client.PutObject(context.Background(), b.name, b.prefix+key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	must(t, err)
}

func (b bucket) remove(t testing.TB, key string) {
	t.Helper()
	must(t, b.client.RemoveObject(context.Background(), b.name, b.prefix+key, minio.RemoveObjectOptions{}))
}

// TestLostHead loses the head of a repository in which packs were condemned, on
// every kind of store, and then more. What was condemned stays dead whatever the
// store shows, and what was committed comes back.
func TestLostHead(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	onEachStore(t, func(t *testing.T, b *box, s shelf) {
		b.want(done, "init")
		b.loseHead(s, 1, func() {}, "head")
		b.loseHead(s, 2, b.moveIn, "head", "bundles/")
		b.loseRecords(s)
	})
}

// onEachStore calls f with a box whose repository is not there yet.
func onEachStore(t *testing.T, f func(t *testing.T, b *box, s shelf)) {
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		f(t, b, directory(b.repo))
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		server := servers.MinIO(t)
		name := server.Bucket(t)
		b.useRepo(fmt.Sprintf("s3+http://%s/%s/lost", server.Endpoint, name))
		b.env = append(b.env, "AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey)
		f(t, b, bucket{server.Client, name, "lost/"})
	})
	t.Run("sftp", func(t *testing.T) {
		t.Parallel()
		b := newBox(t)
		server := servers.OpenSSH(t, servers.OpenSSHOptions{})
		b.onServer(server, "backups/lost")
		f(t, b, directory(filepath.Join(server.Dir, "backups/lost")))
	})
}

// moveIn makes the box a machine that has seen nothing of the repository.
func (b *box) moveIn() {
	b.t.Helper()
	must(b.t, os.RemoveAll(filepath.Join(b.dir, "home", ".cache")))
}

// archive backs up and returns the id of what that made.
func (b *box) archive() string {
	b.t.Helper()
	settle()
	var report struct{ Archive struct{ ID string } }
	must(b.t, json.Unmarshal([]byte(b.want(done, append([]string{"--json"}, b.backupArgs()...)...).out), &report))
	return report.Archive.ID
}

// condemn has the packs condemned and deleted that hold a file of some content,
// and returns them.
func (b *box) condemn(s shelf, content []byte) map[string][]byte {
	b.t.Helper()
	b.archive() // what is there beside it has packs of its own
	dead := map[string][]byte{}
	for _, key := range s.keys(b.t, "packs/") {
		dead[key] = nil
	}
	write(b.t, b.src+"/brief", content)
	id := b.archive()
	for _, key := range s.keys(b.t, "packs/") {
		if _, older := dead[key]; older {
			delete(dead, key)
		} else {
			dead[key] = s.get(b.t, key)
		}
	}
	must(b.t, os.Remove(b.src+"/brief"))
	b.archive()
	b.want(done, "delete", id)
	b.want(done, "compact", "--now")
	for _, key := range s.keys(b.t, "packs/") {
		if dead[key] != nil {
			b.t.Fatalf("%s was not condemned", key)
		}
	}
	return dead
}

// loseRecords loses all commits but the newest, which carries no snapshot, and all
// that leads to it. What that one made comes back, with packs that no commit is
// left to name.
func (b *box) loseRecords(s shelf) {
	t := b.t
	t.Helper()
	write(t, b.src+"/last", noise(20, 300_000))
	b.archive()
	want := describe(t, b.src, owners)
	records := s.keys(t, "commits/")
	slices.Sort(records)
	lose := slices.Concat(records[:len(records)-1], s.keys(t, "head"), s.keys(t, "bundles/"))
	for _, key := range lose {
		s.remove(t, key)
	}
	b.moveIn()
	b.want(damaged, "list")
	b.want(done, "rebuild-head", "--yes")
	b.want(rolledBack, "list")
	b.want(done, "--accept-rollback", "check", "--read-data")
	b.checkRestore("of the newest commit", want)
	b.want(done, b.backupArgs()...)
	b.want(done, "compact", "--now")
	b.want(done, "check", "--read-data")
	b.checkRestore("after compact", want)
}

// loseHead loses objects after packs were condemned, which come back: a request
// that hung was carried out once more. The machine that stores then what they hold,
// after arrive, must not count on them.
func (b *box) loseHead(s shelf, round byte, arrive func(), lose ...string) {
	t := b.t
	t.Helper()
	write(t, fmt.Sprint(b.src, "/kept-", round), noise(10+round, 500_000))
	brief := noise(round, 700_000)
	dead := b.condemn(s, brief)
	for key, content := range dead {
		s.put(t, key, content)
	}
	kept := describe(t, b.src, owners)
	for _, prefix := range lose {
		for _, key := range s.keys(t, prefix) {
			s.remove(t, key)
		}
	}
	b.want(damaged, "list")
	b.want(damaged, b.backupArgs()...)
	b.want(done, "rebuild-head", "--yes")
	b.want(done, "check", "--read-data")
	b.checkRestore("after rebuild-head", kept)

	arrive()
	write(t, b.src+"/brief", brief)
	id := b.archive()
	want := describe(t, b.src, owners)
	for key := range dead {
		s.remove(t, key)
	}
	b.moveIn()
	b.want(done, "check", "--read-data")
	b.checkRestore("without the condemned packs", want)

	// They are swept as often as they come back.
	for key, content := range dead {
		s.put(t, key, content)
	}
	b.want(done, "delete", id)
	must(t, os.Remove(b.src+"/brief"))
	b.want(done, "compact", "--now")
	for _, key := range s.keys(t, "packs/") {
		if dead[key] != nil {
			t.Errorf("%s stays", key)
		}
	}
	b.want(done, "check", "--read-data")
}
