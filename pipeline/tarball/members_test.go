package tarball

import (
	"errors"
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

func membersOf(types map[string]archive.Type) *members {
	m := &members{latest: map[string]*archive.Entry{}}
	for path, typ := range types {
		e := &archive.Entry{Path: path, Type: typ}
		if typ == archive.Symlink {
			e.Target = "/etc"
		}
		m.add(e)
	}
	return m
}

func TestTree(t *testing.T) {
	t.Parallel()
	m := membersOf(map[string]archive.Type{
		"b/c/d": archive.File, "b/c/e/f": archive.File, "b-": archive.File, "a": archive.Dir, "a/x": archive.Dir, "z/": archive.File,
		"link": archive.Symlink, "link/passwd": archive.File, "link/dir": archive.Dir, "link/dir/file": archive.File, "link2": archive.File,
	})
	delete(m.latest, "z/")
	added, refused := paths(t, m)
	if want := []string{"a", "a/x", "b", "b/c", "b/c/d", "b/c/e", "b/c/e/f", "b-", "link", "link2"}; !slices.Equal(added, want) {
		t.Errorf("added %q, want %q", added, want)
	}
	if want := []string{"link/dir", "link/dir/file", "link/passwd"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q, want %q", refused, want)
	}
}

// TestLinks holds that a hard link is another name of what its target was when
// it came, whatever has that name later.
func TestLinks(t *testing.T) {
	t.Parallel()
	m := membersOf(map[string]archive.Type{"a": archive.File, "dir": archive.Dir})
	m.latest["a"].Mode = 0o600
	for _, path := range []string{"b", "c"} {
		if err := m.link(path, "./a"); err != nil {
			t.Fatal(err)
		}
	}
	m.add(&archive.Entry{Path: "a", Type: archive.Symlink, Target: "x"})
	b, c := m.latest["b"], m.latest["c"]
	if b.Mode != 0o600 || !b.HasLink || b.Link != c.Link || b.Path != "b" {
		t.Errorf("got %+v and %+v", b, c)
	}
	if m.latest["a"].HasLink {
		t.Error("what took the name is one of the set")
	}
	for target, want := range map[string]error{"nowhere": errTarget, "dir": errLinkDir, "/": errTarget} {
		if err := m.link("d", target); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", target, err, want)
		}
	}
	if err := m.link("d", "../secret"); err == nil || m.latest["d"] != nil {
		t.Error("a hard link leads out")
	}
}

// FuzzTree holds that whatever the names, what is added is an archive.
func FuzzTree(f *testing.F) {
	f.Add("a/b/c\na\nlink@\nlink/x")
	f.Add("a@\na/b/c\na/b")
	f.Fuzz(func(t *testing.T, text string) {
		m := &members{latest: map[string]*archive.Entry{}}
		for name := range strings.SplitSeq(text, "\n") {
			target, isLink := strings.CutSuffix(name, "@")
			path, err := cleanName(target)
			if err != nil || path == "" {
				continue
			}
			e := &archive.Entry{Path: path, Type: archive.Dir}
			if isLink {
				e.Type, e.Target = archive.Symlink, "/"
			}
			m.add(e)
		}
		paths(t, m) // the writer refuses what is not in order, or has no parent
	})
}
