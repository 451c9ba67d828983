//go:build !(386 || arm || mips || mipsle)

package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func setBlockSize(to *fuse.Attr) { to.Blksize = blockSize }

// Unmount ends what is mounted at dir. ErrBusy says that somebody uses it.
func Unmount(dir string) error { return unmount(dir, 0) }

// detach takes the directory away from those who still use it.
func detach(dir string) error { return unmount(dir, unix.MNT_DETACH) }

// unmount asks fusermount3 where only root may do it.
func unmount(dir string, flags int) error {
	if os.Geteuid() == 0 {
		err := unix.Unmount(dir, flags|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			err = ErrBusy
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		return nil
	}
	how := "-u"
	if flags&unix.MNT_DETACH != 0 {
		how = "-uz"
	}
	said, err := exec.Command("fusermount3", how, "--", dir).CombinedOutput()
	switch {
	case err == nil:
		return nil
	case strings.Contains(string(said), "busy"):
		err = ErrBusy
	case len(said) > 0:
		err = errors.New(strings.TrimSpace(string(said)))
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}
