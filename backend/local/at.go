package local

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The system calls the Store makes, relative to its root. Each is repeated when
// a signal interrupts it, as network file systems allow.

func (s *Store) fd() int { return int(s.root.Fd()) }

func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (s *Store) openAt(name string, flags int) (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(s.fd(), name, flags|unix.O_CLOEXEC, 0o600)
		return err
	})
	return fd, err
}

// open opens the file called name as an os.File, whose methods take care of
// interruptions themselves.
func (s *Store) open(name string, flags int) (*os.File, error) {
	fd, err := s.openAt(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), s.path+"/"+name), nil
}

func (s *Store) stat(name string) (st unix.Stat_t, err error) {
	err = uninterrupted(func() error { return unix.Fstatat(s.fd(), name, &st, 0) })
	return st, err
}

func (s *Store) unlink(name string) error {
	return uninterrupted(func() error { return unix.Unlinkat(s.fd(), name, 0) })
}

func (s *Store) mkdir(name string) error {
	return uninterrupted(func() error { return unix.Mkdirat(s.fd(), name, 0o700) })
}

// readDir returns the names in a directory, in no order.
func (s *Store) readDir(name string) ([]string, error) {
	f, err := s.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (s *Store) flushDir(name string) error {
	f, err := s.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	return flushEntries(f)
}

// flushEntries returns when the entries of the open directory are durable.
func flushEntries(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil // a network file system that flushes no directories: its server does
	}
	return err
}

func isFile(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
func isDir(st unix.Stat_t) bool  { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

func modTime(st unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }
