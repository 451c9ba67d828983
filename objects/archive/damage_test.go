package archive

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"
	"cairn/objects/wire"
)

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	dir := func(p string) *Entry { return &Entry{Path: p, Type: Dir} }
	file := func(p string) *Entry { return &Entry{Path: p, Type: File} }
	s := newStore()
	w := NewWriter(testSeed, s.put)
	add := func(e *Entry, want error) {
		t.Helper()
		if err := w.Add(e); !errors.Is(err, want) {
			t.Errorf("add %.20q: got %v, want %v", e.Path, err, want)
		}
	}
	add(dir("a/b"), ErrParent)
	add(dir("/a"), ErrPath)
	add(dir(""), ErrPath)
	add(dir("b"), nil)
	add(dir("b"), ErrOrder)
	add(dir("a"), ErrOrder)
	add(file("b/f"), nil)
	add(file("b/f/g"), ErrParent)
	add(file("b/g/h"), ErrParent)
	add(file("c/.."), ErrPath)
	add(file("b/e"), ErrOrder)
	add(&Entry{Path: "c", Type: 's'}, errType)
	add(&Entry{Path: "c", Type: File, Mode: 0o10000}, errMode)
	add(&Entry{Path: "c", Type: File, ModTime: Time{0, 1e9}}, errTime)
	add(&Entry{Path: "c", Type: File, Size: 1}, errSize)
	add(&Entry{Path: "c", Type: Dir, Size: 1}, errForeign)
	add(&Entry{Path: "c", Type: Dir, Target: "x"}, errForeign)
	add(&Entry{Path: "c", Type: File, Major: 1}, errForeign)
	add(&Entry{Path: "c", Type: Fifo, Content: InlineContent([]byte("x"))}, errForeign)
	add(&Entry{Path: "c", Type: File, Xattrs: []Xattr{{Name: "b"}, {Name: "a"}}}, errXattr)
	add(&Entry{Path: "c", Type: File, Xattrs: []Xattr{{Name: "b", Value: make([]byte, XattrMax+1)}}}, errXattrSize)
	add(&Entry{Path: "c", Type: File, Attrs: []Attr{{Tag: 2}, {Tag: 2}}}, errAttr)
	add(&Entry{Path: "c", Type: File, Attrs: []Attr{{Value: make([]byte, entryMax)}}}, errEntrySize)
	add(file("c"), nil)
	root, err := w.Finish()
	if err != nil || root.Entries != 3 || root.Files != 2 || root.Dirs != 1 {
		t.Errorf("got %+v, %v", root, err)
	}
	if got := collect(t, NewReader(root, s.get).All()); len(got) != 3 {
		t.Errorf("got %d entries, want 3", len(got))
	}
}

func TestWriterHandsUpErrors(t *testing.T) {
	t.Parallel()
	entries := usr(2000)
	w := NewWriter(testSeed, func([]byte) (objects.ID, error) { return objects.ID{}, errLost })
	var err error
	for _, e := range entries {
		if err = w.Add(e); err != nil {
			break
		}
	}
	if !errors.Is(err, errLost) {
		t.Errorf("Add: got %v, want the error of put", err)
	}
	if _, err := w.Finish(); !errors.Is(err, errLost) {
		t.Errorf("Finish: got %v, want the error of put", err)
	}
}

func TestEmptyArchive(t *testing.T) {
	t.Parallel()
	s := newStore()
	r := NewReader(write(t, nil, s.put), s.get)
	for e, err := range r.All() {
		t.Errorf("got %v, %v, want nothing", e, err)
	}
	if _, err := r.Lookup("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Lookup: got %v, want ErrNotFound", err)
	}
}

func TestReadsPerQuestion(t *testing.T) {
	t.Parallel()
	entries := usr(100_000)
	s := newStore()
	root := write(t, entries, s.put)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		s.gets = 0
		path := entries[rnd.IntN(len(entries))].Path
		if rnd.IntN(2) == 0 {
			path += "~" // not there
		}
		_, _ = NewReader(root, s.get).Lookup(path)
		if s.gets != int(root.Level)+1 {
			t.Fatalf("Lookup: got %d reads, want %d", s.gets, root.Level+1)
		}
	}
	s.gets = 0
	children := collect(t, NewReader(root, s.get).Children("usr"))
	if len(children) != 1 || s.gets > 2*(int(root.Level)+1) {
		t.Errorf("children of usr: got %d with %d reads", len(children), s.gets)
	}
	r := NewReader(root, s.get)
	for _, err := range r.Children("usr/nothing") {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
	for _, err := range r.Children(entries[slices.IndexFunc(entries, func(e *Entry) bool { return e.Type == File })].Path) {
		if !errors.Is(err, ErrNotDir) {
			t.Errorf("got %v, want ErrNotDir", err)
		}
	}
}

