package walk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/objects/archive"

	"golang.org/x/sys/unix"
)

// collect returns all items of a walk over the roots as typed.
func collect(t *testing.T, options Options, args ...string) []*Item {
	t.Helper()
	roots, err := Plan(args, "/")
	must(t, err)
	var items []*Item
	for item, err := range Walk(t.Context(), roots, options) {
		must(t, err)
		items = append(items, item)
	}
	checkOrder(t, items)
	return items
}

// checkOrder holds what FORMAT.md §8.1 asks: rising paths, every parent there
// (unless the root has no path).
func checkOrder(t *testing.T, items []*Item) {
	t.Helper()
	for i := 1; i < len(items); i++ {
		if a, b := items[i-1].Path, items[i].Path; archive.ComparePaths(a, b) >= 0 {
			t.Fatalf("%q comes before %q", a, b)
		}
	}
}

// below returns the paths of those items that are neither implied nor the root
// itself, relative to it.
func below(items []*Item, root string) []string {
	var paths []string
	for _, item := range items {
		if rest, ok := strings.CutPrefix(item.Source, root+"/"); ok {
			paths = append(paths, rest)
		}
	}
	return paths
}

// grow makes a random tree of n entries with names that are hard to order.
func grow(t *testing.T, random *rand.Rand, top string, n int) {
	t.Helper()
	names := []string{"a", "a.txt", "a-b", "a b", "b", "-rf", "a\n", "\xff\xfe", "ab", "a\x01", ".a", "aaaaaaaaa", "aaaaaaaab"}
	dirs := []string{top}
	for range n {
		path := dirs[random.IntN(len(dirs))] + "/" + names[random.IntN(len(names))]
		var err error
		switch random.IntN(4) {
		case 0, 1:
			if err = os.Mkdir(path, 0o755); err == nil {
				dirs = append(dirs, path)
			}
		case 2:
			err = os.Symlink("a", path)
		default:
			var f *os.File
			if f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640); err == nil {
				_, err = f.WriteString(path)
				must(t, errors.Join(err, f.Close()))
			}
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
}

// naive returns what is below top, in archive order, by the plainest means.
func naive(t *testing.T, top string) []string {
	t.Helper()
	var paths []string
	must(t, filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if path != top {
			paths = append(paths, path[len(top)+1:])
		}
		return err
	}))
	slices.SortFunc(paths, archive.ComparePaths)
	return paths
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		top := t.TempDir()
		grow(t, random, top, 700)
		want := naive(t, top)
		for _, options := range []Options{{}, {Workers: 1, LookAhead: 1, OpenDirs: 1}, {Workers: 8, LookAhead: 4000, OpenDirs: 3}} {
			items := collect(t, options, top)
			if got := below(items, top); !slices.Equal(got, want) {
				t.Fatalf("seed %d, %+v: got %q, want %q", seed, options, got, want)
			}
			for _, item := range items {
				if !item.Implied { // those change under other tests
					checkItem(t, item)
				}
			}
		}
	}
}

// checkItem compares an item with what os says.
func checkItem(t *testing.T, item *Item) {
	t.Helper()
	if item.Err != nil {
		t.Fatal(item.Err)
	}
	info, err := os.Lstat(item.Source)
	must(t, err)
	types := map[fs.FileMode]Type{0: File, fs.ModeDir: Directory, fs.ModeSymlink: Symlink}
	mtime := info.ModTime()
	if want := types[info.Mode().Type()]; item.Stat.Type != want ||
		item.Stat.Mode&0o777 != uint16(info.Mode().Perm()) ||
		item.Stat.ModTime != (Time{mtime.Unix(), uint32(mtime.Nanosecond())}) ||
		item.Stat.Type != Directory && item.Stat.Size != info.Size() {
		t.Fatalf("%q: got %+v, want %v", item.Source, item.Stat, info)
	}
	switch item.Stat.Type {
	case File:
		f, stat, err := item.Open() // after the walk
		must(t, err)
		defer f.Close()
		text := make([]byte, stat.Size)
		if _, err := f.ReadAt(text, 0); err != nil || string(text) != item.Source {
			t.Fatalf("%q: read %q, %v", item.Source, text, err)
		}
		again, err := StatFile(f)
		if err != nil || again.ID != item.Stat.ID || again.Size != stat.Size {
			t.Fatalf("%q: stat of the open file: %+v, %v", item.Source, again, err)
		}
	case Symlink:
		if target, err := item.Readlink(); err != nil || target != "a" {
			t.Fatalf("%q: target %q, %v", item.Source, target, err)
		}
	}
	if again, err := item.Restat(); err != nil || again.ID != item.Stat.ID {
		t.Fatalf("%q: stat'ed again: %+v, %v", item.Source, again, err)
	}
}

