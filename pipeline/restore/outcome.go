package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"cairn/backend"
	"cairn/objects/archive"
	"cairn/objects/attr"
)

// begun remembers that f has, or will have, a temporary file.
func (r *run) begun(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unfinished[f] = struct{}{}
}

func (r *run) ended(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.unfinished, f)
}

// fail gives f up. The error it returns ends the restore.
func (r *run) fail(f *file, err error) error {
	if fatal(err) {
		return err
	}
	r.giveUp(f, err)
	return nil
}

// lost gives f up because the source cannot give it. The error it returns ends
// the restore.
func (r *run) lost(f *file, err error) error {
	if fatal(err) {
		return err
	}
	if r.giveUp(f, err) && !f.attrs.lost {
		r.damaged(err)
	}
	return nil
}

// giveUp makes f fail, and reports whether it had not failed before.
func (r *run) giveUp(f *file, err error) (first bool) {
	if f.failed.Swap(true) {
		return false
	}
	r.progress.Failed.Add(1)
	if !errors.Is(err, errLacking) {
		r.warn(f.path(), err)
	}
	r.notThere(f.path())
	return true
}

// damaged counts an entry that the source cannot give whole. One that it is not
// allowed to give is none: nothing says that it is not there.
func (r *run) damaged(err error) {
	if !errors.Is(err, backend.ErrDenied) {
		r.progress.Damaged.Add(1)
	}
}

// resolved says that n pieces of f are written or given up; with the last one f
// gets its name.
func (r *run) resolved(f *file, n int64) error {
	if f.pending.Add(-n) > 0 {
		return nil
	}
	if !f.failed.Load() {
		if err := r.putPieces(f); err != nil {
			if err := r.fail(f, err); err != nil {
				return err
			}
		}
	}
	if f.failed.Load() {
		f.discard()
	}
	r.ended(f)
	return r.over(f)
}

// over is the end of f, in place or failed.
func (r *run) over(f *file) error {
	if f.failed.Load() {
		r.list(Failed, f.path())
	} else {
		r.count(f)
		r.list(f.status, f.path())
	}
	if f.link != nil && f.joins == nil {
		if err := r.placed(f); err != nil {
			return err
		}
	}
	return r.done(f.dir)
}

// placed deals with those who waited for the first of their links.
func (r *run) placed(first *file) error {
	for _, f := range first.link.settled(first) {
		if first.failed.Load() {
			r.again(f) // it joins the set again
			continue
		}
		if err := r.linked(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) count(f *file) {
	if f.status == Kept && !f.keep {
		r.progress.Left.Add(1)
		return
	}
	if f.keep {
		r.progress.Kept.Add(1)
	}
	if f.is == archive.File {
		r.progress.Files.Add(1)
	} else {
		r.progress.Others.Add(1)
	}
	if f.joins != nil && f.link != nil {
		r.progress.Links.Add(1)
	}
}

// done says that something in d is over. With the last of it d gets its
// attributes, and is over itself.
func (r *run) done(d *dir) error {
	for d != nil && d.pending.Add(-1) == 0 {
		if d.parent != nil {
			if err := r.finishDir(d); err != nil {
				if fatal(err) {
					return err
				}
				r.warn(d.own(), err)
			}
			r.progress.Dirs.Add(1)
		}
		d = d.parent
	}
	return nil
}

// finishDir gives a directory its attributes after everything in it.
func (r *run) finishDir(d *dir) error {
	protective := d.lower()
	if d.attrs == nil && protective == 0 {
		return nil
	}
	parent, err := d.parent.acquire()
	if err != nil {
		return err
	}
	defer d.parent.release()
	fd, err := d.acquire()
	if err != nil {
		return err
	}
	s := d.subject(parent, fd)
	if d.attrs != nil {
		if !d.made {
			protective |= r.makeWayDir(d, &s)
		} else {
			s.handed = d.parent.hands
		}
		r.settle(s, d.attrs, d.own)
		if r.o.Without&Flags == 0 {
			protective = d.attrs.flags & attr.Protective
		}
		d.attrs = nil // a hard link may keep d
	}
	r.setFlags(s, protective, 0, d.own)
	d.release()
	return r.tree.fds.forget(&d.h)
}

// makeWayDir looks what s, which is d and was there, has of its attributes, and
// if something is missing takes the flags that keep it from changing, which it
// returns.
func (r *run) makeWayDir(d *dir, s *subject) attr.Flags {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(s.FD, &st) }); err != nil {
		return 0 // all is set then
	}
	if r.lookAt(s, &st, d.attrs, d.own); r.complete(*s, d.attrs) {
		return 0
	}
	d.lift(s.FD)
	r.openToUs(*s, 0o700)
	return d.lower()
}

func (r *run) warn(path string, err error) {
	r.progress.Warnings.Add(1)
	if r.o.Warn == nil {
		return
	}
	r.warning.Lock()
	defer r.warning.Unlock()
	r.o.Warn(path, err)
}
