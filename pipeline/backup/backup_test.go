package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/walk"

	"golang.org/x/sys/unix"
)

// sizes are those at which something is done in another way: inline up to
// 128 bytes, read whole up to 1 MiB.
var sizes = []int{0, 1, 127, 128, 129, 4095, 256 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 7}

// fillSource makes one of everything.
func (b *bench) fillSource() {
	b.t.Helper()
	for i, size := range sizes {
		b.write(fmt.Sprintf("sizes/noise-%d", size), noise(uint64(i), size))
		b.write(fmt.Sprintf("sizes/text-%d", size), text(uint64(i), size))
	}
	b.write("same/a", noise(100, 300_000))
	b.write("same/b", noise(100, 300_000))
	b.write("same/big", noise(8, 1<<20+1)) // as one of sizes
	must(b.t, os.Link(b.write("links/small", noise(101, 1000)), b.src+"/links/small-2"))
	must(b.t, os.Link(b.write("links/big", noise(102, 3<<20)), b.src+"/a-link-to-big"))
	must(b.t, os.Link(b.src+"/links/big", b.src+"/z-link-to-big"))
	for _, name := range []string{" ", "\n", "a\tb", "-rf", "Ä", "\xff\xfe", "*", "..a", "...", strings.Repeat("n", 255), "a!", "a.b", "a0"} {
		b.write("names/"+name, []byte(name))
	}
	b.write("names/a/b", nil)
	must(b.t, os.Symlink("../nowhere", b.src+"/names/symlink"))
	must(b.t, os.Symlink(strings.Repeat("l", 1000), b.src+"/names/long"))
	must(b.t, unix.Mkfifo(b.src+"/fifo", 0o640))
	must(b.t, os.MkdirAll(b.src+"/empty/empty", 0o700))
	must(b.t, os.Chmod(b.write("mode", nil), 0o4711))
	must(b.t, unix.Lsetxattr(b.src+"/mode", "user.small", []byte("value"), 0))
	must(b.t, unix.Lsetxattr(b.src+"/empty", "user.on-a-directory", text(1, 3000), 0))
	must(b.t, os.Chtimes(b.src+"/mode", time.Unix(1, 0), time.Unix(-1234, 567_000_000)))
}

// What is in a source comes back, and a second run reads nothing of it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fillSource()
	first := b.backup()
	b.checkSource(first.archive)
	b.checkRepository()
	b.checkOnce()
	second := b.backup()
	if second.summary.Read != 0 || second.summary.Stored != 0 {
		t.Errorf("the second run read %d bytes and stored %d, want none", second.summary.Read, second.summary.Stored)
	}
	if first.archive.Tree != second.archive.Tree {
		t.Errorf("the second run made another tree")
	}
	// All is read again, and nothing is new.
	third := b.backup(func(o *backup.Options) { o.ReadAll = true })
	if third.archive.Tree != first.archive.Tree || third.summary.NewChunks != 0 {
		t.Errorf("a run that reads all: got %d new chunks, want the same tree", third.summary.NewChunks)
	}
	if third.summary.Read != first.summary.Read {
		t.Errorf("a run that reads all: got %d bytes read, want %d", third.summary.Read, first.summary.Read)
	}
}

// What the summary and the descriptor say is so.
func TestSummary(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("d/a", noise(1, 1000))
	b.write("d/b", noise(2, 2<<20))
	must(t, os.Symlink("a", b.src+"/d/l"))
	r := b.backup()
	s, a := r.summary, r.archive
	if s.Files != 2 || s.Dirs != 1 || s.Others != 1 || s.New != 2 || s.Changed != 0 || s.Unchanged != 0 {
		t.Errorf("got %+v", s)
	}
	if want := uint64(1000 + 2<<20); s.Bytes != want || s.Read < want || s.NewBytes < want || s.Stored < want {
		t.Errorf("got %+v, want at least %d bytes of everything", s, want)
	}
	if a.Kind != record.Full || a.Entries != 4 || a.Files != 2 || a.Dirs != 1 || a.Size != s.Bytes {
		t.Errorf("got %+v", a)
	}
	if int(s.Packs) != b.checkedPacks() {
		t.Errorf("got %d packs, want the %d there are", s.Packs, b.checkedPacks())
	}
	b.write("d/a", noise(3, 1001))
	b.write("d/c", nil)
	s = b.backup().summary
	if s.New != 1 || s.Changed != 1 || s.Unchanged != 1 || s.Read < 1001 || s.Read > 2000 {
		t.Errorf("the second run: got %+v", s)
	}
}

