package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
)

// Overwrite says what becomes of what is there already.
type Overwrite uint8

const (
	// IfChanged replaces what is there, except files of the same size and time
	// of modification: their content is taken to be right (unless Options.Verify
	// says otherwise), and only those of their attributes are set that differ;
	// what they have besides is taken away (see fileattr.Removable).
	// Files of several names are always replaced.
	IfChanged Overwrite = iota

	// Always replaces everything.
	Always

	// IfNewer replaces what was modified before what the archive has, and leaves
	// all else alone, directories that are there included.
	IfNewer

	// Never leaves everything alone that is there.
	Never
)

// Status says what became of one path of the target.
type Status byte

const (
	Added    Status = 'A' // was not there
	Replaced Status = 'M' // took the place of something else
	Kept     Status = 'U' // was there, with the content that the archive has or as Overwrite wants it
	Deleted  Status = 'D' // the archive does not have it
	Failed   Status = 'E' // see the warning
)

// plan is what is to be done about an entry that is no directory.
type plan struct {
	status Status
	keep   bool // Kept, and its attributes are restored
}

// decide looks at what stands in the place of an entry.
func (r *run) decide(d *dir, name string, e *archive.Entry) (plan, error) {
	if d == nil || d.made {
		return plan{status: Added}, nil // a new directory holds nothing that is not ours
	}
	fd, err := d.acquire()
	if err != nil {
		return plan{}, err
	}
	defer d.release()
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	switch {
	case errors.Is(err, unix.ENOENT):
		return plan{status: Added}, nil
	case err != nil:
		return plan{}, err
	}
	switch r.o.Overwrite {
	case Never:
		return plan{status: Kept}, nil
	case IfNewer:
		if !e.ModTime.Time().After(modTime(&st).Time()) {
			return plan{status: Kept}, nil
		}
	case IfChanged:
		if e.Type == archive.File && !e.HasLink && asPromised(&st, e.Size, e.ModTime) {
			return plan{status: Kept, keep: true}, nil
		}
	}
	return plan{status: Replaced}, nil
}

// asPromised reports whether st is of a file that need not be written anew. A
// file with other names is never one: they may lie outside the target.
func asPromised(st *unix.Stat_t, size uint64, mtime archive.Time) bool {
	return uint32(st.Mode)&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1 &&
		uint64(st.Size) == size && modTime(st) == mtime
}

func modTime(st *unix.Stat_t) archive.Time { return timeOf(st.Mtim) }

func timeOf(t unix.Timespec) archive.Time {
	return archive.Time{Sec: int64(t.Sec), Nsec: uint32(t.Nsec)}
}

// keepsDirs reports whether directories that are there keep their attributes,
// and whatever stands in the place of one stays.
func (r *run) keepsDirs() bool { return r.o.Overwrite == IfNewer || r.o.Overwrite == Never }

// putKept gives a file that is there those of the attributes in the archive that
// it does not have.
func (r *run) putKept(f *file) error {
	if err := r.keep(f); err != nil {
		if err := r.fail(f, err); err != nil {
			return err
		}
	}
	return r.over(f)
}

func (r *run) keep(f *file) error {
	dir, err := f.dir.acquire()
	if err != nil {
		return err
	}
	defer f.dir.release()
	s, st, err := openKept(dir, f.name)
	if err != nil {
		return err
	}
	defer s.close()
	f.h.id = idOf(&st)
	if r.lookAt(&s, &st, &f.attrs, f.path); !r.complete(s, &f.attrs) {
		r.makeWay(s)
	}
	r.settle(s, &f.attrs, f.path)
	r.protect(f)
	r.progress.Bytes.Add(f.size)
	return nil
}

// openKept opens a file that is there, and that has no other name, to give it
// attributes.
func openKept(dir int, name string) (subject, unix.Stat_t, error) {
	s, st, err := openProtected(dir, name, archive.File)
	if errors.Is(err, unix.EACCES) {
		openUp(dir, name)
		s, st, err = openProtected(dir, name, archive.File)
	}
	if err == nil && st.Nlink != 1 {
		s.close()
		err = errReplaced
	}
	return s, st, err
}

// openUp makes a file readable that we may not read. It gets the archive's mode in
// a moment. Not ours to change: then it cannot be opened.
func openUp(dir int, name string) {
	node, err := openNode(dir, name, archive.File)
	if err != nil {
		return
	}
	defer node.close()
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		_ = node.chmod(uint32(st.Mode)&0o7777 | 0o600)
	}
}

// makeWay takes from s what keeps it from changing. What cannot be taken is not
// ours: then whatever is to change says so.
func (r *run) makeWay(s subject) {
	r.expose(s)
	r.openToUs(s, 0o600)
}

// openToUs gives an ordinary user rights to s. It gets the archive's mode in a
// moment, but extended attributes first.
func (r *run) openToUs(s subject, rights int) {
	if mode := s.has.mode; !r.owners.root && mode&rights != rights {
		s.has.modeChanged()
		_ = s.chmod(uint32(mode | rights))
	}
}

// list tells what became of a path.
func (r *run) list(s Status, path string) {
	if r.o.List == nil {
		return
	}
	r.warning.Lock()
	defer r.warning.Unlock()
	r.o.List(s, path)
}
