package walk

import (
	"golang.org/x/sys/unix"

	"cairn/pipeline/fileattr"
)

func fstatat(directory int, name string, flags int, stat *Stat) error {
	var st unix.Stat_t
	err := unix.Fstatat(directory, name, &st, flags)
	for err == unix.EINTR {
		err = unix.Fstatat(directory, name, &st, flags)
	}
	if err == nil {
		*stat = fromStat(&st)
	}
	return err
}

func fromStat(st *unix.Stat_t) Stat {
	stat := Stat{
		// Widths and signs of these fields differ between systems.
		ID:         FileID{Dev: uint64(st.Dev), Inode: uint64(st.Ino)},
		Size:       int64(st.Size),
		Blocks:     int64(st.Blocks),
		Links:      uint64(st.Nlink),
		ModTime:    timeOf(st.Mtim),
		ChangeTime: timeOf(st.Ctim),
		AccessTime: timeOf(st.Atim),
		UID:        st.Uid,
		GID:        st.Gid,
		Major:      unix.Major(uint64(st.Rdev)),
		Minor:      unix.Minor(uint64(st.Rdev)),
		Mode:       uint16(st.Mode & 0o7777),
		Type:       typeOf(uint32(st.Mode)),
	}
	addPlatform(st, &stat)
	return stat
}

// forAttributes returns what reading attributes needs to know.
func (s *Stat) forAttributes() fileattr.Stat { return fileattr.Stat{Mode: s.Mode, Flags: s.Flags} }

func timeOf(t unix.Timespec) Time { return Time{Sec: int64(t.Sec), Nsec: uint32(t.Nsec)} }

func typeOf(mode uint32) Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return File
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFLNK:
		return Symlink
	case unix.S_IFCHR:
		return Char
	case unix.S_IFBLK:
		return Block
	case unix.S_IFIFO:
		return Fifo
	case unix.S_IFSOCK:
		return Socket
	}
	return 0
}
