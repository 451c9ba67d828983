package walk

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// A file under a lease, as file servers take them, is waited for. Not parallel:
// SIGIO belongs to the process.
func TestOpenWaitsForLease(t *testing.T) {
	path := t.TempDir() + "/f"
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	items := collect(t, Options{}, path)
	holder, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer holder.Close()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGIO)
	defer signal.Stop(asked)
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("the file system has no leases: %v", err)
	}
	gave := make(chan error)
	go func() {
		<-asked
		_, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		gave <- err
	}()
	f, _, err := items[len(items)-1].Open()
	must(t, err)
	must(t, f.Close())
	must(t, <-gave)
}
