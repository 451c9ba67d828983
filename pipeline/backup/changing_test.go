package backup_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects/archive"
	"cairn/pipeline/backup"
	"cairn/pipeline/walk"

	"golang.org/x/sys/unix"
)

// when returns a change of options that calls f when the scan has come to the
// nth entry: its stat is known, and nothing of it was read.
func when(nth uint64, f func()) func(*backup.Options) {
	var once sync.Once
	return func(o *backup.Options) {
		o.Now = func() time.Time {
			if o.Progress.Entries.Load() == nth {
				once.Do(f)
			}
			return later
		}
	}
}

// wantWarnings wants one warning for each of some texts, in any order.
func (r *run) wantWarnings(t testing.TB, texts ...string) {
	t.Helper()
	if len(r.warnings) != len(texts) {
		t.Errorf("got warnings %q, want %d", r.warnings, len(texts))
	}
	for _, text := range texts {
		if !strings.Contains(strings.Join(r.warnings, "\n"), text) {
			t.Errorf("got warnings %q, want one with %q", r.warnings, text)
		}
	}
}

// A file that is gone, or no file any more, when its turn has come is warned
// about and left out; the rest is there.
func TestVanished(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"removed":     os.Remove,
		"a directory": func(p string) error { must(t, os.Remove(p)); return os.Mkdir(p, 0o755) },
		"a fifo":      func(p string) error { must(t, os.Remove(p)); return unix.Mkfifo(p, 0o644) },
		"a symlink":   func(p string) error { must(t, os.Remove(p)); return os.Symlink("/etc/passwd", p) },
	} {
		for _, size := range []int{10, 2 << 20} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.write("a", noise(1, 1000))
				path := b.write("b", noise(2, size))
				b.write("c", noise(3, 2<<20))
				r := b.backupWarned(when(2, func() { must(t, change(path)) }))
				r.wantWarnings(t, path)
				must(t, os.RemoveAll(path))
				b.checkSource(r.archive)
				b.checkRepository()
			})
		}
	}
}

// A file replaced by another one when its turn has come is stored as it is
// then, and may be younger than the scan thought.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 2 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("a", noise(1, 1000))
			path := b.write("b", noise(2, size))
			r := b.backup(when(2, func() {
				must(t, os.Remove(path))
				b.write("b", noise(3, size+1))
			}))
			b.checkSource(r.archive)
			// It changed so shortly before it was read that it may change again
			// within one tick of the file system's clock.
			if !b.entries(r.archive)["b"].Racy {
				t.Error("the next run would trust the times of a file that has just changed")
			}
		})
	}
}

// When the name through which a set of hard links was to be read is gone, the
// others are warned about by name.
func TestFirstLinkVanished(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 2 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := b.write("a", noise(1, size))
			second := b.src + "/b"
			must(t, os.Link(first, second))
			b.write("c", noise(2, 1000))
			r := b.backupWarned(when(1, func() { must(t, os.Remove(first)) }))
			if e := b.entries(r.archive); e["a"] != nil || e["c"] == nil {
				t.Errorf("got entries %v", e)
			}
			if b.entries(r.archive)["b"] == nil {
				r.wantWarnings(t, first, second)
			}
			b.checkSource(b.backup().archive)
		})
	}
}

// A file that cannot be read is warned about, whatever its stat says.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("a", noise(1, 1000))
	memory := fmt.Sprintf("/proc/%d/mem", os.Getpid())
	if _, err := os.Stat(memory); err != nil {
		t.Skip("there is no file here that nobody can read")
	}
	roots, err := walk.Plan([]string{b.src + "/./a", fmt.Sprintf("/proc/%d/./mem", os.Getpid())}, "/")
	must(t, err)
	r := b.backupWarned(func(o *backup.Options) { o.Roots = roots })
	r.wantWarnings(t, memory)
	if e := b.entries(r.archive); e["a"] == nil || e["mem"] != nil {
		t.Errorf("got entries %v", e)
	}
}

// bigSize is so much that a file's first packs are stored before it has been
// read to its end, whatever the buffers hold.
const bigSize = 24 << 20

