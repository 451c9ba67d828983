package restore

import "golang.org/x/sys/unix"

// dropCache makes the next read of fd ask the disk.
func dropCache(fd int) { _ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) } // a wish: nothing depends on it