func (b *bench) checkedPacks() int { return int(b.checkRepository().Packs) }

// stretch is n bytes of data.
type stretch struct{ at, n int64 }

// Holes are kept as holes, and what is between them comes back.
func TestSparse(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		size int64
		data []stretch
	}{
		"leading":  {8 * mib, []stretch{{7 * mib, mib}}},
		"trailing": {8 * mib, []stretch{{0, mib}}},
		"only":     {8 * mib, nil},
		"small":    {100_000, nil},
		"middle":   {64 * mib, []stretch{{0, 4096}, {63*mib + 4096, 4096}}},
		"tiny":     {4 * mib, []stretch{{mib, 1}, {2*mib + 8191, 1}, {4*mib - 1, 1}}},
		"many":     {2 * mib, stretches(2*mib, 16<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			f, err := os.Create(b.src + "/f")
			must(t, err)
			must(t, f.Truncate(c.size))
			for i, s := range c.data {
				_, err := f.WriteAt(noise(uint64(i), int(s.n)), s.at)
				must(t, err)
			}
			must(t, f.Close())
			r := b.backup()
			b.checkSource(r.archive)
			e := b.entries(r.archive)["f"]
			if e.Size != uint64(c.size) || e.Content.Size() != e.Size {
				t.Errorf("got an entry of %d bytes with content of %d, want %d", e.Size, e.Content.Size(), c.size)
			}
			// A file system may keep more than was written, but not all.
			if s := r.summary; s.Read > uint64(c.size)/2+64<<10 {
				t.Errorf("got %d of %d bytes read", s.Read, c.size)
			}
			if again := b.backup(); again.archive.Tree != r.archive.Tree || again.summary.Read != 0 {
				t.Errorf("the second run read %d bytes", again.summary.Read)
			}
		})
	}
}

// stretches returns short data at every step of a file.
func stretches(size, step int64) (list []stretch) {
	for at := int64(0); at < size; at += step {
		list = append(list, stretch{at, 100})
	}
	return list
}

// Values of extended attributes above 4096 bytes are stored beside the entry,
// those of directories and symbolic links too.
func TestLargeXattrs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.src = filepath.Join(roomyDir(t), "src")
	b.write("d/f", noise(1, 10))
	b.write("d/big", noise(1, 2<<20))
	b.write("d/0", nil)
	for i, name := range []string{"d", "d/f", "d/big", "d/0"} {
		for j, n := range []int{0, 1, 4096, 4097, 60_000} {
			must(t, unix.Lsetxattr(filepath.Join(b.src, name), fmt.Sprintf("user.%d", n), noise(uint64(10*i+j), n), 0))
		}
	}
	r := b.backup()
	b.checkSource(r.archive)
	b.checkRepository()
	spilled := 0
	for _, x := range b.entries(r.archive)["d/f"].Xattrs {
		if x.Spilled != nil {
			spilled++
		}
	}
	if spilled != 2 {
		t.Errorf("got %d spilled values, want 2", spilled)
	}
	if again := b.backup(); again.archive.Tree != r.archive.Tree || again.summary.Stored != 0 {
		t.Errorf("the second run stored %d bytes", again.summary.Stored)
	}
}

