package walk

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// noAtime asks the kernel to leave the access time alone; only the owner may.
const noAtime = unix.O_NOATIME

// readNames appends what the directory fd contains. buf is working space. After
// an error, n holds what came before it.
func readNames(fd int, buf []byte, n *names) error {
	for {
		got, err := unix.Getdents(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case got <= 0:
			return nil
		}
		for rest := buf[:got]; len(rest) > 0; {
			// struct linux_dirent64: inode u64, offset u64, length u16, type u8, name.
			size := binary.NativeEndian.Uint16(rest[16:])
			name := rest[19:size]
			name = name[:bytes.IndexByte(name, 0)]
			inode := binary.NativeEndian.Uint64(rest)
			n.add(name, typeOf(uint32(rest[18])<<12), inode) // DT_* are S_IF* without the low bits
			rest = rest[size:]
		}
	}
}