func TestImpliedParents(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.MkdirAll(top+"/x/y/z", 0o755))
	must(t, os.MkdirAll(top+"/x/y-1", 0o755))
	must(t, os.MkdirAll(top+"/x/q", 0o755))
	must(t, os.Symlink("x", top+"/link"))
	got := func(args ...string) string {
		var text []string
		for _, item := range collect(t, Options{}, args...) {
			mark := ""
			if item.Implied {
				mark = "+"
			}
			if item.Err != nil {
				mark = "!"
			}
			text = append(text, mark+item.Path+":"+string(rune(item.Stat.Type)))
		}
		return strings.Join(text, " ")
	}
	for _, test := range []struct{ got, want string }{
		{got(top+"/./x/y/z", top+"/./x/q", top+"/./x/y-1"), "+x:d x/q:d +x/y:d x/y/z:d x/y-1:d"},
		{got(top + "/./link/y"), "+link:d link/y:d link/y/z:d"},
		{got(top + "/./link"), "link:l"},
		{got(top + "/link/./"), "q:d y:d y/z:d y-1:d"},
		{got(top+"/./x/none", top+"/./x/y"), "+x:d !x/none:\x00 x/y:d x/y/z:d"},
		{got(top + "/none/./"), "!:\x00"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	items := collect(t, Options{}, top)
	if items[0].Path != strings.Split(top, "/")[1] || !items[0].Implied {
		t.Errorf("first item %+v", items[0])
	}
}

func TestExclude(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	for _, path := range []string{"a/b/c", "a/cache/x", "cache/y", "d"} {
		must(t, os.MkdirAll(top+"/"+path, 0o755))
	}
	must(t, os.WriteFile(top+"/d/cache", nil, 0o644))
	options := Options{Rules: excludeFunc(func(path, source string, kind Type) bool {
		if "/"+path != source {
			t.Errorf("path %q, source %q", path, source)
		}
		return kind == Directory && filepath.Base(path) == "cache"
	})}
	want := []string{"a", "a/b", "a/b/c", "d", "d/cache"}
	if got := below(collect(t, options, top), top); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.MkdirAll(top+"/a/repo/packs", 0o755))
	must(t, os.WriteFile(top+"/a/key", nil, 0o600))
	must(t, os.Link(top+"/a/key", top+"/key"))
	var options Options
	for _, path := range []string{"/a/repo", "/key"} {
		var stat Stat
		must(t, statAt(unix.AT_FDCWD, top+path, 0, &stat))
		options.Skip = append(options.Skip, stat.ID)
	}
	var skipped []string
	for _, item := range collect(t, options, top) {
		if errors.Is(item.Err, ErrSkipped) {
			skipped = append(skipped, item.Source[len(top):])
		} else if item.Err != nil || item.name() == "packs" || item.name() == "key" {
			t.Errorf("%q: %v", item.Source, item.Err)
		}
	}
	if want := []string{"/a/key", "/a/repo"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
	for _, root := range []string{top + "/key", top + "/a/repo"} {
		items := collect(t, options, root)
		if last := items[len(items)-1]; !errors.Is(last.Err, ErrSkipped) || last.Stat.Type != 0 {
			t.Errorf("root %q: %+v", root, last)
		}
	}
}

// Two goroutines change the tree while it is walked, over and over: nothing
// but missing or replaced entries may be reported, and the order holds.
func TestRaces(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7))
	grow(t, random, top, 400)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	for seed := range uint64(2) {
		group.Go(func() { churn(ctx, rand.New(rand.NewPCG(seed, 2)), top) })
	}
	for range 60 {
		for _, item := range collect(t, Options{LookAhead: 20000, OpenDirs: 4}, top) {
			if !expected(item.Err) {
				t.Fatal(item.Err)
			}
			if item.Stat.Type != File {
				continue
			}
			if f, _, err := item.Open(); err == nil {
				must(t, f.Close())
			} else if !expected(err) {
				t.Fatal(err)
			}
		}
	}
}

