package restore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/pipeline/restore"
)

var errNoChunk = errors.New("no such chunk")

// store is a repository in memory, to write an archive to and to restore it
// from.
type store struct {
	t      testing.TB
	keys   *crypt.Keys
	hasher *crypt.Hasher
	opener *pack.Opener
	chunk  int // bytes of the chunks that content is cut into

	frame  []byte // being collected
	chunks []pack.Chunk
	open   *pack.Builder
	packs  map[objects.ID][]byte
	files  map[objects.ID]*os.File // the packs, after toDisk
	places map[objects.ID]index.Place
	known  map[objects.ID]bool
	meta   map[objects.ID][]byte

	entries []*archive.Entry
	paths   map[string]bool // of entries

	mu     sync.Mutex
	reads  int                                // guarded by mu
	onRead func(pack objects.ID, n int) error // called for each read, if set
}

func newStore(t testing.TB) *store {
	t.Helper()
	// The same keys always, so that trees have the same shape always.
	master, err := crypt.NewMaster(mathrand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypt.Derive(master, objects.RepositoryID{1}, crypt.Preferred())
	if err != nil {
		t.Fatal(err)
	}
	return &store{
		t: t, keys: keys, hasher: keys.NewHasher(), opener: pack.NewOpener(keys, objects.Data), chunk: 64 << 10,
		packs: make(map[objects.ID][]byte), places: make(map[objects.ID]index.Place),
		known: make(map[objects.ID]bool), paths: make(map[string]bool), meta: make(map[objects.ID][]byte),
	}
}

// put stores one chunk.
func (s *store) put(p []byte) objects.ID {
	id := s.hasher.Sum(objects.Data, p)
	if s.known[id] {
		return id
	}
	s.known[id] = true
	if len(s.frame)+len(p) > 1<<20 {
		s.endFrame()
	}
	s.frame = append(s.frame, p...)
	s.chunks = append(s.chunks, pack.Chunk{ID: id, Len: uint32(len(p))})
	return id
}

func (s *store) endFrame() {
	s.t.Helper()
	if len(s.chunks) == 0 {
		return
	}
	for {
		if s.open == nil {
			b, err := pack.NewBuilder(s.keys, objects.Data, pack.Options{Target: 16 << 20, Random: rand.Reader})
			if err != nil {
				s.t.Fatal(err)
			}
			s.open = b
		}
		ok, err := s.open.Add(pack.Stored, s.frame, s.chunks)
		if err != nil {
			s.t.Fatal(err)
		}
		if ok {
			break
		}
		s.endPack()
	}
	s.frame, s.chunks = s.frame[:0], nil
}

// endPack stores the open pack, so that what comes next lies in another one.
func (s *store) endPack() {
	s.t.Helper()
	if s.open == nil {
		return
	}
	p, err := s.open.Finish(pack.ToPadme)
	s.open = nil
	if err != nil {
		s.t.Fatal(err)
	}
	s.packs[p.ID] = bytes.Join(p.Parts, nil)
	h, err := pack.OpenHeader(s.keys, s.packs[p.ID])
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range h.Frames {
		off := uint32(0)
		for _, c := range h.FrameChunks(f) {
			s.places[c.ID] = index.Place{Pack: p.ID, Kind: h.Kind, Key: h.Keys[f.Key], Frame: f, Off: off, Len: c.Len}
			off += c.Len
		}
	}
}

func (s *store) cut() { s.endFrame(); s.endPack() }

// toDisk moves the packs out of memory.
func (s *store) toDisk() {
	s.t.Helper()
	s.files = make(map[objects.ID]*os.File)
	dir := s.t.TempDir()
	for id, p := range s.packs {
		f, err := os.Create(filepath.Join(dir, id.String()))
		if err == nil {
			_, err = f.Write(p)
		}
		if err == nil {
			err = f.Sync() // or it would compete with what is measured
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = f.Close() })
		s.files[id] = f
	}
	s.packs = nil
}

// content stores p, in chunks of s.chunk bytes unless it is short.
func (s *store) content(p []byte) archive.Content {
	s.t.Helper()
	if len(p) <= archive.InlineMax {
		return archive.InlineContent(p)
	}
	return s.spread(s.extents(p))
}

