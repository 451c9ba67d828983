package restore_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/restore"
)

// TestDeleteStopsAtMounts: what is mounted below a directory is not the
// archive's business.
func TestDeleteStopsAtMounts(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	target := t.TempDir()
	grow(t, target, "a/gone/mnt/", "a/gone/f", "a/file")
	mnt := filepath.Join(target, "a/gone/mnt")
	must(t, unix.Mount("cairn-test", mnt, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(mnt, 0)) })
	grow(t, mnt, "precious")
	s := newStore(t)
	s.add(archive.Entry{Path: "a", Type: archive.Dir, Mode: 0o755})
	_, sum, w := run(t, s, restore.Options{Target: target, Delete: always})
	if !slices.Equal(w.paths, []string{"a/gone/mnt"}) || sum.Deleted != 2 {
		t.Errorf("got %+v and\n%s", sum, w)
	}
	if got, want := tree(t, target), []string{"a", "a/gone", "a/gone/mnt", "a/gone/mnt/precious"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
