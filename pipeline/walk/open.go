package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a regular file for reading, without following a symbolic link and
// where possible without touching the access time, and says what it opened:
// that may be another file than the item's Stat describes, but is a regular one
// (else ErrReplaced). Open may be called concurrently, and after the walk.
func (it *Item) Open() (*os.File, Stat, error) {
	fd, stat, err := it.open()
	if err != nil {
		return nil, Stat{}, &fs.PathError{Op: "open", Path: it.Source, Err: err}
	}
	return os.NewFile(uintptr(fd), it.Source), stat, nil
}

func (it *Item) open() (int, Stat, error) {
	directory, err := it.dir.acquire()
	if err != nil {
		return -1, Stat{}, err
	}
	defer it.dir.release()
	return openFile(directory, it.name())
}

// openFile opens a regular file of the directory.
func openFile(directory int, name string) (int, Stat, error) {
	// Without O_NONBLOCK a fifo that took the file's place would block for ever.
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, used, err := openWith(directory, name, flags)
	if errors.Is(err, unix.EAGAIN) {
		// Somebody holds a lease, as file servers do: wait until it is given
		// back. It was a regular file a moment ago: others have no leases.
		fd, used, err = openWith(directory, name, flags&^unix.O_NONBLOCK)
	}
	if err != nil {
		return -1, Stat{}, err
	}
	stat, err := statDescriptor(fd)
	if err == nil && stat.Type != File {
		err = ErrReplaced
	}
	if err == nil {
		// It is no concern of os.File's poller.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, used&^unix.O_NONBLOCK)
	}
	if err != nil {
		closeDescriptor(fd)
		return -1, Stat{}, err
	}
	return fd, stat, nil
}

// StatFile says what f, from Open, is now: after reading, it tells whether the
// file changed meanwhile.
func StatFile(f *os.File) (Stat, error) {
	var stat Stat
	conn, err := f.SyscallConn()
	if err == nil {
		controlErr := conn.Control(func(fd uintptr) { stat, err = statDescriptor(int(fd)) })
		err = errors.Join(err, controlErr)
	}
	if err != nil {
		return Stat{}, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return stat, nil
}

// Restat says what stands at the item's place now.
func (it *Item) Restat() (Stat, error) {
	var stat Stat
	directory, err := it.dir.acquire()
	if err == nil {
		err = statAt(directory, it.name(), it.links(), &stat)
		it.dir.release()
	}
	if err != nil {
		return Stat{}, &fs.PathError{Op: "lstat", Path: it.Source, Err: err}
	}
	return stat, nil
}

// Readlink returns the target of a symbolic link.
func (it *Item) Readlink() (string, error) {
	directory, err := it.dir.acquire()
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: it.Source, Err: err}
	}
	defer it.dir.release()
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(directory, it.name(), buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "", &fs.PathError{Op: "readlink", Path: it.Source, Err: err}
		case n < size: // else it may be cut short
			return string(buf[:n]), nil
		}
	}
}

// links says how a system call treats a symbolic link in the item's place.
func (it *Item) links() int {
	if it.Implied {
		return 0
	}
	return unix.AT_SYMLINK_NOFOLLOW
}

func openDirectory(parent int, name string, follow bool) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NONBLOCK
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	return openAt(parent, name, flags)
}

// openAt opens name in the directory, if allowed without touching the access
// time.
func openAt(directory int, name string, flags int) (int, error) {
	fd, _, err := openWith(directory, name, flags)
	return fd, err
}

// openWith is openAt, and returns the flags that it opened with.
func openWith(directory int, name string, flags int) (fd, used int, err error) {
	flags |= unix.O_CLOEXEC
	atime := noAtime
	for {
		fd, err := unix.Openat(directory, name, flags|atime, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case atime != 0 && errors.Is(err, unix.EPERM):
			atime = 0
		default:
			return fd, flags | atime, err
		}
	}
}
