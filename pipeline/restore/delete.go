package restore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/fileattr"
)

// clear removes from a directory that is left what the archive does not have in
// it. What someone else has put in its place meanwhile is not touched.
func (p *planner) clear(l *level) error {
	if !l.clear || l.lost || l.dir == nil || l.dir.made {
		return nil
	}
	fd, err := l.dir.acquire()
	if err != nil {
		return p.r.notRemoved(l.path, err)
	}
	defer l.dir.release()
	id, err := identify(fd)
	if err != nil {
		return p.r.notRemoved(l.path, err)
	}
	c := cleaner{r: p.r, device: id.dev}
	_, err = c.entries(fd, l.path, func(name string) bool {
		_, has := slices.BinarySearch(l.names, name)
		if has || strings.HasPrefix(name, p.r.tree.temp) {
			return true
		}
		if !p.r.o.DryRun {
			l.dir.openUp(fd)
		}
		return false
	})
	return err
}

// clears reports whether what the archive does not have is removed from the
// directory that is entered next.
func (p *planner) clears(path string, choice Choice) bool {
	return p.r.o.Delete != nil && choice == Take && len(p.levels) > p.r.o.Strip && p.r.o.Delete(path)
}

// has notes that the archive has something in the directory that the planner is
// in. Names come in order.
func (p *planner) has(path string) {
	if l := &p.levels[len(p.levels)-1]; l.clear {
		l.names = append(l.names, strings.Clone(lastName(path)))
	}
}

// cleaner removes what is in one directory. It reaches everything through
// descriptors of directories, and follows no link.
type cleaner struct {
	r      *run
	device uint64 // of the directory: what is mounted in it stays
	all    bool   // whatever is chosen: something else gets the place
}

// entries removes what is in the directory fd, except names to be spared, and
// reports whether nothing is left.
func (c *cleaner) entries(fd int, path string, spared func(name string) bool) (empty bool, err error) {
	names, err := namesIn(fd)
	if err != nil {
		return false, c.r.notRemoved(path, err)
	}
	slices.Sort(names)
	empty = true
	for _, name := range names {
		if spared != nil && spared(name) {
			empty = false
			continue
		}
		full := name
		if path != "" {
			full = path + "/" + name
		}
		gone, err := c.entry(fd, name, full)
		if err != nil {
			return false, err
		}
		empty = empty && gone
	}
	return empty, nil
}

func namesIn(fd int) ([]string, error) {
	var own int
	err := retry(func() (err error) {
		// A descriptor of its own has a position of its own.
		own, err = unix.Openat(fd, ".", dirFlags, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}

var (
	errMounted   = errors.New("something is mounted there: it is left alone")
	errProtected = errors.New("it belongs to cairn itself: it is left alone")
)

// entry removes what is called name in dir, if it is chosen, and reports whether
// it is gone. The error ends the restore.
func (c *cleaner) entry(dir int, name, path string) (gone bool, err error) {
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	switch {
	case errors.Is(err, unix.ENOENT):
		return true, nil
	case err != nil:
		return false, c.r.notRemoved(path, err)
	}
	is := kindOf(&st)
	choice := Take
	if !c.all && c.r.o.Select != nil {
		choice = c.r.o.Select(path, is)
	}
	switch {
	case choice == Skip:
		return false, nil
	case c.r.protected[fileID{uint64(st.Dev), uint64(st.Ino)}]:
		return false, c.r.notRemoved(path, errProtected)
	case uint64(st.Dev) != c.device:
		return false, c.r.notRemoved(path, errMounted)
	}
	flags := 0
	if is == archive.Dir {
		if empty, err := c.below(dir, name, path); err != nil || !empty {
			return false, err
		}
		flags = unix.AT_REMOVEDIR
	}
	if choice != Take {
		return false, nil
	}
	return c.unlink(dir, name, path, flags)
}

// below empties the directory called name.
func (c *cleaner) below(dir int, name, path string) (empty bool, err error) {
	fd, err := openDir(dir, name)
	if err != nil {
		return false, c.r.notRemoved(path, err)
	}
	defer func() { _ = unix.Close(fd) }() // opened for reading
	id, err := identify(fd)
	if err != nil {
		return false, c.r.notRemoved(path, err)
	}
	if id.dev != c.device || c.r.protected[id] {
		return false, c.r.notRemoved(path, errReplaced) // since we looked
	}
	if !c.r.o.DryRun {
		c.r.expose(subject{File: fileattr.File{Dir: dir, Name: name, FD: fd, Type: archive.Dir}})
	}
	return c.entries(fd, path, nil)
}

func (c *cleaner) unlink(dir int, name, path string, flags int) (gone bool, err error) {
	if !c.r.o.DryRun {
		remove := func() error { return retry(func() error { return unix.Unlinkat(dir, name, flags) }) }
		if err = remove(); errors.Is(err, unix.EPERM) && c.r.o.Without&Flags == 0 {
			err = unprotected(dir, name, err, remove)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, c.r.notRemoved(path, err)
		}
	}
	c.r.progress.Deleted.Add(1)
	c.r.list(Deleted, path)
	return true, nil
}

// notRemoved reports what stays although the archive does not have it. The error
// it returns ends the restore.
func (r *run) notRemoved(path string, err error) error {
	if fatal(err) {
		return err
	}
	r.warn(path, fmt.Errorf("remove: %w", err))
	return nil
}

// makeRoom removes the directory that stands where something else goes: an empty
// one, or where Options.Delete says so any.
func (r *run) makeRoom(dir int, name, path string) error {
	err := retry(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
	forced := r.o.Delete != nil && r.o.Strip == 0 && r.o.Delete(path)
	if !forced || !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	id, err := identify(dir)
	if err != nil {
		return err
	}
	c := cleaner{r: r, device: id.dev, all: true}
	gone, err := c.entry(dir, name, path)
	if err == nil && !gone {
		err = unix.ENOTEMPTY
	}
	return err
}

// kindOf returns what a file is. A socket, which archives do not have, counts as
// a file.
func kindOf(st *unix.Stat_t) archive.Type {
	for _, is := range []archive.Type{archive.Dir, archive.Symlink, archive.CharDevice, archive.BlockDevice, archive.Fifo} {
		if uint32(st.Mode)&unix.S_IFMT == fileattr.Format(is) {
			return is
		}
	}
	return archive.File
}

// identifyAll returns what the paths name, links followed.
func identifyAll(paths []string) map[fileID]bool {
	ids := make(map[fileID]bool)
	for _, path := range paths {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil { // what is not there need not be protected
			ids[fileID{uint64(st.Dev), uint64(st.Ino)}] = true
		}
	}
	return ids
}