// leafOf returns the ID of the leaf that holds path.
func leafOf(t *testing.T, root Root, s *store, path string) objects.ID {
	t.Helper()
	var last objects.ID
	_, err := NewReader(root, func(id objects.ID) ([]byte, error) {
		last = id
		return s.get(id)
	}).Lookup(path)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// A node that cannot be read costs its range, which the error names.
func TestLostNodeLeavesTheRest(t *testing.T) {
	t.Parallel()
	entries := usr(50_000)
	for _, damage := range []string{"lost", "cut short", "of another level", "of another place"} {
		s := newStore()
		root := write(t, entries, s.put)
		id := leafOf(t, root, s, entries[20_000].Path)
		switch damage {
		case "lost":
			delete(s.chunks, id)
		case "cut short":
			s.chunks[id] = s.chunks[id][:len(s.chunks[id])-1]
		case "of another level":
			s.chunks[id] = s.chunks[root.ID]
		case "of another place":
			s.chunks[id] = s.chunks[leafOf(t, root, s, entries[40_000].Path)]
		}
		var broken *NodeError
		got := make(map[string]bool)
		for e, err := range NewReader(root, s.get).All() {
			if err == nil {
				got[e.Path] = true
			} else if broken != nil || !errors.As(err, &broken) || broken.ID != id || objects.IsCorrupt(err) != (damage != "lost") {
				t.Fatalf("%s: got %v", damage, err)
			}
		}
		if broken == nil {
			t.Fatalf("%s: got no error", damage)
		}
		for _, e := range entries {
			in := ComparePaths(e.Path, broken.From) >= 0 && ComparePaths(e.Path, broken.To) < 0
			if !in && !got[e.Path] {
				t.Fatalf("%s: %q is outside of %q to %q and was not read", damage, e.Path, broken.From, broken.To)
			}
		}
		// What comes before the cut can still be read.
		_, err := NewReader(root, s.get).Lookup(entries[20_000].Path)
		if damage != "cut short" && !errors.As(err, &broken) {
			t.Errorf("%s: Lookup: got %v, want a NodeError", damage, err)
		}
	}
}

func TestReaderChecksCounts(t *testing.T) {
	t.Parallel()
	s := newStore()
	good := write(t, usr(3000), s.put)
	for _, change := range []func(*Root){
		func(r *Root) { r.Entries++ }, func(r *Root) { r.Files++ }, func(r *Root) { r.Dirs-- },
		func(r *Root) { r.Size++ }, func(r *Root) { r.Level++ }, func(r *Root) { r.Level = 0 }, func(r *Root) { r.Level = 255 },
	} {
		root := good
		change(&root)
		errs := 0
		for _, err := range NewReader(root, s.get).All() {
			if err != nil {
				errs++
				if !objects.IsCorrupt(err) {
					t.Errorf("%+v: got %v, want damage", root, err)
				}
			}
		}
		if errs != 1 {
			t.Errorf("%+v: got %d errors, want 1", root, errs)
		}
	}
}

// Nodes that refer to each other end where levels do, and where sums do not add
// up.
func TestCycle(t *testing.T) {
	t.Parallel()
	self := objects.ID{1}
	n := node{}
	n.reset()
	n.addItem(item{"a", self, 1, 0})
	n.addItem(item{"b", self, 1, 0})
	plain := slices.Clone(n.plain(5))
	gets := 0
	get := func(objects.ID) ([]byte, error) {
		gets++
		return plain, nil
	}
	for _, err := range NewReader(Root{ID: self, Level: 5, Entries: 2}, get).All() {
		if !objects.IsCorrupt(err) {
			t.Fatalf("got %v, want damage", err)
		}
	}
	if gets > 3 {
		t.Errorf("got %d reads", gets)
	}
}

// A count says nothing about how much to allocate.
func TestHugeCounts(t *testing.T) {
	t.Parallel()
	for level := range uint8(2) {
		plain := wire.AppendUvarint([]byte{level}, 1<<60)
		get := func(objects.ID) ([]byte, error) { return plain, nil }
		for _, err := range NewReader(Root{Level: level, Entries: 1 << 60}, get).All() {
			if !objects.IsCorrupt(err) {
				t.Errorf("level %d: got %v, want damage", level, err)
			}
		}
	}
}
