package walk

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOneFileSystem: every root has a file system of its own, whose mount
// points are delivered empty.
func TestOneFileSystem(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	top := t.TempDir()
	must(t, os.MkdirAll(top+"/a/mnt", 0o755), os.WriteFile(top+"/a/f", nil, 0o644), os.WriteFile(top+"/a/bound", nil, 0o644))
	mount := func(source, target, kind string, flags uintptr) {
		must(t, unix.Mount(source, target, kind, flags, ""))
		t.Cleanup(func() { must(t, unix.Unmount(target, 0)) })
	}
	mount("cairn-test", top+"/a/mnt", "tmpfs", 0)
	must(t, os.MkdirAll(top+"/a/mnt/d/inner", 0o711), os.WriteFile(top+"/a/mnt/d/g", nil, 0o644), os.Chmod(top+"/a/mnt", 0o711))
	mount(top+"/a/mnt/d/g", top+"/a/bound", "", unix.MS_BIND) // a file of another file system
	mount("cairn-test", top+"/a/mnt/d/inner", "tmpfs", 0)
	must(t, os.WriteFile(top+"/a/mnt/d/inner/h", nil, 0o644))

	items := collect(t, Options{OneFileSystem: true}, top+"/a")
	if got, want := below(items, top), []string{"a", "a/f", "a/mnt"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if last := items[len(items)-1]; last.Stat.Mode != 0o711 {
		t.Errorf("mount point: got %+v, want what is mounted", last.Stat)
	}
	items = collect(t, Options{OneFileSystem: true}, top+"/./a/f", top+"/./a/mnt/d")
	if got, want := below(items, top), []string{"a", "a/f", "a/mnt", "a/mnt/d", "a/mnt/d/g", "a/mnt/d/inner"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