// roomyDir returns a directory where attributes may be as large as the system
// allows.
func roomyDir(t testing.TB) string {
	t.Helper()
	for _, parent := range []string{os.TempDir(), "/dev/shm"} {
		dir, err := os.MkdirTemp(parent, "cairn-backup-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
		if unix.Lsetxattr(dir, "user.x", make([]byte, 60_000), 0) == nil {
			must(t, unix.Lremovexattr(dir, "user.x"))
			return dir
		}
	}
	t.Skip("no file system here takes attributes above 4 KiB")
	return ""
}

// Thousands of small files, with links and large files strewn in, so that the
// stages wait for each other in every order.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := 6000
	if testing.Short() {
		n = 1500
	}
	for i := range n {
		path := b.write(fmt.Sprintf("d%03d/f%d", i%97, i), text(uint64(i), i*37%3000))
		if i%50 == 0 {
			must(t, os.Link(path, fmt.Sprintf("%s/a-link-%d", b.src, i)))
			must(t, os.Link(path, fmt.Sprintf("%s/z-link-%d", b.src, i)))
		}
		if i%1000 == 0 {
			b.write(fmt.Sprintf("d%03d/big", i%97), noise(uint64(i), 1<<20+i))
		}
	}
	for _, workers := range []int{1, 4} {
		r := b.backup(func(o *backup.Options) { o.Workers, o.ReadAll = workers, true })
		b.checkSource(r.archive)
	}
	if r := b.backup(); r.summary.Read != 0 {
		t.Errorf("got %d bytes read when nothing has changed, want none", r.summary.Read)
	}
}

// Where nothing has changed, a run makes three requests: it loads head, stores
// a commit, and swaps head.
func TestUnchangedRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fillSource()
	first := b.backup()

	repo, err := b.open(b.cache)
	must(t, err)
	b.store.ResetCounts()
	o := b.options()
	a, s, err := backup.Run(t.Context(), t.Context(), repo, o)
	must(t, err)
	requests := b.requests()
	must(t, repo.Close())
	if s.Read != 0 || a.Tree != first.archive.Tree {
		t.Errorf("got %d bytes read, same tree: %v", s.Read, a.Tree == first.archive.Tree)
	}
	// Metadata of the archive before is read once, and not counted here.
	delete(requests, mem.Get)
	for op, n := range map[mem.Op]int{mem.Put: 1, mem.Swap: 1} {
		if requests[op] != n {
			t.Errorf("got %d of %s, want %d", requests[op], op, n)
		}
		delete(requests, op)
	}
	if requests[mem.Load] > 2 {
		t.Errorf("got %d of load, want at most 2", requests[mem.Load])
	}
	delete(requests, mem.Load)
	if len(requests) > 0 {
		t.Errorf("got other requests too: %v", requests)
	}
}

func (b *bench) requests() map[mem.Op]int {
	all := map[mem.Op]int{}
	for _, op := range []mem.Op{mem.Put, mem.Get, mem.Stat, mem.List, mem.Delete, mem.Load, mem.Swap} {
		if n := b.store.Count(op); n > 0 {
			all[op] = n
		}
	}
	return all
}

// Whatever happens to a file between two runs, the second archive shows it,
// and only what changed is read.
func TestChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bench, path string) error
		read   uint64 // bytes
	}{
		"content":     {func(b *bench, p string) error { return os.WriteFile(p, noise(9, 5001), 0o644) }, 5001},
		"same size":   {func(b *bench, p string) error { return os.WriteFile(p, noise(9, 5000), 0o644) }, 5000},
		"touched":     {func(b *bench, p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1e9, 1)) }, 5000},
		"mode":        {func(b *bench, p string) error { return os.Chmod(p, 0o600) }, 5000},
		"xattr":       {func(b *bench, p string) error { return unix.Setxattr(p, "user.x", []byte("y"), 0) }, 5000},
		"removed":     {func(b *bench, p string) error { return os.Remove(p) }, 0},
		"moved":       {func(b *bench, p string) error { return os.Rename(p, b.src+"/zz") }, 5000},
		"linked":      {func(b *bench, p string) error { return os.Link(p, b.src+"/a") }, 5000},
		"a directory": {func(b *bench, p string) error { return replaceByDir(b, p) }, 10},
		"a symlink":   {func(b *bench, p string) error { os.Remove(p); return os.Symlink("x", p) }, 0},
		"a fifo":      {func(b *bench, p string) error { os.Remove(p); return unix.Mkfifo(p, 0o600) }, 0},
		"truncated":   {func(b *bench, p string) error { return os.Truncate(p, 0) }, 0},
		"grown":       {func(b *bench, p string) error { return os.Truncate(p, 2<<20) }, 8192},
		"old times": {func(b *bench, p string) error {
			info, err := os.Stat(p)
			must(b.t, err)
			must(b.t, os.WriteFile(p, noise(9, 5000), 0o644))
			return os.Chtimes(p, time.Time{}, info.ModTime())
		}, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("b/c", noise(2, 3000))
			path := b.write("f", noise(1, 5000))
			b.write("g", noise(3, 3000))
			b.backup()
			must(t, c.change(b, path))
			r := b.backup()
			b.checkSource(r.archive)
			if r.summary.Read > c.read {
				t.Errorf("got %d bytes read, want %d", r.summary.Read, c.read)
			}
			b.checkRepository()
		})
	}
}

