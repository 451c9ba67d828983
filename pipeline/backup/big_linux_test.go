package backup_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestManyBigFiles holds that big files beside each other do not wait for one
// another for ever: each has more segments than may wait for the assembly.
func TestManyBigFiles(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("reads 7 GiB of nothing")
	}
	b := newBench(t)
	for i := range 3 {
		path := b.write(fmt.Sprintf("f%d", i), nil)
		must(t, os.Truncate(path, 2400<<20))
		// Allocated, so that it is read: a hole would be no segment.
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		must(t, unix.Fallocate(int(f.Fd()), 0, 0, 2400<<20))
		must(t, f.Close())
	}
	r := b.backup()
	if got := r.summary.Files; got != 3 {
		t.Errorf("got %d files, want 3", got)
	}
}
