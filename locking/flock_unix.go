//go:build unix

package locking

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// flock waits until this open file holds the file's lock, which closing gives up.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// tryFlock is flock without waiting: taken is false if somebody else has it.
func tryFlock(f *os.File) (taken bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
