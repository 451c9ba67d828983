package local

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// flushData returns when the file's bytes and length are durable. File.Sync
// empties the drive's cache too, which network file systems cannot do.
func flushData(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, unix.ENOTSUP) {
		return uninterrupted(func() error { return unix.Fsync(int(f.Fd())) })
	}
	return err
}

// startWriteback does nothing here: flushData writes it all.
func startWriteback(*os.File, int64, int64) {}

// renameExclusive renames within the directory dir, unless to is there: EEXIST.
func renameExclusive(dir int, from, to string) error {
	return unix.RenameatxNp(dir, from, dir, to, unix.RENAME_EXCL)
}
