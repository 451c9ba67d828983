//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Unmount ends what is mounted at dir. ErrBusy says that somebody uses it.
func Unmount(dir string) error { return unmount(dir, 0) }

// detach takes the directory away from those who still use it.
func detach(dir string) error { return unmount(dir, detached) }

// unmountNow asks the kernel itself.
func unmountNow(dir string, flags int) error {
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
