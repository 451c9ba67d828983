package local

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

// TestFullDisk fills a file system of 4 MiB and goes on when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount the small file system this needs")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("root may not mount here: the small file system this needs is not to be had")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	if err := Create(disk); err != nil {
		t.Fatal(err)
	}
	s, err := Open(disk, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	if err := s.Put(t.Context(), "packs/first", make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "packs/second", make([]byte, 3<<20)); !errors.Is(err, backend.ErrFull) {
		t.Errorf("put: got %v, want ErrFull", err)
	}
	wantNoTemp(t, s)
	if err := s.Put(t.Context(), "packs/rest", make([]byte, 1<<20-16<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(t.Context(), "", make([]byte, 64<<10)); !errors.Is(err, backend.ErrFull) {
		t.Errorf("swap: got %v, want ErrFull", err)
	}
	wantNoTemp(t, s)
	if err := s.Delete(t.Context(), "packs/first"); err != nil {
		t.Errorf("delete: got %v, want room to be made", err)
	}
	if err := s.Put(t.Context(), "packs/second", make([]byte, 3<<20)); err != nil {
		t.Errorf("put with room: %v", err)
	}
}
