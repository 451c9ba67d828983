package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/fileattr"
)

// A file or directory that is immutable, append-only or not to be unlinked
// cannot be renamed, linked to or filled. So what is restored gets such flags
// when nothing of that is to come; and what is in the way loses them, if we may
// take them.

// protect gives f, which has its name, the flags that keep it from changing.
// A file of several names gets them when all of them are made.
func (r *run) protect(f *file) {
	flags := f.attrs.flags & attr.Protective
	if flags == 0 {
		return
	}
	if f.link != nil {
		f.link.guard(f, flags)
		return
	}
	r.guard(f, flags)
}

// guard sets flags on what has f's name and is f.
func (r *run) guard(f *file, flags attr.Flags) {
	dir, err := f.dir.acquire()
	if err == nil {
		defer f.dir.release()
		var s subject
		var st unix.Stat_t
		if s, st, err = openProtected(dir, f.name, f.is); err == nil {
			defer s.close()
			if idOf(&st) == f.h.id {
				r.setFlags(s, flags, 0, f.path)
				return
			}
			err = errReplaced // maybe by another name of a file that is none of ours
		}
	}
	r.warn(f.path(), fmt.Errorf("set flags %s: %w", flags, err))
}

// guardLinks protects the files of several names. All names are made.
func (p *planner) guardLinks() {
	for _, set := range p.links {
		if set.guarded != nil {
			p.r.guard(set.guarded, set.flags)
		}
	}
}

// openProtected opens what is called name in dir to set flags on it. It must be
// of the given type. What is neither a file nor a directory is not opened.
func openProtected(dir int, name string, is archive.Type) (s subject, st unix.Stat_t, err error) {
	s = subject{File: fileattr.File{Dir: dir, Name: name, FD: -1, ByName: true, Type: is}}
	if is != archive.File && is != archive.Dir {
		err = retry(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	} else if err = retry(func() (err error) {
		s.FD, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	}); err == nil {
		s.ByName = false
		err = retry(func() error { return unix.Fstat(s.FD, &st) })
	}
	if err == nil && uint32(st.Mode)&unix.S_IFMT != fileattr.Format(is) {
		err = errReplaced
	}
	if err != nil {
		s.close()
	}
	return s, st, err
}

// rename gives f, which is called from in dir, its name, in the place of another
// file or of a directory (see makeRoom) if need be.
func (r *run) rename(f *file, dir int, from string) error {
	if !safeName(f.name) {
		return errName
	}
	place := func() error {
		return retry(func() error { return unix.Renameat(dir, from, dir, f.name) })
	}
	err := place()
	switch {
	case errors.Is(err, unix.EPERM) && r.o.Without&Flags == 0:
		return unprotected(dir, f.name, err, place)
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.EEXIST):
		if err := r.makeRoom(dir, f.name, f.path()); err != nil {
			return fmt.Errorf("remove the directory that has its place: %w", err)
		}
		return place()
	}
	return err
}

// unprotected calls replace once more, which has refused to replace what is
// called name in dir, after it took the flags that protect that. If it has other
// names it gets them back: those may lie outside the target.
func unprotected(dir int, name string, refused error, replace func() error) error {
	is, err := typeOf(dir, name)
	if err != nil {
		return refused
	}
	s, st, err := openProtected(dir, name, is)
	if err != nil {
		return refused
	}
	defer s.close()
	flags, err := s.Flags()
	if flags &= attr.Protective; err != nil || flags == 0 || s.ChangeFlags(0, flags) != nil {
		return refused
	}
	err = replace()
	if err != nil || st.Nlink > 1 {
		err = errors.Join(err, s.ChangeFlags(flags, 0))
	}
	return err
}

// expose takes the flags that keep s from changing. Not ours to take: then
// whatever is to change says so.
func (r *run) expose(s subject) {
	if r.o.Without&Flags != 0 {
		return
	}
	if flags, err := s.Flags(); err == nil && flags&attr.Protective != 0 {
		_ = s.ChangeFlags(0, flags&attr.Protective)
	}
}

func typeOf(dir int, name string) (archive.Type, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, err
	}
	for _, t := range []archive.Type{archive.File, archive.Dir, archive.Symlink, archive.CharDevice, archive.BlockDevice, archive.Fifo} {
		if uint32(st.Mode)&unix.S_IFMT == fileattr.Format(t) {
			return t, nil
		}
	}
	return 0, errReplaced // a socket: nothing protects it
}

// lift takes the flags that keep an open directory, which was there, from being
// filled. They are put back when it is left, unless it gets others.
func (d *dir) lift(fd int) {
	s := d.subject(-1, fd)
	flags, err := s.Flags()
	if flags &= attr.Protective; err != nil || flags == 0 {
		return
	}
	// Not ours to change: then whatever is to be made in it says so.
	if s.ChangeFlags(0, flags) == nil {
		d.tree.mu.Lock()
		defer d.tree.mu.Unlock()
		d.tree.lifted[d] = flags
	}
}

// lower returns the flags that lift took of d, which is left, and forgets them.
func (d *dir) lower() attr.Flags {
	d.tree.mu.Lock()
	defer d.tree.mu.Unlock()
	flags := d.tree.lifted[d]
	delete(d.tree.lifted, d)
	return flags
}

// lowerAll puts back what is still lifted: the target's own, and after a failure
// what was not left.
func (r *run) lowerAll() {
	for d := range r.tree.lifted { // nobody else is at work any more
		flags := d.lower()
		fd, err := d.acquire()
		if err != nil {
			r.warn(d.own(), fmt.Errorf("put back flags %s: %w", flags, err))
			continue
		}
		r.setFlags(d.subject(-1, fd), flags, 0, d.own)
		d.release()
	}
}

// subject returns d, open as fd, as what attributes are given to.
func (d *dir) subject(parent, fd int) subject {
	return subject{File: fileattr.File{Dir: parent, Name: d.name, FD: fd, Type: archive.Dir}}
}
