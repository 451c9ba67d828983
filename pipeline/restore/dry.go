package restore

import (
	"errors"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
)

// look returns the directory called name in d, if it is there; else nil. It
// changes nothing. What stands in its place is errInTheWay where enter says so.
func (d *dir) look(name string, choice Choice) (*dir, error) {
	if d == nil {
		return nil, nil
	}
	parent, err := d.acquire()
	if err != nil {
		return nil, err
	}
	defer d.release()
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case err != nil:
		return nil, err
	case kindOf(&st) == archive.Dir:
		d.pending.Add(1)
		child := &dir{tree: d.tree, parent: d, name: name, h: handle{fd: -1}}
		child.pending.Store(1)
		return child, nil
	case choice != Take:
		return nil, errInTheWay
	}
	return nil, nil
}

// wouldPut says what would be done about an entry that is no directory.
func (p *planner) wouldPut(d *dir, name string, e *archive.Entry) error {
	todo, err := p.r.decide(d, name, e)
	if err != nil {
		return p.loseUnlessFatal(e.Path, err)
	}
	p.r.count(&file{is: e.Type, status: todo.status, keep: todo.keep})
	if todo.status != Kept || todo.keep {
		p.r.progress.Bytes.Add(e.Size)
	}
	p.r.list(todo.status, targetPath(e.Path, p.r.o.Strip))
	return nil
}
