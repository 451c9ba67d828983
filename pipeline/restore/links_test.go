package restore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

func linked(path string, n byte, c archive.Content) archive.Entry {
	return archive.Entry{Path: path, HasLink: true, Link: archive.Link{n}, Content: c, ModTime: archive.Time{Sec: 1_400_000_000}}
}

func sameFile(t *testing.T, target string, paths ...string) {
	t.Helper()
	first := stat(t, filepath.Join(target, paths[0]))
	for _, path := range paths[1:] {
		if st := stat(t, filepath.Join(target, path)); st.Ino != first.Ino {
			t.Errorf("%s is not the same file as %s", path, paths[0])
		}
	}
	if int(first.Nlink) != len(paths) {
		t.Errorf("%s: got %d links, want %d", paths[0], first.Nlink, len(paths))
	}
}

func TestHardLinks(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	small, large := noise(1, 1000), noise(2, 5_000_000)
	for i := range 5 {
		s.add(linked(fmt.Sprintf("d%d/small", i), 1, s.content(small)))
		s.add(linked(fmt.Sprintf("d%d/large", i), 2, s.content(large)))
		s.add(linked(fmt.Sprintf("d%d/empty", i), 3, s.content(nil)))
		s.add(archive.Entry{Path: fmt.Sprintf("d%d/link", i), Type: archive.Symlink, Target: "x", HasLink: true, Link: archive.Link{4}})
		s.file(fmt.Sprintf("d%d/alone", i), small)
	}
	target := filepath.Join(t.TempDir(), "target")
	for range 2 { // the second time in the place of the first
		_, sum, w := run(t, s, restore.Options{Target: target})
		none(t, w)
		if sum.Files != 20 || sum.Others != 5 || sum.Links != 16 {
			t.Errorf("got %+v", sum)
		}
		for _, name := range []string{"small", "large", "empty", "link"} {
			var paths []string
			for i := range 5 {
				paths = append(paths, fmt.Sprintf("d%d/%s", i, name))
			}
			sameFile(t, target, paths...)
		}
		content(t, filepath.Join(target, "d4/small"), small)
		content(t, filepath.Join(target, "d4/large"), large)
		if st := stat(t, filepath.Join(target, "d4/large")); st.Mtim.Sec != 1_400_000_000 {
			t.Errorf("got mtime %v", st.Mtim)
		}
	}
}

// TestFirstLinkFails holds that the other members do without the first one.
func TestFirstLinkFails(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1000, 5_000_000} {
		s := newStore(t)
		p := noise(1, size)
		for _, path := range []string{"a", "b", "c/d", "e"} {
			s.add(linked(path, 1, s.content(p)))
		}
		target := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(target, "a", "full"), 0o755))
		_, sum, w := run(t, s, restore.Options{Target: target})
		if len(w.paths) != 1 || w.paths[0] != "a" || sum.Failed != 1 || sum.Files != 3 {
			t.Errorf("%d bytes: got %+v and\n%s", size, sum, w)
		}
		sameFile(t, target, "b", "c/d", "e")
		content(t, filepath.Join(target, "e"), p)
	}
}

// TestOneLink holds that a member that is restored alone has its content.
func TestOneLink(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	p := noise(1, 3000)
	s.add(linked("a/first", 1, s.content(p)))
	s.add(linked("c/later", 1, s.content(p)))
	target, sum, w := run(t, s, restore.Options{Select: only("c/later")})
	none(t, w)
	missing(t, filepath.Join(target, "a"))
	content(t, filepath.Join(target, "c/later"), p)
	if sum.Links != 0 {
		t.Errorf("got %d links, want none", sum.Links)
	}
}
