package restore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// place returns where the n-th piece of a file's content lies.
func (s *store) packOf(c archive.Content, n int) (id objects.ID, off, length int) {
	p := s.places[c.Extents[n].ID]
	return p.Pack, int(p.Frame.Off), int(p.Frame.Stored)
}

func TestDamage(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	small, large := s.content(noise(1, 1000)), s.content(noise(2, 3_000_000))
	s.add(archive.Entry{Path: "hit", Content: small})
	s.add(archive.Entry{Path: "hit large", Content: large})
	s.cut()
	id, off, n := s.packOf(large, 1)
	s.packs[id][off+n/2] ^= 1 // small lies in this frame, too
	s.file("d/good", noise(3, 1000))
	s.file("d/good large", noise(4, 3_000_000))
	s.add(archive.Entry{Path: "d/unknown", Content: archive.Content{
		Form: archive.Chunk, Extents: []archive.Extent{{Len: 1000, ID: objects.ID{9}}}}})
	s.add(archive.Entry{Path: "d/wrong length", Content: archive.Content{
		Form: archive.Chunk, Extents: []archive.Extent{{Len: 999, ID: small.Extents[0].ID}}}})
	target := t.TempDir()
	must(t, os.WriteFile(filepath.Join(target, "hit"), []byte("older"), 0o600))
	_, sum, w := run(t, s, restore.Options{Target: target})
	if sum.Failed != 4 || sum.Damaged != 4 || sum.Files != 2 || len(w.paths) != 4 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	for i, path := range w.paths {
		if strings.HasPrefix(path, "hit") && (!strings.Contains(w.errs[i].Error(), id.String()) || !objects.IsCorrupt(w.errs[i])) {
			t.Errorf("%s: got %v, want an error that says which pack is damaged", path, w.errs[i])
		}
	}
	content(t, filepath.Join(target, "hit"), []byte("older")) // not replaced by nothing
	missing(t, filepath.Join(target, "hit large"))
	missing(t, filepath.Join(target, "d/unknown"))
	missing(t, filepath.Join(target, "d/wrong length"))
	content(t, filepath.Join(target, "d/good"), noise(3, 1000))
	content(t, filepath.Join(target, "d/good large"), noise(4, 3_000_000))
}

// TestForgedFrame holds that a frame that opens is not believed: only the IDs
// of its chunks are.
func TestForgedFrame(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := s.content(noise(1, 1000)), s.content(noise(2, 1000))
	s.add(archive.Entry{Path: "a", Content: a})
	s.add(archive.Entry{Path: "b", Content: b})
	s.cut()
	swapped := s.places[a.Extents[0].ID]
	swapped.Off = s.places[b.Extents[0].ID].Off
	s.places[a.Extents[0].ID] = swapped
	target, sum, w := run(t, s, restore.Options{})
	if sum.Failed != 1 || len(w.paths) != 1 || w.paths[0] != "a" || !objects.IsCorrupt(w.errs[0]) {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	missing(t, filepath.Join(target, "a"))
	content(t, filepath.Join(target, "b"), noise(2, 1000))
}

// TestUnreadable holds that what cannot be read costs no more than what lies
// there.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 6 {
		s.file(fmt.Sprintf("f%d", i), noise(uint64(i), 1_000_000))
	}
	s.cut()
	for id := range s.packs {
		s.packs[id] = s.packs[id][:4_000_000] // ends in the fourth
	}
	_, sum, w := run(t, s, restore.Options{})
	if sum.Files != 3 || sum.Failed != 3 || sum.Damaged != 3 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
}