func replaceByDir(b *bench, path string) error {
	must(b.t, os.Remove(path))
	must(b.t, os.Mkdir(path, 0o755))
	return os.WriteFile(path+"/f", noise(4, 10), 0o644)
}

// A file so young that it may change without showing it is read again.
func TestRacy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("f", noise(1, 1000))
	r := b.backup(func(o *backup.Options) { o.Now = func() time.Time { return time.Unix(0, 0) } })
	if !b.entries(r.archive)["f"].Racy {
		t.Error("the entry is not marked as racy")
	}
	if r := b.backup(); r.summary.Read != 1000 {
		t.Errorf("got %d bytes read, want 1000", r.summary.Read)
	}
	if r := b.backup(); r.summary.Read != 0 {
		t.Errorf("got %d bytes read, want none", r.summary.Read)
	}
}

// A dry run says what would be done, stores nothing and reads no content.
func TestDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fillSource()
	b.store.ResetCounts()
	dry := func(o *backup.Options) { o.DryRun = true }
	want := b.backup(dry).summary
	if n := b.store.Count(mem.Put) + b.store.Count(mem.Swap); n > 0 || want.Read > 0 {
		t.Errorf("got %d requests that write and %d bytes read, want none", n, want.Read)
	}
	got := b.backup().summary
	if got.New != want.New || got.Files != want.Files || got.Bytes != want.Bytes || got.Dirs != want.Dirs {
		t.Errorf("the dry run said %+v, the true one %+v", want, got)
	}
	b.write("new", nil)
	if s := b.backup(dry).summary; s.New != 1 || s.Changed != 0 || s.Unchanged != want.Files {
		t.Errorf("the dry run after a change: got %+v", s)
	}
}

// A pack that is lost is made anew from the files, even though they have not
// changed: nothing vouches for chunks that are nowhere.
func TestLostPack(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	b := newBench(t)
	b.write("a", noise(1, 100_000))
	b.write("d/b", noise(2, 5<<20))
	must(t, os.Link(b.write("d/c", text(3, 2<<20)), b.src+"/d/d"))
	b.write("d/e", noise(4, 48<<20)) // more chunks than are looked for in one go, in several packs
	b.backup()
	var packs []backend.Key
	for info, err := range b.store.List(t.Context(), "packs/") {
		must(t, err)
		packs = append(packs, info.Key)
	}
	for _, key := range packs {
		must(t, b.store.Delete(t.Context(), key))
		b.cache = t.TempDir() // which would vouch for it
		r := b.backupWarned()
		for _, w := range r.warnings {
			if !strings.Contains(w, "read previous archive") {
				t.Errorf("got warning %q", w)
			}
		}
		b.checkSource(r.archive)
	}
	b.cache = t.TempDir()
	if r := b.backup(); r.summary.Read != 0 {
		t.Errorf("got %d bytes read at the end, want none", r.summary.Read)
	}
}

// Roots and series tell sources apart.
func TestSources(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.write("f", noise(1, 5000))
	b.backup()
	other := b.backup(func(o *backup.Options) { o.Archive.Series = "other" })
	if other.summary.Unchanged != 0 || other.summary.NewChunks != 0 {
		t.Errorf("a run of another series: got %+v", other.summary)
	}
	b.write("a/b/f", noise(2, 5000))
	nested := b.backup(func(o *backup.Options) { o.Roots = []walk.Root{{Source: b.src + "/a/b", Path: "a/b"}} })
	if e := b.entries(nested.archive); e["a/b/f"] == nil || e["a"] == nil || e["a"].Type != archive.Dir || e["f"] != nil {
		t.Errorf("a root at a/b: got %v", e)
	}
}
