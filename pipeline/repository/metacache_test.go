package repository_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/backend/mem"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"

	"github.com/zeebo/blake3"
)

// tree makes a directory of files with long names: metadata of 5000 of them fills
// a frame, which is more than the packs of keepTree are to hold.
func tree(t testing.TB, files int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i/100))
		must(t, os.MkdirAll(sub, 0o700))
		name := blake3.Sum512([]byte{byte(i), byte(i >> 8)})
		must(t, os.WriteFile(filepath.Join(sub, fmt.Sprintf("%x%x", name, name[:30])), []byte{byte(i)}, 0o600))
	}
	return dir
}

func (m *machine) keepTree(t testing.TB, dir string) {
	t.Helper()
	m.use(t, func(r *repository.Repository) {
		_, _, err := backup.Run(t.Context(), t.Context(), r, backup.Options{
			Roots: []walk.Root{{Source: dir}}, Now: time.Now, Archive: record.Archive{Name: "tree"}, PackTarget: 256 << 10,
		})
		must(t, err)
	})
}

// list reads every entry of the newest archive.
func (m *machine) list(t testing.TB, want int) (warnings []string) {
	t.Helper()
	return m.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		a, err := r.Find("latest")
		must(t, err)
		n := 0
		for e, err := range archive.NewReader(a.Root(), r.NewMetaReader().Fetch(t.Context())).All() {
			must(t, err)
			if e.Type == archive.File {
				n++
			}
		}
		if n != want {
			t.Errorf("got %d files, want %d", n, want)
		}
	})
}

// kept returns the files of metadata that a machine keeps, and their bytes.
func (m *machine) kept(t testing.TB) (files []string, bytes int64) {
	t.Helper()
	files, err := filepath.Glob(m.cache + "/*/packs/*")
	must(t, err)
	for _, path := range files {
		info, err := os.Stat(path)
		must(t, err)
		bytes += info.Size()
	}
	return files, bytes
}

// With its metadata kept here, a backup that finds nothing changed is a load, a
// put and a swap, and an archive is listed without reading a pack. A machine
// that was never here reads each pack of metadata once, whole.
func TestMetadataIsKept(t *testing.T) {
	t.Parallel()
	const files = 12000
	s, key := newStore(t)
	here, there := newMachine(t, s, key), newMachine(t, s, key)
	here.meta, there.meta = 1<<30, 1<<30
	dir := tree(t, files)
	here.keepTree(t, dir)
	time.Sleep(10 * time.Millisecond) // files changed in the moment they were read are read again
	here.keepTree(t, dir)
	s.ResetCounts()
	here.keepTree(t, dir)
	wantRequests(t, s, "an unchanged backup", "[put 1 load 1 swap 1]")
	s.ResetCounts()
	here.list(t, files)
	wantRequests(t, s, "list what was stored here", "[load 1]")

	there.use(t, func(r *repository.Repository) { must(t, r.Sync(t.Context())) })
	s.ResetCounts()
	there.list(t, files)
	packs, _ := there.kept(t)
	if n := len(packs); n < 3 || s.Count(mem.Get) != n {
		t.Errorf("a cold list: got %d reads, %d packs kept, want as many and at least 3", s.Count(mem.Get), n)
	}
	s.ResetCounts()
	there.list(t, files)
	wantRequests(t, s, "list again", "[load 1]")
}

// What is kept may be rotten or cut short: it is read from the store then, and
// nobody hears of it.
func TestRottenMetadata(t *testing.T) {
	t.Parallel()
	const files = 500
	s, key := newStore(t)
	m := newMachine(t, s, key)
	m.meta = 1 << 30
	m.keepTree(t, tree(t, files))
	for step := range 16 {
		packs, _ := m.kept(t)
		if len(packs) == 0 {
			t.Fatal("nothing is kept")
		}
		for _, path := range packs {
			p, err := os.ReadFile(path)
			must(t, err)
			if at := len(p) * step / 16; step%2 == 0 {
				for i := at; i < len(p); i += 64 {
					p[i] ^= 1
				}
			} else {
				p = p[:at]
			}
			must(t, os.WriteFile(path, p, 0o600))
		}
		if warnings := m.list(t, files); len(warnings) > 0 {
			t.Errorf("step %d: got warnings %q, want none", step, warnings)
		}
	}
}

// No more is kept than the limit says, what was used last stays, and without a
// limit nothing is kept.
func TestMetadataLimit(t *testing.T) {
	t.Parallel()
	const files = 12000
	s, key := newStore(t)
	all, some, none := newMachine(t, s, key), newMachine(t, s, key), newMachine(t, s, key)
	all.meta = 1 << 30
	all.keepTree(t, tree(t, files))
	_, size := all.kept(t)
	some.meta = size * 3 / 4
	for _, m := range []*machine{some, none} {
		m.list(t, files)
		packs, bytes := m.kept(t)
		if bytes > m.meta || (len(packs) > 0) != (m.meta > 0) {
			t.Errorf("got %d packs, %d bytes, want at most %d of %d", len(packs), bytes, m.meta, size)
		}
	}
}
