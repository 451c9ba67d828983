package test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/test/servers"
)

// What TestRealInput backs up. The usual is small; a whole system is
//
//	go test ./test -run TestRealInput -v -timeout 3h -real /usr -real-image "$(go env GOMODCACHE)" -real-size 4G
var (
	realTree  = flag.String("real", "", "the directory that TestRealInput backs up (default: cairn's sources)")
	realImage = flag.String("real-image", "../objects", "the directory whose files are in its disk image")
	realSize  = flag.String("real-size", "64M", "the size of the disk image, which is sparse")
)

// TestRealInput backs up a directory tree and a disk image to real servers and
// brings them back on a machine that has seen nothing of the repository, as they
// were to the last byte and attribute.
func TestRealInput(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers")
	}
	image := filepath.Join(t.TempDir(), "image")
	tool(t, ".", "truncate", "--size", *realSize, image)
	tool(t, ".", "mkfs.ext4", "-q", "-d", *realImage, image)
	for _, store := range []string{"MinIO", "OpenSSH"} {
		t.Run(store, func(t *testing.T) {
			if *realTree == "" {
				t.Parallel() // else one after the other, for the room and the times
			}
			b := newBox(t)
			if store == "MinIO" {
				b.onMinIO(servers.MinIO(t))
			} else {
				b.onServer(servers.OpenSSH(t, servers.OpenSSHOptions{}), "backups/real")
			}
			tree := *realTree
			if tree == "" {
				tree = filepath.Join(b.src, "tree")
				must(t, os.Mkdir(tree, 0o755))
				b.src = tree
				b.fillSource()
			}
			b.comeBack(tree, filepath.Dir(image))
		})
	}
}

// comeBack backs directories up, and wants all of them back without a cache.
func (b *box) comeBack(dirs ...string) {
	t := b.t
	timed := func(args ...string) {
		t.Helper()
		begun := time.Now()
		r := b.want(done, args...)
		t.Logf("cairn %s took %s\n%s", args[0], time.Since(begun).Round(time.Millisecond), r.out)
	}
	b.want(done, "init")
	timed(append([]string{"backup"}, dirs...)...)
	must(t, os.RemoveAll(filepath.Join(b.dir, "home", ".cache")))
	back := filepath.Join(b.dir, "back")
	timed("restore", "latest", "--target", back)
	for _, dir := range dirs {
		same := tool(t, dir, "rsync", "-aHXn", "--delete", "--itemize-changes", dir+"/", back+dir+"/")
		if same != "" {
			t.Errorf("%s: rsync would change:\n%s", dir, same)
		}
		got, want := describe(t, back+dir, owners), describe(t, dir, owners)
		d := differences(got, want)
		if d != "" {
			t.Errorf("%s:\n%s", dir, d)
		}
		t.Logf("%s: %d entries, as they were: %t", dir, len(got), same+d == "")
	}
	must(t, os.RemoveAll(back))
	timed("check", "--read-data")
}

// onMinIO makes a bucket of s the box's repository.
func (b *box) onMinIO(s *servers.S3) {
	b.t.Helper()
	b.env = append(b.env, "AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey)
	b.useRepo(fmt.Sprintf("s3+http://%s/%s/real", s.Endpoint, s.Bucket(b.t)))
}
