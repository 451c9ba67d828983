//go:build !linux

package mount

import (
	"errors"
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func setBlockSize(*fuse.Attr) {}

// mayMount reports what is known to keep this user from mounting.
func mayMount(Options) error { return nil }

// refused returns why nothing was mounted.
func refused(err error) error { return err }

// Unmount ends what is mounted at dir. ErrBusy says that somebody uses it.
func Unmount(dir string) error { return unmount(dir, 0) }

// detach takes the directory away from those who still use it.
func detach(dir string) error { return unmount(dir, unix.MNT_FORCE) }

func unmount(dir string, flags int) error {
	err := unix.Unmount(dir, flags)
	switch {
	case errors.Is(err, unix.EBUSY):
		err = ErrBusy
	case errors.Is(err, unix.EINVAL):
		err = ErrNotMounted
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}