func (s *store) extents(p []byte) (list []archive.Extent) {
	for piece := range slices.Chunk(p, s.chunk) {
		list = append(list, archive.Extent{Len: uint64(len(piece)), ID: s.put(piece)})
	}
	return list
}

func (s *store) spread(list []archive.Extent) archive.Content {
	s.t.Helper()
	c, err := archive.PutContent(list, s.putMeta)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *store) putMeta(p []byte) (objects.ID, error) {
	id := s.hasher.Sum(objects.Meta, p)
	s.meta[id] = bytes.Clone(p)
	return id, nil
}

// add adds an entry, and its parents where they are missing. Size and Type of
// files follow from the content.
func (s *store) add(e archive.Entry) {
	if i := strings.LastIndexByte(e.Path, '/'); i >= 0 && !s.paths[e.Path[:i]] {
		s.add(archive.Entry{Path: e.Path[:i], Type: archive.Dir, Mode: 0o755})
	}
	if e.Type == 0 {
		e.Type = archive.File
	}
	if e.Type == archive.File {
		e.Size = e.Content.Size()
	}
	if e.Mode == 0 {
		e.Mode = 0o644
	}
	if e.ModTime.Sec == 0 {
		e.ModTime = archive.Time{Sec: 1_500_000_000 + int64(len(s.entries)), Nsec: 123_456_789}
	}
	s.entries = append(s.entries, &e)
	s.paths[e.Path] = true
}

// file adds a file with a content.
func (s *store) file(path string, content []byte) {
	s.add(archive.Entry{Path: path, Content: s.content(content)})
}

// finish writes the archive.
func (s *store) finish() archive.Root {
	s.t.Helper()
	s.cut()
	slices.SortFunc(s.entries, func(a, b *archive.Entry) int { return archive.ComparePaths(a.Path, b.Path) })
	w := archive.NewWriter(s.keys.TreeSeed(), s.putMeta)
	for _, e := range s.entries {
		if err := w.Add(e); err != nil {
			s.t.Fatalf("add %q: %v", e.Path, err)
		}
	}
	root, err := w.Finish()
	if err != nil {
		s.t.Fatal(err)
	}
	return root
}

func (s *store) source() restore.Source {
	return restore.Source{Chunks: s, Meta: s.getMeta, Keys: s.keys}
}

func (s *store) getMeta(id objects.ID) ([]byte, error) {
	p, ok := s.meta[id]
	if !ok {
		return nil, errNoChunk
	}
	return p, nil
}

func (s *store) Lookup(_ context.Context, id objects.ID) (index.Place, error) {
	p, ok := s.places[id]
	if !ok {
		return index.Place{}, errNoChunk
	}
	return p, nil
}

func (s *store) Read(ctx context.Context, id objects.ID, off, length int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.reads++
	n, hook := s.reads, s.onRead
	s.mu.Unlock()
	if hook != nil {
		if err := hook(id, n); err != nil {
			return nil, err
		}
	}
	if f := s.files[id]; f != nil {
		p := make([]byte, length)
		_, err := f.ReadAt(p, off)
		return p, err
	}
	p := s.packs[id]
	if off+length > int64(len(p)) {
		return nil, fmt.Errorf("pack %s has %d bytes, not %d", id, len(p), off+length)
	}
	return bytes.Clone(p[off : off+length]), nil
}

func (s *store) Elsewhere(_ context.Context, _, _ objects.ID, err error) (index.Place, error) {
	return index.Place{}, err
}

func (s *store) OpenFrame(dst []byte, _ objects.Kind, key pack.Key, frame pack.Frame, sealed []byte) ([]byte, error) {
	return s.opener.Open(dst[:0], key, frame, sealed)
}

// noise returns n bytes that depend on seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = mathrand.NewChaCha8(key).Read(p) // never fails
	return p
}

// warnings collects what Warn is told.
type warnings struct {
	paths []string
	errs  []error
}

func (w *warnings) add(path string, err error) {
	w.paths = append(w.paths, path)
	w.errs = append(w.errs, err)
}

func (w *warnings) String() string {
	var b strings.Builder
	for i := range w.paths {
		fmt.Fprintf(&b, "%q: %v\n", w.paths[i], w.errs[i])
	}
	return b.String()
}
