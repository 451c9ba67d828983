package restore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/pipeline/restore"
)

// mount puts a small empty file system on dir.
func mount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func TestTargetFull(t *testing.T) {
	t.Parallel()
	target := t.TempDir()
	mount(t, target)
	s := newStore(t)
	for i := range 4 {
		s.file(fmt.Sprintf("f%d", i), noise(uint64(i), 400_000))
	}
	_, _, _, err := try(t, s, restore.Options{Target: target})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
}

// TestLinkFails holds that a member on another file system is a copy, and that
// it can be linked to no more than the others there.
func TestLinkFails(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "target")
	must(t, os.MkdirAll(filepath.Join(target, "c"), 0o755))
	mount(t, filepath.Join(target, "c"))
	for _, size := range []int{0, 3000, 200_000} {
		s := newStore(t)
		p := noise(1, size)
		for _, path := range []string{"a/first", "c/copy", "d/link"} {
			s.add(linked(path, 1, s.content(p)))
		}
		_, sum, w := run(t, s, restore.Options{Target: target})
		none(t, w)
		if sum.Files != 3 || sum.Links != 1 {
			t.Errorf("got %+v", sum)
		}
		sameFile(t, target, "a/first", "d/link")
		sameFile(t, target, "c/copy")
		content(t, filepath.Join(target, "c/copy"), p)
	}
}
