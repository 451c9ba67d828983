package walk

import (
	"errors"

	"golang.org/x/sys/unix"
)

const (
	statMask  = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	statFlags = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND | unix.STATX_ATTR_NODUMP // the same bits as FS_*_FL

	flagNoDump = unix.STATX_ATTR_NODUMP
)

// statAt fills stat for name in the directory, links followed as flags say (0
// or AT_SYMLINK_NOFOLLOW). It mounts nothing.
func statAt(directory int, name string, flags int, stat *Stat) error {
	return statx(directory, name, flags|unix.AT_NO_AUTOMOUNT, stat)
}

// statDescriptor says what fd has open.
func statDescriptor(fd int) (Stat, error) {
	var stat Stat
	err := statx(fd, "", unix.AT_EMPTY_PATH, &stat)
	return stat, err
}

func statx(directory int, name string, flags int, stat *Stat) error {
	var st unix.Statx_t
	err := unix.Statx(directory, name, flags, statMask, &st)
	for errors.Is(err, unix.EINTR) {
		err = unix.Statx(directory, name, flags, statMask, &st)
	}
	switch {
	case err == nil:
		*stat = fromStatx(&st)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		// Kernels before 4.11, and containers whose filter does not know the call.
		return fstatat(directory, name, flags, stat)
	}
	return err
}

func fromStatx(st *unix.Statx_t) Stat {
	stat := Stat{
		ID:         FileID{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino},
		Size:       int64(st.Size),
		Blocks:     int64(st.Blocks),
		Links:      uint64(st.Nlink),
		ModTime:    Time{st.Mtime.Sec, st.Mtime.Nsec},
		ChangeTime: Time{st.Ctime.Sec, st.Ctime.Nsec},
		AccessTime: Time{st.Atime.Sec, st.Atime.Nsec},
		UID:        st.Uid,
		GID:        st.Gid,
		Major:      st.Rdev_major,
		Minor:      st.Rdev_minor,
		Flags:      uint32(st.Attributes) & statFlags,
		Mode:       st.Mode & 0o7777,
		Type:       typeOf(uint32(st.Mode)),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		stat.BirthTime = Time{st.Btime.Sec, st.Btime.Nsec}
	}
	return stat
}

func addPlatform(*unix.Stat_t, *Stat) {}
