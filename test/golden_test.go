package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "TestGolden: write the repositories of testdata/golden-v1 anew")

const (
	golden           = "testdata/golden-v1"
	goldenPassphrase = "correct horse battery staple"
	goldenLimit      = 100 << 10 // bytes of both repositories

	// snapshotAt is the generation that states the whole repository anew
	// (FORMAT.md §9.2).
	snapshotAt = 64
)

// TestGolden reads repositories that were written when the format was made,
// as every later version must. Once a cairn has been released they are never
// written anew: a new version of the format gets a folder of its own.
//
//	passphrase/  a slot, two archives, every kind of entry that needs no root
//	keyfile/     a snapshot, of which the records before are gone
//
// In each: repository/; manifest, what the latest archive restores to;
// archives, what list shows.
func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		writeGolden(t)
	}
	size := 0
	for _, content := range files(t, golden) {
		size += len(content)
	}
	if size > goldenLimit {
		t.Errorf("%d bytes, want at most %d", size, goldenLimit)
	}
	for _, name := range []string{"passphrase", "keyfile"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newGoldenBox(t, name)
			must(t, os.CopyFS(b.repo, os.DirFS(filepath.Join(golden, name, "repository"))))
			before := files(t, b.repo)

			if got, want := b.archives(), goldenFile(t, name, "archives"); got != want {
				t.Errorf("list: got\n%swant\n%s", got, want)
			}
			b.want(done, "check", "--read-data")
			b.want(done, "restore", b.newest(), "--target", b.src)
			got := strings.Join(describe(t, b.src, portable), "\n") + "\n"
			if want := goldenFile(t, name, "manifest"); got != want {
				t.Errorf("restore:\n%s", differences(strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")))
			}
			for path, content := range before {
				if now, err := os.ReadFile(filepath.Join(b.repo, path)); !bytes.Equal(now, content) {
					t.Errorf("%s was changed by reading: %v", path, err)
				}
			}

			// And it goes on from there.
			b.want(done, "backup", b.src)
			b.want(done, "check", "--read-data")
		})
	}
}

// newGoldenBox returns a box with the key to the repository of that name.
func newGoldenBox(t *testing.T, name string) *box {
	b := newBox(t)
	if name == "keyfile" {
		b.env = append(b.env, "CAIRN_KEY_FILE="+mustAbs(t, filepath.Join(golden, name, "key")))
		return b
	}
	b.env = append(b.env, "CAIRN_KEY_FILE=", "CAIRN_PASSPHRASE="+goldenPassphrase)
	return b
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	must(t, err)
	return path
}

func goldenFile(t *testing.T, name, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(golden, name, file))
	must(t, err)
	return string(content)
}

// listed is what list says of an archive.
type listed struct {
	ID          string
	Name        string
	Entries     int
	Files       int
	Directories int
	Size        int
	Start       time.Time
}

func (b *box) list() []listed {
	b.t.Helper()
	var all []listed
	for d := json.NewDecoder(strings.NewReader(b.want(done, "--json", "list").out)); d.More(); {
		var a listed
		must(b.t, d.Decode(&a))
		all = append(all, a)
	}
	return all
}

// archives returns a line for every archive.
func (b *box) archives() string {
	b.t.Helper()
	var s strings.Builder
	for _, a := range b.list() {
		fmt.Fprintf(&s, "%s %s %s entries=%d files=%d directories=%d size=%d\n",
			a.ID, a.Name, a.Start.UTC().Format(time.RFC3339Nano), a.Entries, a.Files, a.Directories, a.Size)
	}
	return s.String()
}

// newest returns the id of the newest archive.
func (b *box) newest() string {
	b.t.Helper()
	all := b.list()
	if len(all) == 0 {
		b.t.Fatal("there are no archives")
	}
	return all[len(all)-1].ID
}

// writeGolden writes everything below golden.
func writeGolden(t *testing.T) {
	must(t, os.RemoveAll(golden), os.MkdirAll(filepath.Join(golden, "passphrase"), 0o755), os.MkdirAll(filepath.Join(golden, "keyfile"), 0o755))

	b := newGoldenBox(t, "passphrase")
	b.want(done, "init")
	write(t, b.src+"/gone-later", []byte("only in the first archive"))
	goldenTree(t, b.src)
	b.want(done, b.backupArgs()...)
	must(t, os.Remove(b.src+"/gone-later"))
	goldenTimes(t, b.src)
	b.want(done, b.backupArgs()...)
	b.saveGolden("passphrase")

	b = newGoldenBox(t, "keyfile")
	write(t, b.src+"/letter", []byte("Dear reader of a snapshot"))
	goldenTimes(t, b.src)
	b.want(done, "init")
	for range snapshotAt + 1 {
		b.want(done, b.backupArgs()...)
	}
	records, err := filepath.Glob(b.repo + "/commits/*")
	must(t, err)
	for _, old := range records[:snapshotAt-1] {
		must(t, os.Remove(old)) // nobody needs them who reads the snapshot
	}
	must(t, os.Chmod(filepath.Join(golden, "keyfile", "key"), 0o644)) // no secret, this one
	b.saveGolden("keyfile")
}