// changeBig backs up a big file that is changed in the midst of being read,
// and again when it is read for the second time.
func (b *bench) changeBig(first, second func(path string)) run {
	b.t.Helper()
	if testing.Short() {
		b.t.Skip("takes some seconds")
	}
	b.write("a", noise(1, 1000))
	path := b.write("big", noise(2, bigSize))
	b.write("z", noise(3, 1000))
	o := b.options()
	o.Workers, o.Uploads = 1, 1
	var mu sync.Mutex
	begun, again := false, second == nil
	b.fail(func(op mem.Op, key backend.Key, _ mem.Moment) error {
		mu.Lock()
		defer mu.Unlock()
		switch read := o.Progress.Read.Load(); {
		case op != mem.Put || !strings.HasPrefix(string(key), "packs/"):
		case !begun:
			begun = true
			if read > bigSize*3/4 {
				b.t.Errorf("the first pack comes when %d bytes were read: too late", read)
			}
			first(path)
		case !again && read > bigSize+1<<20:
			again = true
			second(path)
		}
		return nil
	})
	defer b.fail(nil)
	r, err := b.try(b.t.Context(), o)
	if err != nil {
		b.t.Fatalf("backup: %v", err)
	}
	if !begun || !again {
		b.t.Fatal("the file was read before it could be changed")
	}
	return r
}

// rewrite returns a change that gives a file another content.
func (b *bench) rewrite(seed uint64, size int) func(string) {
	content := noise(seed, size)
	return func(path string) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // another inode would not be seen
		must(b.t, err)
		_, err = f.WriteAt(content, 0)
		must(b.t, err)
		must(b.t, f.Truncate(int64(size)))
		must(b.t, f.Close())
	}
}

// A file that changes while it is read, and then stays, is stored as it is.
func TestChangedOnce(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"same": bigSize, "grown": bigSize + 5<<20, "shrunk": 10 << 20, "nothing": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.changeBig(b.rewrite(4, size), nil)
			r.wantWarnings(t)
			if e := b.entries(r.archive)["big"]; e.Changed || !e.Racy {
				t.Errorf("got Changed %v, Racy %v, want false, true", e.Changed, e.Racy)
			}
			if size == 0 {
				// It may have been read between its new size and its new times. The
				// next run has both.
				r = b.backup()
			}
			b.checkSource(r.archive)
			b.checkRepository()
		})
	}
}

// A file that does not hold still is stored as it was read, with a warning,
// and read again by the next run.
func TestChangedTwice(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"same": bigSize, "grown": bigSize + 5<<20, "shrunk": 12 << 20, "nothing": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.changeBig(b.rewrite(4, bigSize), b.rewrite(5, size))
			r.wantWarnings(t, "changed while it was being read")
			e := b.entries(r.archive)
			if e["a"] == nil || e["z"] == nil {
				t.Errorf("got entries %v", e)
			}
			if big := e["big"]; !big.Changed || big.Size != big.Content.Size() {
				t.Errorf("got Changed %v, size %d, content of %d", big.Changed, big.Size, big.Content.Size())
			}
			b.checkRepository()
			b.checkSource(b.backup().archive)
		})
	}
}

// Files that change all the time do not stop a run, and harm nothing else.
func TestRestless(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const files = 40
	var still []string
	for i := range files {
		b.write(fmt.Sprintf("restless/%d", i), noise(uint64(i), i*1000))
		still = append(still, fmt.Sprintf("still/%d", i))
		b.write(still[i], noise(uint64(i), i*100_000))
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			path := fmt.Sprintf("%s/restless/%d", b.src, n%files)
			switch n % 5 {
			case 0:
				_ = os.Truncate(path, int64(n%3000))
			case 1:
				_ = os.Remove(path)
			default:
				_ = os.WriteFile(path, noise(uint64(n), n%200_000), 0o644)
			}
		}
	})
	var r run
	for range 3 {
		r = b.backupWarned()
	}
	close(stop)
	writers.Wait()
	for _, w := range r.warnings {
		if !strings.HasPrefix(w, b.src+"/restless/") {
			t.Errorf("got warning %q", w)
		}
	}
	e := b.entries(r.archive)
	for _, path := range still {
		if e[path] == nil || e[path].Type != archive.File {
			t.Errorf("%s is not in the archive", path)
		}
	}
	b.checkRepository()
	b.checkSource(b.backup().archive)
}