// expected reports whether err is one that a changing tree may cause.
func expected(err error) bool {
	for _, want := range []error{nil, fs.ErrNotExist, ErrReplaced, unix.ELOOP, unix.ENOTDIR, unix.EMLINK, unix.ENXIO} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

func churn(ctx context.Context, random *rand.Rand, top string) {
	for ctx.Err() == nil {
		dir := top + "/" + []string{"a", "b", "ab", "a-b"}[random.IntN(4)]
		name := fmt.Sprintf("%s/%d", dir, random.IntN(10))
		switch random.IntN(6) {
		case 0:
			os.MkdirAll(name, 0o755)
		case 1:
			os.WriteFile(name, []byte("x"), 0o644)
		case 2:
			os.RemoveAll(name)
		case 3:
			os.Rename(name, name+"x")
		case 4:
			os.RemoveAll(dir)
		case 5:
			os.Symlink(top, name)
		}
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.WriteFile(top+"/a", nil, 0o644))
	must(t, os.WriteFile(top+"/b", nil, 0o644))
	for _, item := range collect(t, Options{}, top) {
		if item.Stat.Type != File {
			continue
		}
		must(t, os.Remove(item.Source))
		if item.name() == "a" {
			must(t, unix.Mkfifo(item.Source, 0o644))
		} else {
			must(t, os.Symlink("/etc/passwd", item.Source))
		}
		if _, _, err := item.Open(); !expected(err) || err == nil {
			t.Errorf("%s: got %v, want an error", item.Source, err)
		}
	}
}

// A directory that was replaced is not entered again.
func TestReplacedDirectory(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.Mkdir(top+"/d", 0o755))
	must(t, os.WriteFile(top+"/d/f", nil, 0o644))
	items := collect(t, Options{}, top)
	must(t, os.Rename(top+"/d", top+"/e"))
	must(t, os.Mkdir(top+"/d", 0o755))
	must(t, os.WriteFile(top+"/d/f", nil, 0o644))
	if _, _, err := items[len(items)-1].Open(); !errors.Is(err, ErrReplaced) {
		t.Errorf("got %v, want ErrReplaced", err)
	}
}

func TestVanishedDirectory(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		must(t, os.Mkdir(top+"/"+name, 0o755))
	}
	// Exclude runs after the names were read and before anything is opened.
	options := Options{Rules: excludeFunc(func(_, source string, _ Type) bool {
		if filepath.Base(source) == "b" {
			must(t, os.Remove(source))
		}
		if filepath.Base(source) == "c" {
			must(t, os.Remove(source))
			must(t, os.WriteFile(source, nil, 0o644))
		}
		return false
	})}
	items := collect(t, options, top)
	items = items[len(items)-3:]
	if b := items[1]; !errors.Is(b.Err, fs.ErrNotExist) || b.Stat.Type != 0 {
		t.Errorf("vanished: got %+v", b)
	}
	if c := items[2]; c.Err != nil || c.Stat.Type != File {
		t.Errorf("now a file: got %+v", c)
	}
}

// Not parallel: it counts goroutines.
func TestStopsGoroutines(t *testing.T) {
	top := t.TempDir()
	grow(t, rand.New(rand.NewPCG(3, 3)), top, 3000)
	roots, err := Plan([]string{top}, "/")
	must(t, err)
	before := runtime.NumGoroutine()
	for _, stopAfter := range []int{0, 1, 50} {
		ctx, cancel := context.WithCancel(t.Context())
		items, failed := 0, error(nil)
		for _, err := range Walk(ctx, roots, Options{Workers: 8}) {
			if failed = err; err != nil {
				break
			}
			if items++; items > stopAfter {
				cancel()
			}
		}
		if !errors.Is(failed, context.Canceled) {
			t.Errorf("after %d items: got %v, want context.Canceled", items, failed)
		}
		for range Walk(t.Context(), roots, Options{Workers: 8}) {
			if items--; items <= 0 {
				break
			}
		}
		cancel()
	}
	// What context.AfterFunc started may be on its way out, and a busy machine
	// takes its time.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for item, err := range Walk(ctx, []Root{{t.TempDir(), ""}}, Options{}) {
		if item != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", item, err)
		}
	}
}
