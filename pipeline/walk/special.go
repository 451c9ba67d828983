package walk

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Special returns what the item stands for if that has content although it is no
// file: a block device or a fifo, or a symbolic link to one.
func (it *Item) Special() (stat Stat, ok bool) {
	stat = it.Stat
	if stat.Type == Symlink {
		directory, err := it.dir.acquire()
		if err != nil {
			return Stat{}, false
		}
		err = statAt(directory, it.name(), 0, &stat)
		it.dir.release()
		if err != nil {
			return Stat{}, false // a link that leads nowhere stays one
		}
	}
	return stat, stat.Type == Block || stat.Type == Fifo
}

// OpenSpecial opens what Special found for reading, and says what it opened: a
// block device or a fifo (else ErrReplaced). Reads of a fifo do not wait for a
// writer.
func (it *Item) OpenSpecial() (*os.File, Stat, error) {
	f, stat, err := it.openSpecial()
	if err != nil {
		return nil, Stat{}, &fs.PathError{Op: "open", Path: it.Source, Err: err}
	}
	return f, stat, nil
}

func (it *Item) openSpecial() (*os.File, Stat, error) {
	directory, err := it.dir.acquire()
	if err != nil {
		return nil, Stat{}, err
	}
	defer it.dir.release()
	fd, err := openAt(directory, it.name(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, Stat{}, err
	}
	stat, err := statDescriptor(fd)
	if err == nil && stat.Type != Block && stat.Type != Fifo {
		err = ErrReplaced
	}
	if err != nil {
		closeDescriptor(fd)
		return nil, Stat{}, err
	}
	return os.NewFile(uintptr(fd), it.Source), stat, nil
}
