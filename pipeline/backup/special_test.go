package backup_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"cairn/objects/record"
	"cairn/pipeline/backup"
)

// closer is a stream whose last word is err.
type closer struct {
	io.Reader
	err error
}

func (c closer) Close() error { return c.err }

// streamed makes the options of a backup of a stream.
func streamed(content io.Reader, last error) func(*backup.Options) {
	return func(o *backup.Options) {
		o.Roots, o.Archive.Roots = nil, []record.Root{{Source: "a/b", Path: "a/b"}}
		o.Stream = &backup.Stream{Path: "a/b", Mode: 0o600, Open: func() (io.ReadCloser, error) { return closer{content, last}, nil }}
	}
}

func randomBytes(seed uint64, n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(p) // never fails
	return p
}

func TestStream(t *testing.T) {
	t.Parallel()
	b := newQuickBench(t)
	for _, n := range []int{0, 1, 100, 5 << 20} {
		content := randomBytes(1, n)
		r := b.backup(streamed(iotest.HalfReader(bytes.NewReader(content)), nil))
		got, err := os.ReadFile(filepath.Join(b.restore(r.archive), "a/b"))
		must(t, err)
		if !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d others", n, len(got))
		}
		if e := b.entries(r.archive)["a/b"]; e.Size != uint64(n) || e.Mode != 0o600 {
			t.Errorf("%d bytes: got %+v", n, e)
		}
	}
	again := b.backup(streamed(bytes.NewReader(randomBytes(1, 5<<20)), nil), func(o *backup.Options) { o.SkipUnchanged = true })
	if !again.summary.Skipped || again.summary.NewChunks != 0 {
		t.Errorf("the same again: got %+v", again.summary)
	}
	b.checkRepository()
}

// TestStreamFails: what is not whole is no archive, and what was stored of it
// does no harm.
func TestStreamFails(t *testing.T) {
	t.Parallel()
	b := newQuickBench(t)
	broken := errors.New("broken")
	content := randomBytes(2, 3<<20)
	for _, change := range []func(*backup.Options){
		streamed(bytes.NewReader(content), broken),
		streamed(io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), nil),
		func(o *backup.Options) {
			streamed(nil, nil)(o)
			o.Stream.Open = func() (io.ReadCloser, error) { return nil, broken }
		},
	} {
		o := b.options()
		change(&o)
		if _, err := b.try(t.Context(), o); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
	repo, err := b.open(b.cache)
	must(t, err)
	must(t, repo.Sync(t.Context()))
	if list := repo.Archives(); len(list) > 0 {
		t.Errorf("got archives %v", list)
	}
	must(t, repo.Close())
	b.backup(streamed(bytes.NewReader(content), nil))
	b.checkRepository()
}

// TestFixed: chunks end at multiples of the size, wherever data and holes are.
func TestFixed(t *testing.T) {
	t.Parallel()
	b := newQuickBench(t)
	const size = 64 << 10
	content := randomBytes(3, 40*size+123)
	must(t, os.WriteFile(filepath.Join(b.src, "image"), content, 0o644))
	cut := func(o *backup.Options) { o.Fixed = func(string) uint32 { return size } }
	r := b.backup(cut)
	b.checkSource(r.archive)
	e := b.entries(r.archive)["image"]
	for i, x := range e.Content.Extents {
		want := uint64(size)
		if i == 40 {
			want = 123
		}
		if x.Len != want {
			t.Fatalf("chunk %d has %d bytes, want %d", i, x.Len, want)
		}
	}
	// A byte changes one chunk.
	changed := slices.Clone(content)
	changed[10*size+5]++
	must(t, os.WriteFile(filepath.Join(b.src, "image"), changed, 0o644))
	r = b.backup(cut)
	b.checkSource(r.archive)
	if r.summary.NewBytes < size || r.summary.NewBytes > size+size/2 {
		t.Errorf("got %d new bytes for one changed chunk", r.summary.NewBytes)
	}
}
