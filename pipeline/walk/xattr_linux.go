package walk

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattrs returns the extended attributes of what stands at the item's place,
// whatever its type, sorted by name; links are not followed. Every error is an
// *XattrError; those that are returned beside errors are good.
func (it *Item) Xattrs() ([]Xattr, []error) {
	path := it.Source
	if it.dir != it.dir.owner.base {
		directory, err := it.dir.acquire()
		if err != nil {
			return nil, []error{&XattrError{Path: it.Source, Err: err}}
		}
		defer it.dir.release()
		// There is no such call that takes a directory and a name.
		path = "/proc/self/fd/" + strconv.Itoa(directory) + "/" + it.name()
	}
	source := xattrSource{
		path: it.Source,
		list: func(to []byte) (int, error) { return unix.Llistxattr(path, to) },
		get:  func(name string, to []byte) (int, error) { return unix.Lgetxattr(path, name, to) },
	}
	if it.Implied {
		source.list = func(to []byte) (int, error) { return unix.Listxattr(path, to) }
		source.get = func(name string, to []byte) (int, error) { return unix.Getxattr(path, name, to) }
	}
	return source.all()
}

// FileXattrs is Xattrs for a file from Open.
func FileXattrs(f *os.File) (list []Xattr, problems []error) {
	conn, err := f.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) {
			source := xattrSource{
				path: f.Name(),
				list: func(to []byte) (int, error) { return unix.Flistxattr(int(fd), to) },
				get:  func(name string, to []byte) (int, error) { return unix.Fgetxattr(int(fd), name, to) },
			}
			list, problems = source.all()
		})
	}
	if err != nil {
		problems = append(problems, &XattrError{Path: f.Name(), Err: err})
	}
	return list, problems
}

// xattrSource is where attributes come from.
type xattrSource struct {
	path string // for errors
	list func(to []byte) (int, error)
	get  func(name string, to []byte) (int, error)
}

func (s xattrSource) all() ([]Xattr, []error) {
	text, err := whole(s.list)
	switch {
	case errors.Is(err, unix.ENOTSUP):
		return nil, nil // the file system has none
	case err != nil:
		return nil, []error{&XattrError{Path: s.path, Err: err}}
	case len(text) == 0:
		return nil, nil
	}
	var list []Xattr
	var problems []error
	for name := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		value, err := whole(func(to []byte) (int, error) { return s.get(name, to) })
		if err != nil {
			problems = append(problems, &XattrError{Path: s.path, Name: name, Err: err})
			continue
		}
		list = append(list, Xattr{Name: name, Value: value})
	}
	slices.SortFunc(list, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return list, problems
}

// whole calls read with room for all that it gives.
func whole(read func(to []byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := read(buf)
		switch {
		case err == nil:
			return buf[:n:n], nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.ERANGE):
			return nil, err
		}
		// It may grow again between the two calls. (64 KiB is the kernel's most.)
		size, err := read(nil)
		if err != nil {
			return nil, err
		}
		buf = make([]byte, max(size, 1))
	}
}
