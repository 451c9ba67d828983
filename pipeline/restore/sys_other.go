//go:build !linux

package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
)

var errXattr = errors.New("not restored on this system")

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
	if uint32(st.Mode)&unix.S_IFMT != format(is) || st.Nlink != 1 {
		return subject{}, errReplaced
	}
	return subject{dir: dir, name: name, fd: -1, path: true, is: is}, nil
}

func (s subject) close() {}

func (s subject) chown(uid, gid int) error {
	if s.path {
		return unix.Fchownat(s.dir, s.name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	return unix.Fchown(s.fd, uid, gid)
}

func (s subject) chmod(mode uint32) error {
	if s.path {
		return unix.Fchmodat(s.dir, s.name, mode, unix.AT_SYMLINK_NOFOLLOW)
	}
	return unix.Fchmod(s.fd, mode)
}

func (s subject) utimes(times []unix.Timespec) error { return s.utimesByName(times) }

func (s subject) setXattr(string, []byte) error { return errXattr }

func inheritsACL(int) bool { return false }

func dropACL(int) error { return nil }
