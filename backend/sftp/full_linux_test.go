package sftp_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"cairn/backend"
	"cairn/test/servers"
)

// TestFullDisk fills a file system of 4 MiB, which OpenSSH calls a failure and
// nothing else, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{})
	if os.Geteuid() != 0 {
		t.Skip("only root can mount the small file system this needs")
	}
	if err := unix.Mount("tmpfs", server.Dir, "tmpfs", 0, "size=4m"); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("root may not mount here: the small file system this needs is not to be had")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(server.Dir, unix.MNT_DETACH); err != nil { // the server may close its files a moment later
			t.Errorf("unmount: %v", err)
		}
	})
	s, _ := create(t, server)
	if err := s.Put(t.Context(), "packs/first", make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "packs/second", make([]byte, 3<<20)); !errors.Is(err, backend.ErrFull) {
		t.Errorf("put: got %v, want ErrFull", err)
	}
	if err := s.Put(t.Context(), "packs/rest", make([]byte, 1<<20-24<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(t.Context(), "", make([]byte, 64<<10)); !errors.Is(err, backend.ErrFull) {
		t.Errorf("swap: got %v, want ErrFull", err)
	}
	if err := s.Delete(t.Context(), "packs/first"); err != nil {
		t.Errorf("delete: got %v, want room to be made", err)
	}
	if err := s.Put(t.Context(), "packs/second", make([]byte, 3<<20)); err != nil {
		t.Errorf("put with room: %v", err)
	}
}
