package archive

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"cairn/objects"
)

func TestRandomTrees(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			s := newStore()
			entries := randomTree(t, rnd, s.put)
			checkTree(t, rnd, entries, write(t, entries, s.put), s)
		})
	}
}

// checkTree asks a reader everything about an archive of entries.
func checkTree(t *testing.T, rnd *rand.Rand, entries []*Entry, root Root, s *store) {
	t.Helper()
	r := NewReader(root, s.get)
	checkEntries(t, "All", entries, collect(t, r.All()))
	for range 20 {
		i := rnd.IntN(len(entries))
		checkEntries(t, "From", entries[i:], collect(t, r.From(entries[i].Path)))
		e, err := r.Lookup(entries[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		checkEntries(t, "Lookup", entries[i:i+1], []*Entry{e})
		if _, err := r.Lookup(behind(e.Path)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("look up what is not there: got %v, want ErrNotFound", err)
		}
	}
	for _, dir := range entries {
		if dir.Type == Dir {
			checkEntries(t, "Children", childrenOf(entries, dir.Path), collect(t, r.Children(dir.Path)))
		}
	}
	checkEntries(t, "Children", childrenOf(entries, ""), collect(t, r.Children("")))
	checkMetaIDs(t, root, s)
}

// checkNeeds holds that Needs tells of the given metadata and of all data, and
// of nothing below what is not wanted.
func checkNeeds(t *testing.T, root Root, s *store, meta map[objects.ID]bool) {
	t.Helper()
	data := map[Need]bool{}
	r := NewReader(root, s.get)
	for e, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		contents := []*Content{&e.Content}
		for i := range e.Xattrs {
			if c := e.Xattrs[i].Spilled; c != nil {
				contents = append(contents, c)
			}
		}
		for _, c := range contents {
			for x, err := range r.Extents(c) {
				if err != nil {
					t.Fatal(err)
				}
				if !x.Hole {
					data[Need{x.ID, objects.Data, x.Len}] = true
				}
			}
		}
	}
	seen := map[objects.ID]bool{}
	tell := func(n Need) (bool, error) {
		if n.Kind == objects.Data {
			if !data[n] {
				return false, fmt.Errorf("nobody needs %v", n)
			}
			seen[n.ID] = true
			return false, nil
		}
		again := !meta[n.ID]
		delete(meta, n.ID)
		return !again, nil
	}
	if err := NewReader(root, s.get).Needs(tell); err != nil {
		t.Fatalf("Needs: %v", err)
	}
	for n := range data {
		if !seen[n.ID] {
			t.Fatalf("Needs: %v is missing", n)
		}
	}
	if len(meta) > 0 {
		t.Fatalf("Needs: %d chunks of metadata are missing", len(meta))
	}
	s.gets = 0
	if err := NewReader(root, s.get).Needs(func(Need) (bool, error) { return false, nil }); err != nil || s.gets > 0 {
		t.Fatalf("Needs, of nothing: got %v, and %d chunks were read", err, s.gets)
	}
}

// checkMetaIDs holds that MetaIDs are exactly what reading everything reads.
func checkMetaIDs(t *testing.T, root Root, s *store) {
	t.Helper()
	want := make(map[objects.ID]bool)
	r := NewReader(root, func(id objects.ID) ([]byte, error) {
		want[id] = true
		return s.get(id)
	})
	for e, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range r.Extents(&e.Content) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	checkNeeds(t, root, s, maps.Clone(want))
	for id, err := range NewReader(root, s.get).MetaIDs() {
		if err != nil || !want[id] {
			t.Fatalf("MetaIDs: got %s, %v; nobody reads it, or it came twice", id, err)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Fatalf("MetaIDs: %d are missing", len(want))
	}
}

func childrenOf(entries []*Entry, dir string) []*Entry {
	var c []*Entry
	for _, e := range entries {
		if e.Path[:max(0, strings.LastIndexByte(e.Path, '/'))] == dir {
			c = append(c, e)
		}
	}
	return c
}

func collect(t *testing.T, seq iter.Seq2[*Entry, error]) []*Entry {
	t.Helper()
	var got []*Entry
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Clone())
	}
	return got
}

func checkEntries(t *testing.T, what string, want, got []*Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d entries, want %d", what, len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%s: got %+v, want %+v", what, got[i], want[i])
		}
	}
}

// randomTree returns entries with everything that an entry can have; lists of
// extents go to put.
func randomTree(t *testing.T, rnd *rand.Rand, put Put) []*Entry {
	t.Helper()
	g := generator{t, rnd, put}
	dirs := []string{""}
	var entries []*Entry
	for range 1 + rnd.IntN(600) {
		dir := dirs[rnd.IntN(len(dirs))]
		e := g.entry(strings.TrimPrefix(dir+"/"+g.name(), "/"))
		if len(e.Path) > pathMax {
			continue
		}
		entries = append(entries, e)
		if e.Type == Dir {
			dirs = append(dirs, e.Path)
		}
	}
	return inParents(inOrder(entries))
}

