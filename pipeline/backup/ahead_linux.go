package backup

import (
	"os"

	"golang.org/x/sys/unix"
)

// willNeed asks the kernel to read length bytes from off on in the background.
// It is a hint: what comes of it does not matter.
func willNeed(f *os.File, off, length int64) {
	_ = unix.Fadvise(int(f.Fd()), off, length, unix.FADV_WILLNEED)
}