func TestDamagedMetadata(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 3000 {
		s.add(archive.Entry{Path: fmt.Sprintf("d%02d/f%02d", i/100, i%100), Content: s.content(noise(uint64(i), 100))})
	}
	root := s.finish()
	// Not the root, and not the leaf with the first entries.
	var leaf objects.ID
	r := archive.NewReader(root, s.getMeta)
	n := 0
	for id, err := range r.MetaIDs() {
		must(t, err)
		if n++; n == 4 {
			leaf = id
		}
	}
	delete(s.meta, leaf)
	w := new(warnings)
	target := filepath.Join(t.TempDir(), "target")
	sum, err := restore.Run(t.Context(), s.source(), root, restore.Options{Target: target, Warn: w.add})
	must(t, err)
	noTemps(t, target)
	if sum.Failed != 1 || sum.Damaged != 1 || len(w.errs) != 1 || !errors.Is(w.errs[0], errNoChunk) {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	if sum.Files < 1500 || sum.Files >= 3000 {
		t.Errorf("got %d files", sum.Files)
	}
	content(t, filepath.Join(target, "d29/f99"), noise(2999, 100))
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.file("large", noise(1, 30_000_000))
	s.onRead = func(_ objects.ID, n int) error {
		if n == 2 {
			return fmt.Errorf("read: %w", backend.ErrUnavailable)
		}
		return nil
	}
	target, _, w, err := try(t, s, restore.Options{})
	if !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	none(t, w)
	missing(t, filepath.Join(target, "large"))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.file("large", noise(1, 30_000_000))
	ctx, cancel := context.WithCancel(t.Context())
	s.onRead = func(_ objects.ID, n int) error {
		if n == 3 {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	target, _, w, err := tryContext(ctx, t, s, restore.Options{Workers: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	none(t, w)
	missing(t, filepath.Join(target, "large"))
}

// TestWindows restores more chunks than a window has, of one file, and more
// unfinished files than are held open.
func TestWindows(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.chunk = 8
	p := make([]byte, 70_000*8)
	for i := range 70_000 {
		binary.LittleEndian.PutUint64(p[8*i:], uint64(i)*0x9e3779b97f4a7c15)
	}
	s.file("many", p)
	s.cut()
	// All first halves lie in one pack, all second halves in another one.
	s.chunk = 500
	list := make([][]archive.Extent, 600)
	for i := range list {
		list[i] = s.extents(noise(uint64(i), 500))
	}
	s.cut()
	for i := range list {
		list[i] = append(list[i], s.extents(noise(uint64(i)+10_000, 500))...)
		s.add(archive.Entry{Path: fmt.Sprintf("halves/%03d", i), Content: s.spread(list[i])})
	}
	target, sum, w := run(t, s, restore.Options{})
	none(t, w)
	content(t, filepath.Join(target, "many"), p)
	for i := range list {
		content(t, filepath.Join(target, fmt.Sprintf("halves/%03d", i)), append(noise(uint64(i), 500), noise(uint64(i)+10_000, 500)...))
	}
	if sum.Reads > 6 {
		t.Errorf("got %d reads", sum.Reads)
	}
}

// TestLostAttribute holds that a file that comes back without one of its
// attributes is in place, and counts as damaged once.
func TestLostAttribute(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	gone := archive.Content{Form: archive.Chunk, Extents: []archive.Extent{{Len: 5000, ID: objects.ID{9}}}}
	xattrs := []archive.Xattr{{Name: "user.a", Spilled: &gone}, {Name: "user.b", Spilled: &gone}}
	s.add(archive.Entry{Path: "f", Content: s.content(noise(1, 10)), Xattrs: xattrs})
	s.add(archive.Entry{Path: "g", Xattrs: xattrs, Content: gone})
	target, sum, w := run(t, s, restore.Options{})
	if sum.Files != 1 || sum.Failed != 1 || sum.Damaged != 2 || len(w.paths) != 5 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	content(t, filepath.Join(target, "f"), noise(1, 10))
}

// TestBlockedIsNotDamaged holds that what only the target is to blame for is no damage.
func TestBlockedIsNotDamaged(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.file("f", noise(1, 10))
	target := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(target, "f/full"), 0o700))
	_, sum, w := run(t, s, restore.Options{Target: target})
	if sum.Failed != 1 || sum.Damaged != 0 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
}
