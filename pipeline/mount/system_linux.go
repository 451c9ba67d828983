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

// helperConfig says what fusermount3 lets users do.
const helperConfig = "/etc/fuse.conf"

// mayMount reports what is known to keep this user from mounting.
func mayMount(o Options) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := helper(); err != nil {
		return err
	}
	config, err := os.ReadFile(helperConfig)
	if !o.AllowOther || err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil // where it cannot be read, fusermount3 decides
	}
	for line := range strings.Lines(string(config)) {
		if strings.TrimSpace(line) == "user_allow_other" {
			return nil
		}
	}
	return ErrNoOthers
}

// helper finds fusermount3, or what it was called before.
func helper() (string, error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoHelper
}

// refused returns why nothing was mounted. Of fusermount3 the library knows no
// more than that it failed.
func refused(err error) error {
	if strings.HasPrefix(err.Error(), "fusermount exited") {
		return ErrRefused
	}
	return err
}

// detached is how a directory is taken away from those who still use it.
const detached = unix.MNT_DETACH

// unmount asks fusermount3 where only root may do it.
func unmount(dir string, flags int) error {
	if os.Geteuid() == 0 {
		return unmountNow(dir, flags|unix.UMOUNT_NOFOLLOW)
	}
	how := "-u"
	if flags&detached != 0 {
		how = "-uz"
	}
	program, err := helper()
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	said, err := exec.Command(program, how, "--", dir).CombinedOutput()
	switch {
	case err == nil:
		return nil
	case strings.Contains(string(said), "not found in"):
		err = ErrNotMounted
	case strings.Contains(string(said), "busy"):
		err = ErrBusy
	case len(said) > 0:
		err = errors.New(strings.TrimSpace(string(said)))
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}
