package backup

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"cairn/pipeline/fileattr"
	"cairn/pipeline/walk"
)

// nextData returns the next stretch of data at or after at: where it begins
// and ends. What lies before it is a hole; with from = to = size there is only
// a hole left. File systems that know no holes report none.
func nextData(f *os.File, at, size int64) (from, to int64, err error) {
	from, err = f.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.ENOTSUP):
		return at, size, nil
	case err != nil:
		return 0, 0, err
	}
	to, err = f.Seek(from, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) {
		err, to = nil, size // cut short meanwhile: reading will tell
	}
	return min(from, size), min(to, size), err
}

// hidesHoles reports whether a file that does not look sparse may have holes all
// the same: its blocks may hold attributes, or what was allocated ahead.
func hidesHoles(st *walk.Stat, set fileattr.Set) bool {
	const block = 4096
	return len(set.Xattrs)+len(set.ACLs) > 0 || st.Blocks*512 > (st.Size+block-1)/block*block
}

// hasHole reports whether a file has a hole.
func hasHole(f *os.File, size int64) bool {
	if size == 0 {
		return false
	}
	end, err := f.Seek(0, unix.SEEK_HOLE)
	return err == nil && end < size
}