// inParents drops entries below one that is not a directory.
func inParents(entries []*Entry) []*Entry {
	var kept []*Entry
	var s step
	for _, e := range entries {
		if s.check(e.Path, commonPrefix(s.path, e.Path)) == nil {
			kept = append(kept, e)
			s = step{e.Path, e.Type == Dir}
		}
	}
	return kept
}

type generator struct {
	t   *testing.T
	rnd *rand.Rand
	put Put
}

func (g generator) name() string {
	fixed := []string{"a", "a.txt", "a-b", "b", "new\nline", "\xff\xfe", "\x01", "...", " ", "\x7f", "ü"}
	switch g.rnd.IntN(40) {
	case 0:
		return strings.Repeat("long", 4000+g.rnd.IntN(12383))
	case 1, 2, 3, 4, 5, 6, 7, 8:
		return fixed[g.rnd.IntN(len(fixed))]
	}
	return fmt.Sprintf("%x", g.rnd.Uint32())
}

func (g generator) time() Time {
	secs := []int64{0, -1, -5_000_000_000, 1_700_000_000, 20_000_000_000, math.MinInt64, math.MaxInt64}
	return Time{secs[g.rnd.IntN(len(secs))], g.rnd.Uint32N(1e9)}
}

func (g generator) one(n int) bool { return g.rnd.IntN(n) == 0 }

func (g generator) entry(path string) *Entry {
	types := []Type{File, File, File, File, Dir, Dir, Symlink, CharDevice, BlockDevice, Fifo}
	e := &Entry{
		Path: path, Type: types[g.rnd.IntN(len(types))], Mode: uint16(g.rnd.IntN(2)*0o7777) &^ 0o22,
		Owner:   Owner{UID: g.rnd.Uint32N(2) * math.MaxUint32, User: []string{"", "root", "n\xff"}[g.rnd.IntN(3)]},
		ModTime: g.time(), Inode: g.rnd.Uint64() >> g.rnd.IntN(64),
		HasAccessTime: g.one(3), HasBirthTime: g.one(3), HasLink: g.one(5),
		Racy: g.one(9), Partial: g.one(9), Changed: g.one(9),
	}
	e.ChangeTime = e.ModTime
	if g.one(2) {
		e.ChangeTime = g.time()
	}
	if e.HasAccessTime {
		e.AccessTime = g.time()
	}
	if e.HasBirthTime {
		e.BirthTime = g.time()
	}
	if e.HasLink {
		id := randomID(g.rnd)
		e.Link = Link(id[:16])
	}
	g.attributes(e)
	switch e.Type {
	case File:
		e.Content = g.content()
		e.Size = e.Content.Size()
	case Symlink:
		e.Target = g.name()
	case CharDevice, BlockDevice:
		e.Major, e.Minor = g.rnd.Uint32(), g.rnd.Uint32N(3)
	}
	return e
}

func (g generator) attributes(e *Entry) {
	if g.one(6) {
		e.Xattrs = []Xattr{{Name: "security.capability", Value: []byte("value")}, {Name: "user.a", Value: make([]byte, 1+g.rnd.IntN(XattrMax))}}
	}
	if g.one(20) {
		c, err := PutContent([]Extent{g.data(XattrMax + 1)}, g.put)
		if err != nil {
			g.t.Fatal(err)
		}
		e.Xattrs = append(e.Xattrs, Xattr{Name: "user.b", Spilled: &c})
	}
	if g.one(6) {
		e.Attrs = []Attr{{Tag: 1, Value: []byte("acl")}, {Tag: math.MaxUint64, Value: []byte("from a later version")}}
	}
}

func (g generator) data(n uint64) Extent { return Extent{Len: n, ID: randomID(g.rnd)} }

func (g generator) content() Content {
	switch g.rnd.IntN(8) {
	case 0:
		return Content{}
	case 1:
		return InlineContent(make([]byte, 1+g.rnd.IntN(InlineMax)))
	case 2, 3, 4:
		return Content{Form: Chunk, Extents: []Extent{g.data(chunkMax)}}
	}
	n := 1 + g.rnd.IntN(100)
	if g.one(10) {
		n = 20_000
	}
	w := NewContentWriter(g.put)
	for range n {
		x := g.data(1 + g.rnd.Uint64N(chunkMax))
		if g.one(3) {
			x = Extent{Len: 1 << 40, Hole: true}
		}
		if err := w.Add(x); err != nil {
			g.t.Fatal(err)
		}
	}
	c, err := w.Finish()
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}
