package restore

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/fileattr"
)

// syncFilesystem returns when everything written to the file system that fd
// lies in is on disk, and says whether something could not be written.
func syncFilesystem(fd int) error { return unix.Syncfs(fd) }

// openNode opens what is called name in dir, for its attributes only. It must
// be of the given type.
func openNode(dir int, name string, is archive.Type) (subject, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return subject{}, err
	}
	s := subject{File: fileattr.File{Dir: dir, Name: name, FD: fd, ByName: true, Type: is}}
	// Whoever may write to the directory could have put a link to someone
	// else's file there; that must not be given away.
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != fileattr.Format(is) || st.Nlink != 1) {
		err = errReplaced
	}
	if err != nil {
		s.close()
		return subject{}, err
	}
	return s, nil
}

func (s subject) close() { _ = closeIfOpen(s.FD) } // nothing is written through it

// link is another name for what fd names.
func (s subject) link() string { return "/proc/self/fd/" + strconv.Itoa(s.FD) }

func (s subject) chown(uid, gid int) error {
	return unix.Fchownat(s.FD, "", uid, gid, unix.AT_EMPTY_PATH)
}

func (s subject) chmod(mode uint32) error {
	if s.ByName {
		return unix.Chmod(s.link(), mode)
	}
	return unix.Fchmod(s.FD, mode)
}

func (s subject) utimes(times []unix.Timespec) error {
	err := unix.UtimesNanoAt(s.FD, "", times, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // before Linux 5.8
		return s.utimesByName(times)
	}
	return err
}

func makeNode(dir int, name string, mode uint32, major, minor uint32) error {
	return unix.Mknodat(dir, name, mode, int(unix.Mkdev(major, minor)))
}
