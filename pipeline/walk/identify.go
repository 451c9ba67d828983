package walk

import "golang.org/x/sys/unix"

// Identify returns the identity of what path names, symbolic links followed,
// for Options.Skip; ok is false if there is nothing.
func Identify(path string) (id FileID, ok bool) {
	var stat Stat
	if err := statAt(unix.AT_FDCWD, path, 0, &stat); err != nil {
		return FileID{}, false
	}
	return stat.ID, true
}
