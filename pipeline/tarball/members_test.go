package tarball

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cairn/objects"
	"cairn/objects/archive"
)

func TestCleanName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		".": "", "./": "", "/": "", "./a": "a", "a/": "a", "/a//b/.": "a/b", "a/./b": "a/b", "..a": "..a", "a..": "a..",
	} {
		if got, err := cleanName(name); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"..", "../a", "a/..", "a/../b", "/..", "./../a"} {
		if got, err := cleanName(name); !errors.Is(err, errOutside) {
			t.Errorf("%q: got %q, %v; want that it is refused", name, got, err)
		}
	}
	if _, err := cleanName(strings.Repeat("a", 70000)); !errors.Is(err, errLongName) {
		t.Errorf("got %v for a name of 70000 bytes", err)
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("a/./b//c/")
	f.Add("/../x")
	f.Fuzz(func(t *testing.T, name string) {
		if path, err := cleanName(name); err == nil && path != "" && archive.CheckPath(path) != nil {
			t.Fatalf("%q becomes %q, which no archive takes", name, path)
		}
	})
}

// paths runs tree, with a real writer, and returns what was added and refused.
func paths(t *testing.T, m *members) (added, refused []string) {
	t.Helper()
	w := archive.NewWriter(1, func([]byte) (objects.ID, error) { return objects.ID{1}, nil })
	err := m.tree(func(e *archive.Entry) error {
		added = append(added, e.Path)
		return w.Add(e)
	}, func(path string, _ error) { refused = append(refused, path) })
	if err != nil {
		t.Fatal(err)
	}
	return added, refused
}

// sizes are how much members may take in memory: all of it, and nothing, so that
// every one is spilled.
var sizes = map[string]int{"in memory": 0, "spilled": 1}

