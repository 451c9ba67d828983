//go:build freebsd || darwin

package walk

import (
	"os"

	"golang.org/x/sys/unix"
)

// noAtime does nothing: these systems cannot be asked to leave the access time.
const noAtime = 0

// readNames appends what the directory fd contains. After an error, n holds
// what came before it.
func readNames(fd int, _ []byte, n *names) error {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(own), "directory")
	defer f.Close()
	list, err := f.Readdirnames(-1)
	for _, name := range list {
		n.add([]byte(name), 0, 0)
	}
	return err
}
