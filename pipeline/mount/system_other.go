//go:build !linux

package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func setBlockSize(*fuse.Attr) {}

// mayMount reports what is known to keep this user from mounting.
func mayMount(Options) error { return nil }

// refused returns why nothing was mounted.
func refused(err error) error { return err }

// detached is how a directory is taken away from those who still use it.
const detached = unix.MNT_FORCE

func unmount(dir string, flags int) error { return unmountNow(dir, flags) }
