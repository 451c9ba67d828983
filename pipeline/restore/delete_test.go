package restore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// grow makes empty files, and with a slash at the end directories, below dir.
func grow(t *testing.T, dir string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		full := filepath.Join(dir, path)
		if strings.HasSuffix(path, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, nil, 0o644))
	}
}

// tree returns what is below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			paths = append(paths, rel)
		}
		return err
	}))
	return paths
}

func always(string) bool { return true }

func TestDelete(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	grow(t, target, "top", "a/f", "a/extra", "a/b/", "a/gone/deep/er/f", "a/gone/g", "other/f", "z/f")
	must(t, os.Symlink("a", filepath.Join(target, "a/gone/link")), os.Symlink("/nowhere", filepath.Join(target, "a/dangling")))
	s := newStore(t)
	s.file("a/f", noise(1, 100))
	s.file("a/b.txt", noise(2, 100))
	s.file("a/b/x", noise(3, 300<<10))
	var l listing
	_, sum, w := run(t, s, restore.Options{Target: target, List: l.add,
		Delete: func(dir string) bool { return dir == "a" || strings.HasPrefix(dir, "a/") }})
	none(t, w)
	if got, want := tree(t, target), []string{"a", "a/b", "a/b/x", "a/b.txt", "a/f", "other", "other/f", "top", "z", "z/f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if sum.Deleted != 8 || !slices.Contains(l.lines, "D a/gone/deep/er") {
		t.Errorf("got %+v, %q", sum, l.lines)
	}

	// The target itself is a directory like others.
	_, _, w = run(t, s, restore.Options{Target: target, Delete: always})
	none(t, w)
	if got, want := tree(t, target), []string{"a", "a/b", "a/b/x", "a/b.txt", "a/f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDeleteChosen: only what would be restored is removed.
func TestDeleteChosen(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	grow(t, target, "a/extra", "a/kept.o", "a/d/x", "a/d/kept.o", "a/e/x", "b/extra", "extra")
	s := newStore(t)
	s.file("a/f", noise(1, 100))
	s.file("b/f", noise(2, 100))
	s.file("b/kept.o", noise(3, 100))
	choose := func(path string, is archive.Type) restore.Choice {
		switch {
		case strings.HasSuffix(path, ".o"):
			return restore.Skip
		case path == "a", strings.HasPrefix(path, "a/"):
			return restore.Take
		}
		return restore.Skip
	}
	_, _, w := run(t, s, restore.Options{Target: target, Select: choose, Delete: func(dir string) bool { return dir != "" }})
	none(t, w)
	if got, want := tree(t, target), []string{"a", "a/d", "a/d/kept.o", "a/f", "a/kept.o", "b", "b/extra", "extra"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDeleteProtected: cairn's own is never removed, by whatever name, nor made
// room of.
func TestDeleteProtected(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	grow(t, target, "a/gone/repo/packs/x", "a/gone/y", "a/key", "repo2/packs/z")
	s := newStore(t)
	s.add(archive.Entry{Path: "a", Type: archive.Dir, Mode: 0o755})
	s.file("repo2", noise(1, 100))
	protected := []string{filepath.Join(target, "a/gone/repo"), filepath.Join(target, "a/key"), filepath.Join(target, "repo2"), "/nowhere/at/all", ""}
	_, sum, w := run(t, s, restore.Options{Target: target, Delete: always, Protected: protected})
	if want := []string{"a/gone/repo", "a/key", "repo2", "repo2"}; !slices.Equal(slices.Sorted(slices.Values(w.paths)), want) || sum.Failed != 1 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	want := []string{"a", "a/gone", "a/gone/repo", "a/gone/repo/packs", "a/gone/repo/packs/x", "a/key", "repo2", "repo2/packs", "repo2/packs/z"}
	if got := tree(t, target); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDeleteFollowsNothing plants links to what lies outside of the target.
func TestDeleteFollowsNothing(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	target, outside := filepath.Join(base, "target"), filepath.Join(base, "outside")
	grow(t, base, "outside/secret", "outside/d/f", "target/a/")
	for _, name := range []string{"a/link", "a/d", "top"} {
		must(t, os.Symlink(outside, filepath.Join(target, name)))
	}
	must(t, os.Symlink("../../outside/d", filepath.Join(target, "a/relative")), os.Link(filepath.Join(outside, "secret"), filepath.Join(target, "a/hard")))
	s := newStore(t)
	s.file("a/f", noise(1, 100))
	_, _, w := run(t, s, restore.Options{Target: target, Delete: always})
	none(t, w)
	if got, want := tree(t, target), []string{"a", "a/f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := tree(t, outside), []string{"d", "d/f", "secret"}; !slices.Equal(got, want) {
		t.Errorf("outside: got %q, want %q", got, want)
	}
}

// TestDeleteSwapped swaps the directory that is being restored for a link that
// leads out, before it is cleared.
func TestDeleteSwapped(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	target, outside := filepath.Join(base, "target"), filepath.Join(base, "outside")
	grow(t, base, "outside/f", "outside/d/g", "target/top/d/extra")
	s := newStore(t)
	for i := range uint64(300) { // more directories than are held open, so that d must be opened again
		s.file(fmt.Sprintf("top/d/sub%03d/f", i), noise(i, 300))
	}
	var once bool
	s.onRead = func(objects.ID, int) error {
		if !once {
			once = true
			must(t, os.Rename(filepath.Join(target, "top"), filepath.Join(target, "moved")), os.Symlink(outside, filepath.Join(target, "top")))
		}
		return nil
	}
	_, _, _, err := try(t, s, restore.Options{Target: target, Workers: 1, Delete: func(dir string) bool { return dir != "" }})
	must(t, err)
	if got, want := tree(t, outside), []string{"d", "d/g", "f"}; !slices.Equal(got, want) {
		t.Errorf("outside: got %q, want %q", got, want)
	}
}

// TestDeleteRaced lets somebody swap directories of the target for links to the
// outside, again and again, while they are cleared.
func TestDeleteRaced(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	target, outside := filepath.Join(base, "target"), filepath.Join(base, "outside")
	grow(t, base, "outside/f", "outside/sub/g", "target/a/")
	s := newStore(t)
	s.file("a/f", noise(1, 100))
	root := s.finish()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		swap, real := filepath.Join(target, "a/x"), filepath.Join(base, "real")
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.MkdirAll(filepath.Join(real, "sub"), 0o755)
			_ = os.WriteFile(filepath.Join(real, "sub/g"), nil, 0o644)
			_ = os.Rename(real, swap)
			_ = os.Rename(swap, real)
			_ = os.Symlink(outside, swap)
			_ = os.Remove(swap)
		}
	}()
	for range 200 {
		_, err := restore.Run(t.Context(), s.source(), root, restore.Options{Target: target, Delete: always, Overwrite: restore.Never})
		must(t, err)
	}
	close(stop)
	<-done
	if got, want := tree(t, outside), []string{"f", "sub", "sub/g"}; !slices.Equal(got, want) {
		t.Errorf("outside: got %q, want %q", got, want)
	}
}

// TestDeleteOfDamaged: where the archive cannot be read it does not say what it
// lacks, and nothing is removed.
func TestDeleteOfDamaged(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	s := newStore(t)
	for i := range uint64(3000) {
		s.file(fmt.Sprintf("d/%04d", i), noise(i, 10))
	}
	root := s.finish()
	grow(t, target, "d/extra", "d/0000x", "d/2999x")
	source := s.source()
	get, n := source.Meta, 0
	source.Meta = func(id objects.ID) ([]byte, error) {
		if n++; n == 3 { // neither the root nor the first leaf
			return nil, errors.New("lost")
		}
		return get(id)
	}
	sum, err := restore.Run(t.Context(), source, root, restore.Options{Target: target, Delete: always})
	must(t, err)
	if sum.Deleted != 0 || sum.Failed == 0 {
		t.Errorf("got %+v", sum)
	}
	if _, err := os.Lstat(filepath.Join(target, "d/0000x")); err != nil {
		t.Error(err)
	}
}
