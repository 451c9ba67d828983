//go:build !linux

package mount

import (
	"errors"
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func setBlockSize(*fuse.Attr) {}

// Unmount ends what is mounted at dir. ErrBusy says that somebody uses it.
func Unmount(dir string) error { return unmount(dir, 0) }

// detach takes the directory away from those who still use it.
func detach(dir string) error { return unmount(dir, unix.MNT_FORCE) }

func unmount(dir string, flags int) error {
	err := unix.Unmount(dir, flags)
	if errors.Is(err, unix.EBUSY) {
		err = ErrBusy
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}
