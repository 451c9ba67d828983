//go:build freebsd || darwin

package walk

import "golang.org/x/sys/unix"

const flagNoDump = 0x1 // UF_NODUMP of sys/stat.h, which x/sys lacks

// statAt fills stat for name in the directory, links followed as flags say (0
// or AT_SYMLINK_NOFOLLOW).
func statAt(directory int, name string, flags int, stat *Stat) error {
	return fstatat(directory, name, flags, stat)
}

// statDescriptor says what fd has open.
func statDescriptor(fd int) (Stat, error) {
	var stat Stat
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	for err == unix.EINTR {
		err = unix.Fstat(fd, &st)
	}
	if err == nil {
		stat = fromStat(&st)
	}
	return stat, err
}

func addPlatform(st *unix.Stat_t, stat *Stat) {
	stat.Flags = st.Flags
	if st.Btim.Sec > 0 {
		stat.BirthTime = timeOf(st.Btim)
	}
}
