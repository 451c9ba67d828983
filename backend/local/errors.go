package local

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

// explain turns an error of the file system into one of package backend. What
// is missing becomes absent, if the root is still there: the answer ErrNotExist
// must mean that the store was asked.
func (s *Store) explain(err, absent error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.EISDIR:
		if lost := s.alive(); lost != nil {
			return lost
		}
		return absent
	case unix.EEXIST:
		return backend.ErrExist
	case unix.ENOSPC, unix.EDQUOT:
		return fmt.Errorf("%w: %w", backend.ErrFull, errno)
	case unix.EACCES, unix.EPERM, unix.EROFS:
		return fmt.Errorf("%w: %w", backend.ErrDenied, errno)
	case unix.ENODEV, unix.ENXIO, unix.ESTALE, unix.ENOTCONN, unix.ETIMEDOUT, unix.EHOSTDOWN, unix.EHOSTUNREACH:
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, errno)
	}
	return err
}

// unavailable turns an error from opening the root into one of package backend.
func unavailable(err error) error {
	var errno unix.Errno
	switch {
	case !errors.As(err, &errno):
		return err
	case errno == unix.EACCES, errno == unix.EPERM:
		return fmt.Errorf("%w: %w", backend.ErrDenied, errno)
	case errno == unix.ENOENT:
		return fmt.Errorf("%w: no such directory: is its disk mounted?", backend.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", backend.ErrUnavailable, errno)
}
