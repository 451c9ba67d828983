//go:build !linux

package restore

import (
	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/fileattr"
)

// syncFilesystem starts writing everything to disk. These systems have no call
// that waits for it and covers a whole file system, so that a power failure
// within the next seconds can still cost what was restored last.
func syncFilesystem(int) error { return unix.Sync() }

// openNode stands for what is called name in dir, which is reached by its name.
func openNode(dir int, name string, is archive.Type) (subject, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return subject{}, err
	}
	if uint32(st.Mode)&unix.S_IFMT != fileattr.Format(is) || st.Nlink != 1 {
		return subject{}, errReplaced
	}
	return subject{File: fileattr.File{Dir: dir, Name: name, FD: -1, ByName: true, Type: is}}, nil
}

func (s subject) close() { _ = closeIfOpen(s.FD) } // opened for reading

func (s subject) chown(uid, gid int) error {
	if s.ByName {
		return unix.Fchownat(s.Dir, s.Name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	return unix.Fchown(s.FD, uid, gid)
}

func (s subject) chmod(mode uint32) error {
	if s.ByName {
		return unix.Fchmodat(s.Dir, s.Name, mode, unix.AT_SYMLINK_NOFOLLOW)
	}
	return unix.Fchmod(s.FD, mode)
}

func (s subject) utimes(times []unix.Timespec) error { return s.utimesByName(times) }