func newMembers(t *testing.T, size int) *members {
	m := &members{sorted: sorted{max: size}}
	t.Cleanup(func() {
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *members) mustPut(t *testing.T, list ...archive.Entry) {
	t.Helper()
	for i := range list {
		if err := m.put(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *members) mustFind(t *testing.T, path string) *archive.Entry {
	t.Helper()
	e, err := m.find(path)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func entryOf(path string, is archive.Type) archive.Entry {
	e := archive.Entry{Path: path, Type: is}
	if is == archive.Symlink {
		e.Target = "/etc"
	}
	return e
}

func TestTree(t *testing.T) {
	t.Parallel()
	for name, size := range sizes {
		m := newMembers(t, size)
		for path, is := range map[string]archive.Type{
			"b/c/d": archive.File, "b/c/e/f": archive.File, "b-": archive.File, "a": archive.Dir, "a/x": archive.Dir,
			"link": archive.Symlink, "link/passwd": archive.File, "link/dir": archive.Dir, "link/dir/file": archive.File, "link2": archive.File,
		} {
			m.mustPut(t, entryOf(path, is))
		}
		added, refused := paths(t, m)
		if want := []string{"a", "a/x", "b", "b/c", "b/c/d", "b/c/e", "b/c/e/f", "b-", "link", "link2"}; !slices.Equal(added, want) {
			t.Errorf("%s: added %q, want %q", name, added, want)
		}
		if want := []string{"link/dir", "link/dir/file", "link/passwd"}; !slices.Equal(refused, want) {
			t.Errorf("%s: refused %q, want %q", name, refused, want)
		}
	}
}

// TestLinks holds that a hard link is another name of what its target was when
// it came, whatever has that name later.
func TestLinks(t *testing.T) {
	t.Parallel()
	for name, size := range sizes {
		m := newMembers(t, size)
		a := entryOf("a", archive.File)
		a.Mode = 0o600
		m.mustPut(t, a, entryOf("dir", archive.Dir))
		for _, path := range []string{"b", "c"} {
			if refused, err := m.link(path, "./a"); refused != nil || err != nil {
				t.Fatal(refused, err)
			}
		}
		if first := m.mustFind(t, "a"); !first.HasLink {
			t.Errorf("%s: the target is not one of the set", name)
		}
		m.mustPut(t, entryOf("a", archive.Symlink))
		b, c := m.mustFind(t, "b"), m.mustFind(t, "c")
		if b.Mode != 0o600 || !b.HasLink || b.Link != c.Link || b.Path != "b" {
			t.Errorf("%s: got %+v and %+v", name, b, c)
		}
		if m.mustFind(t, "a").HasLink {
			t.Errorf("%s: what took the name is one of the set", name)
		}
		for target, want := range map[string]error{"nowhere": errTarget, "dir": errLinkDir, "/": errTarget} {
			if refused, err := m.link("d", target); !errors.Is(refused, want) || err != nil {
				t.Errorf("%s: %s: got %v, %v, want %v", name, target, refused, err, want)
			}
		}
		if refused, err := m.link("d", "../secret"); refused == nil || err != nil || m.mustFind(t, "d") != nil {
			t.Errorf("%s: a hard link leads out", name)
		}
	}
}

// TestSpilled holds that entries come back as they were, the last of each path,
// whichever of them were in memory.
func TestSpilled(t *testing.T) {
	t.Parallel()
	m := newMembers(t, 40*entrySize)
	want := map[string]archive.Entry{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		e := entryOf(fmt.Sprintf("f%03d", rnd.IntN(700)), archive.File)
		e.Mode, e.ModTime = uint16(i%4096), archive.Time{Sec: int64(i), Nsec: 7}
		e.Owner = archive.Owner{UID: uint32(i), User: "ada", Group: "users"}
		e.Content = archive.InlineContent(fmt.Append(nil, i))
		e.Size = e.Content.Size()
		if i%3 == 0 {
			e.Xattrs = []archive.Xattr{{Name: "user.n", Value: fmt.Append(nil, -i)}}
		}
		m.mustPut(t, e)
		want[e.Path] = e
	}
	if len(m.runs) < 50 {
		t.Errorf("got %d runs, want more: nothing was tested", len(m.runs))
	}
	n, before := 0, ""
	for e, err := range m.all() {
		if err != nil {
			t.Fatal(err)
		}
		if w := want[e.Path]; !e.Equal(&w) || e.Path <= before {
			t.Fatalf("behind %q: got %+v, want %+v", before, e, w)
		}
		if found := m.mustFind(t, e.Path); !found.Equal(e) {
			t.Fatalf("found %+v, want %+v", found, e)
		}
		n, before = n+1, e.Path
	}
	if n != len(want) {
		t.Errorf("got %d entries, want %d", n, len(want))
	}
	for _, path := range []string{"a", "f0005", "z"} {
		if e := m.mustFind(t, path); e != nil {
			t.Errorf("found %+v for %q", e, path)
		}
	}
}

// FuzzTree holds that whatever the names, what is added is an archive, and the
// same whether members are in memory or not.
func FuzzTree(f *testing.F) {
	f.Add("a/b/c\na\nlink@\nlink/x")
	f.Add("a@\na/b/c\na/b")
	f.Fuzz(func(t *testing.T, text string) {
		var lists [][]string
		for _, size := range sizes {
			m := newMembers(t, size)
			for name := range strings.SplitSeq(text, "\n") {
				target, isLink := strings.CutSuffix(name, "@")
				path, err := cleanName(target)
				if err != nil || path == "" {
					continue
				}
				e := entryOf(path, archive.Dir)
				if isLink {
					e = entryOf(path, archive.Symlink)
				}
				m.mustPut(t, e)
			}
			added, refused := paths(t, m) // the writer refuses what is not in order, or has no parent
			lists = append(lists, added, refused)
		}
		if !slices.Equal(lists[0], lists[2]) || !slices.Equal(lists[1], lists[3]) {
			t.Errorf("in memory and spilled differ: %q", lists)
		}
	})
}
