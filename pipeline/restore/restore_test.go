package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// run restores everything to a new directory, or to the one that o names.
func run(t *testing.T, s *store, o restore.Options) (target string, sum restore.Summary, w *warnings) {
	t.Helper()
	target, sum, w, err := try(t, s, o)
	if err != nil {
		t.Fatal(err)
	}
	return target, sum, w
}

func try(t *testing.T, s *store, o restore.Options) (string, restore.Summary, *warnings, error) {
	t.Helper()
	return tryContext(t.Context(), t, s, o)
}

func tryContext(ctx context.Context, t *testing.T, s *store, o restore.Options) (string, restore.Summary, *warnings, error) {
	t.Helper()
	w := new(warnings)
	o.Warn = w.add
	if o.Target == "" {
		o.Target = filepath.Join(t.TempDir(), "new", "target")
	}
	sum, err := restore.Run(ctx, s.source(), s.finish(), o)
	noTemps(t, o.Target)
	return o.Target, sum, w, err
}

// noTemps holds that no temporary file is left.
func noTemps(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), restore.TempPrefix) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func none(t *testing.T, w *warnings) {
	t.Helper()
	if len(w.paths) > 0 {
		t.Errorf("warnings:\n%s", w)
	}
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Errorf("lstat %s: %v", path, err)
	}
	return st
}

func content(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes that are not the %d written", path, len(got), len(want))
	}
}

func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lstat %s: got %v, want that it is not there", path, err)
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	files := map[string][]byte{
		"empty":            nil,
		"inline":           noise(1, 100),
		"small":            noise(2, 5000),
		"dir/frame":        noise(3, 600_000),
		"dir/large":        noise(4, 9_000_001),
		"dir/deep/er/same": noise(4, 9_000_001),
		"dir/a\nb\xff\xfe": noise(5, 1000),
		"-rf":              noise(6, 1000),
		"dir/zeros":        make([]byte, 1<<20),
	}
	for path, p := range files {
		s.file(path, p)
	}
	target, sum, w := run(t, s, restore.Options{})
	none(t, w)
	for path, p := range files {
		content(t, filepath.Join(target, path), p)
	}
	if sum.Files != uint64(len(files)) || sum.Dirs != 3 || sum.Failed != 0 {
		t.Errorf("got %+v", sum)
	}
	// 12 MB without duplicates, in one pack.
	if sum.Reads > 3 {
		t.Errorf("got %d reads, want at most 3", sum.Reads)
	}
	if st := stat(t, filepath.Join(target, "dir/zeros")); st.Blocks == 0 {
		t.Error("zeros that were written became a hole")
	}
}

func TestHoles(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p, gap := noise(1, 300_000), make([]byte, 1<<20)
	data, hole := s.extents(p), []archive.Extent{{Len: 1 << 20, Hole: true}}
	files := []struct {
		name    string
		extents [][]archive.Extent
		want    [][]byte
		most    int64 // bytes that it may take
	}{
		{"only", [][]archive.Extent{hole}, [][]byte{gap}, 0},
		{"leading", [][]archive.Extent{hole, data}, [][]byte{gap, p}, 310_000},
		{"trailing", [][]archive.Extent{data, hole}, [][]byte{p, gap}, 310_000},
		{"between", [][]archive.Extent{data, hole, data}, [][]byte{p, gap, p}, 620_000},
	}
	for _, f := range files {
		s.add(archive.Entry{Path: f.name, Content: s.spread(slices.Concat(f.extents...))})
	}
	target, _, w := run(t, s, restore.Options{})
	none(t, w)
	for _, f := range files {
		path := filepath.Join(target, f.name)
		content(t, path, bytes.Join(f.want, nil))
		if got := stat(t, path).Blocks * 512; got > f.most {
			t.Errorf("%s: takes %d bytes, want at most %d", f.name, got, f.most)
		}
	}
}
