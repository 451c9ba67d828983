package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cairn/objects/archive"
)

// level is a directory that the planner is in. It is made when something in it
// is wanted.
type level struct {
	path   string
	choice Choice         // Take, or Look for a mere parent
	entry  *archive.Entry // nil: lost to damage; the directory gets no attributes
	dir    *dir           // nil: not made
	err    error          // why it cannot be made

	asked bool     // make was called
	clear bool     // what the archive does not have is removed from it
	names []string // with clear: what the archive has in it
	lost  bool     // names may be incomplete, because the archive is damaged
}

// ascend leaves the directories that path is not in, and enters those of its
// parents whose entries were lost to damage.
func (p *planner) ascend(path string) error {
	keep := len(p.levels)
	for keep > 1 && !within(path, p.levels[keep-1].path) {
		keep--
	}
	if err := p.leave(keep); err != nil {
		return err
	}
	begin := 0
	if top := p.levels[keep-1].path; top != "" {
		begin = len(top) + 1
	}
	for {
		n := strings.IndexByte(path[begin:], '/')
		if n < 0 {
			return nil
		}
		p.levels = append(p.levels, level{path: strings.Clone(path[:begin+n]), choice: Look})
		begin += n + 1
	}
}

// leave goes up until n levels are left.
func (p *planner) leave(n int) error {
	for i := len(p.levels) - 1; i >= n; i-- {
		if err := p.clear(&p.levels[i]); err != nil {
			return err
		}
		if err := p.r.done(p.levels[i].dir); err != nil {
			return err
		}
	}
	clear(p.levels[n:])
	p.levels = p.levels[:n]
	return nil
}

// toldError is an error about a directory that Warn was already told about.
type toldError struct{ err error }

func (e toldError) Error() string { return "cannot make its directory: " + e.err.Error() }
func (e toldError) Unwrap() error { return e.err }

// told returns err as a toldError.
func told(err error) error {
	if unlessTold(err) == nil {
		return err
	}
	return toldError{err}
}

func unlessTold(err error) error {
	if errors.As(err, &toldError{}) {
		return nil
	}
	return err
}

// descend makes the directories that the planner is in, as far as they are not
// there yet, and returns the last one. An error that is a toldError ends
// nothing but them.
func (p *planner) descend(ctx context.Context) (*dir, error) {
	at := p.levels[0].dir
	for i := range p.levels[1:] {
		if i < p.r.o.Strip {
			continue // the target stands for it
		}
		l := &p.levels[i+1]
		if !l.asked {
			l.asked = true
			if err := p.make(ctx, at, l); err != nil {
				return nil, err
			}
		}
		if l.err != nil {
			return nil, told(l.err)
		}
		at = l.dir
	}
	return at, nil
}

// make makes the directory of l in at.
func (p *planner) make(ctx context.Context, at *dir, l *level) (err error) {
	var attrs *attributes
	if l.entry != nil && !p.r.o.DryRun {
		a := p.attributes(ctx, l.entry)
		attrs = &a
	}
	l.entry = nil
	l.dir, err = p.enter(at, l, attrs)
	if err == nil {
		return nil
	}
	if fatal(err) {
		return err
	}
	l.err = err
	p.lose(l.path, fmt.Errorf("make directory: %w", err))
	return nil
}

// enter makes the directory of l in at, or looks what there is.
func (p *planner) enter(at *dir, l *level, attrs *attributes) (d *dir, err error) {
	name, choice := lastName(l.path), l.choice
	if p.r.keepsDirs() {
		choice = Look
	}
	if p.r.o.DryRun {
		d, err = at.look(name, choice)
	} else {
		d, err = at.enter(name, attrs, choice)
	}
	if err != nil {
		return nil, err
	}
	status := Kept
	if d == nil || d.made {
		status = Added
	}
	if d == nil {
		p.r.progress.Dirs.Add(1)
	}
	if l.choice == Take || status == Added {
		p.r.list(status, targetPath(l.path, p.r.o.Strip))
	}
	return d, nil
}
