package walk

import (
	"os"

	"cairn/objects/archive"
	"cairn/pipeline/fileattr"
)

// Attributes returns what stands at the item's place has besides its stat,
// whatever its type; links are not followed. What is returned beside errors is
// good; every error is a *fileattr.Error.
func (it *Item) Attributes(labels fileattr.Labels) (fileattr.Set, []error) {
	directory, err := it.dir.acquire()
	if err != nil {
		return fileattr.Set{}, []error{&fileattr.Error{What: "attributes", Err: err}}
	}
	defer it.dir.release()
	f := fileattr.File{Dir: directory, Name: it.name(), FD: -1, Follow: it.Implied, Type: archive.Type(it.Stat.Type)}
	if it.Stat.Type == Directory {
		// One that may not be opened has what its name gives.
		if fd, err := openDirectory(directory, f.Name, f.Follow); err == nil {
			defer closeDescriptor(fd)
			f.FD = fd
		}
	}
	return f.Read(it.Stat.forAttributes(), labels)
}

// FileAttributes is Attributes for a file from Open, of which st was said.
func FileAttributes(f *os.File, st *Stat, labels fileattr.Labels) (set fileattr.Set, problems []error) {
	conn, err := f.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) {
			file := fileattr.File{FD: int(fd), Type: archive.File}
			set, problems = file.Read(st.forAttributes(), labels)
		})
	}
	if err != nil {
		problems = append(problems, &fileattr.Error{What: "attributes", Err: err})
	}
	return set, problems
}
