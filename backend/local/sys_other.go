//go:build !linux && !darwin

package local

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushData returns when the file's bytes and length are durable.
func flushData(f *os.File) error { return f.Sync() }

// startWriteback does nothing here: flushData writes it all.
func startWriteback(*os.File, int64, int64) {}

// renameExclusive is not to be had here.
func renameExclusive(int, string, string) error { return unix.ENOSYS }
