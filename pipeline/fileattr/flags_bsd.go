//go:build darwin || freebsd

package fileattr

import "golang.org/x/sys/unix"

// bits returns the flags of f as the system has them.
func (f File) bits() (uint32, error) {
	var st unix.Stat_t
	err := retry(func() error {
		if f.FD >= 0 {
			return unix.Fstat(f.FD, &st)
		}
		return unix.Fstatat(f.Dir, f.Name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st.Flags, err
}
