//go:build darwin || freebsd

package fileattr

import (
	"golang.org/x/sys/unix"

	"cairn/objects/attr"
)

// Flags returns the flags of f.
func (f File) Flags() (attr.Flags, error) {
	bits, err := f.bits()
	return flagsOf(bits), err
}

// ChangeFlags sets some flags of f, takes others away, and leaves the rest.
// Flags that this system does not have are Unsupported, and the others are set.
func (f File) ChangeFlags(set, clear attr.Flags) error {
	on, foreign := bitsOf(set)
	off, _ := bitsOf(clear)
	before, err := f.bits()
	if err != nil {
		return err
	}
	if after := before&^off | on; after != before {
		if err := retry(func() error { return f.chflags(after) }); err != nil {
			return err
		}
	}
	return foreignFlags(foreign)
}

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
