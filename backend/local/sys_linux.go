package local

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushData returns when the file's bytes and length are durable.
func flushData(f *os.File) error {
	return uninterrupted(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// startWriteback starts the way of n bytes to the disk while the next ones are
// written. It is a hint: flushData tells what became of them.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// renameExclusive renames within the directory dir, unless to is there: EEXIST.
func renameExclusive(dir int, from, to string) error {
	return unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
}
