package restore

import "golang.org/x/sys/unix"

func makeNode(dir int, name string, mode uint32, major, minor uint32) error {
	return unix.Mknodat(dir, name, mode, unix.Mkdev(major, minor))
}