// saveGolden keeps the repository, what it shows and what it gives back.
func (b *box) saveGolden(name string) {
	dir := filepath.Join(golden, name)
	manifest := strings.Join(describe(b.t, b.src, portable), "\n") + "\n"
	must(b.t,
		os.WriteFile(filepath.Join(dir, "manifest"), []byte(manifest), 0o644),
		os.WriteFile(filepath.Join(dir, "archives"), []byte(b.archives()), 0o644),
		os.CopyFS(filepath.Join(dir, "repository"), os.DirFS(b.repo)))
}

// goldenTree makes files of every kind, and of every form that their content
// can take (FORMAT.md §8.4).
func goldenTree(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("content/empty"), nil)
	write(t, at("content/inline"), noise(1, 128))
	write(t, at("content/one-chunk"), noise(2, 129))
	var several bytes.Buffer
	for i := range 600 {
		fmt.Fprintf(&several, "page %d\n%s", i, strings.Repeat("All work and no play makes Jack a dull boy.\n", 100))
	}
	write(t, at("content/several-chunks"), several.Bytes())
	sparse(t, at("content/hole-between"), 3<<20, map[int64][]byte{0: noise(4, 5000), 2 << 20: noise(5, 5000)})
	sparse(t, at("content/only-a-hole"), 1<<20, nil)
	write(t, at("content/racy"), []byte("written in the future, so its times vouch for nothing"))

	write(t, at("names/new\nline"), []byte("1"))
	write(t, at("names/\xff\xfe"), []byte("2"))
	write(t, at("names/gr\u00fc\u00dfe"), []byte("3"))
	write(t, at("names/-rf"), []byte("4"))
	write(t, at("names/"+strings.Repeat("long", 63)), []byte("5"))
	write(t, at("names-below/x"), []byte("sorted after names/"))

	write(t, at("modes/read-only"), nil)
	write(t, at("modes/setuid"), nil)
	must(t,
		os.Mkdir(at("modes/sticky"), 0o755),
		os.Mkdir(at("empty"), 0o755),
		os.Link(at("content/one-chunk"), at("linked")),
		os.Link(at("content/one-chunk"), at("names/linked")),
		os.Symlink("content/nowhere \xff", at("symlink")),
		unix.Mkfifo(at("fifo"), 0o640),
		unix.Setxattr(at("content/inline"), "user.colour", []byte("green"), 0),
		unix.Setxattr(at("content/inline"), "user.empty", nil, 0),
		unix.Setxattr(at("empty"), "user.of-a-directory", noise(6, 1000), 0),
	)
	for i := range 40 { // so much of them that the tree has several leaves
		name := at(fmt.Sprintf("many/%d", i))
		write(t, name, []byte{byte(i)})
		must(t, unix.Setxattr(name, "user.long", bytes.Repeat([]byte{'a' + byte(i%26)}, 3000), 0))
	}
	goldenTimes(t, dir)
	must(t, // last, for what may not be written to any more
		os.Chmod(at("modes/read-only"), 0o400),
		os.Chmod(at("modes/setuid"), 0o711|fs.ModeSetuid),
		os.Chmod(at("modes/sticky"), 0o777|fs.ModeSticky))
}

// sparse makes a file of holes with some data between them.
func sparse(t *testing.T, path string, size int64, data map[int64][]byte) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err, f.Truncate(size))
	for at, content := range data {
		_, err := f.WriteAt(content, at)
		must(t, err)
	}
	must(t, f.Close())
}

// goldenTimes gives everything a time of its own.
func goldenTimes(t *testing.T, dir string) {
	t.Helper()
	stamp := time.Date(1969, 7, 20, 20, 17, 40, 123456789, time.UTC)
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		stamp = stamp.Add(1234567890123456) // ns: some two weeks
		at := stamp
		if d.Name() == "racy" {
			at = time.Date(2200, 1, 1, 0, 0, 0, 1, time.UTC)
		}
		ts, timeErr := unix.TimeToTimespec(at)
		return errors.Join(err, timeErr, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}))
}
