package restore

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"cairn/objects/archive"
)

const (
	// seekAfter is how many entries below a skipped directory are passed over
	// before the rest of them is jumped over.
	seekAfter = 512

	// spilledMax is how long an extended attribute may be, bytes. No system
	// that takes larger ones is supported.
	spilledMax = 16 << 20

	partialSuffix = ".partial"
)

var (
	errPartial = errors.New("was cut short by an interruption of the backup and is not restored unless asked for")
	errSpilled = errors.New("is too large")
)

// planner goes through the archive, makes the directories, and plans the files
// in windows. One goroutine does it all.
type planner struct {
	r       *run
	jobs    chan<- job
	reader  *archive.Reader
	w       *window
	levels  []level // from the target down to the directory that the planner is in
	skipped string  // a directory that nothing is wanted of; empty: none yet
	links   map[archive.Link]*linkSet

	stripper stripper
}

// plan goes through the whole archive.
func (r *run) plan(ctx context.Context, root archive.Root, jobs chan<- job) error {
	p := planner{
		r: r, jobs: jobs, reader: archive.NewReader(root, r.source.Meta), w: <-r.free,
		levels: []level{{dir: r.tree.root}}, links: make(map[archive.Link]*linkSet),
		stripper: newStripper(r.o.Strip),
	}
	p.levels[0].clear = r.o.Delete != nil && r.o.Strip == 0 && r.o.Delete("")
	for from, more := "", true; more; {
		var err error
		if from, more, err = p.stretch(ctx, from); err != nil {
			return err
		}
	}
	if err := p.leave(1); err != nil {
		return err
	}
	if err := p.clear(&p.levels[0]); err != nil {
		return err
	}
	if err := p.rest(ctx); err != nil {
		return err
	}
	p.guardLinks()
	return nil
}

// stretch plans the entries from a path on, to the end or to where jumping is
// better: then there is more.
func (p *planner) stretch(ctx context.Context, from string) (next string, more bool, err error) {
	passed := 0
	for e, err := range p.reader.From(from) {
		switch {
		case err != nil:
			err = p.damaged(ctx, err)
		case p.skipped != "" && within(e.Path, p.skipped):
			if passed++; passed > seekAfter {
				return p.skipped + "\x00", true, nil // above all paths below skipped, and no others
			}
		default:
			passed = 0
			err = p.entry(ctx, e)
		}
		if err != nil {
			return "", false, err
		}
	}
	return "", false, nil
}

// damaged reports a part of the archive that cannot be read; the rest goes on.
func (p *planner) damaged(ctx context.Context, err error) error {
	if fatal(err) || ctx.Err() != nil {
		return err
	}
	var lost *archive.NodeError
	path := ""
	if errors.As(err, &lost) {
		path = lost.From
	}
	p.r.damaged(err)
	p.lose(path, err)
	for i := range p.levels {
		p.levels[i].lost = true
	}
	return nil
}

func (p *planner) entry(ctx context.Context, e *archive.Entry) error {
	choice := Take
	if p.r.o.Select != nil {
		choice = p.r.o.Select(e.Path, e.Type)
	}
	if err := p.ascend(e.Path); err != nil {
		return err
	}
	p.has(e.Path)
	choice = p.strip(e, choice)
	if e.Type != archive.Dir {
		if choice != Take {
			return nil
		}
		return p.file(ctx, e)
	}
	if choice == Skip {
		p.skipped = strings.Clone(e.Path)
		return nil
	}
	p.levels = append(p.levels, level{
		path: strings.Clone(e.Path), choice: choice, entry: e.Clone(), clear: p.clears(e.Path, choice),
	})
	if choice != Take {
		return nil
	}
	_, err := p.descend(ctx)
	if unlessTold(err) != nil {
		return err
	}
	if l := &p.levels[len(p.levels)-1]; err != nil && l.err == nil { // told only about one above
		l.err = err
		p.lose(e.Path, err)
	}
	return nil
}

// loseUnlessFatal reports an entry that is not restored. The error it returns
// ends the restore.
func (p *planner) loseUnlessFatal(path string, err error) error {
	if fatal(err) {
		return err
	}
	p.lose(path, err)
	return nil
}

// lose reports an entry that is not restored.
func (p *planner) lose(path string, err error) {
	p.r.progress.Failed.Add(1)
	p.r.warn(path, err)
	p.r.list(Failed, targetPath(path, p.r.o.Strip))
	p.r.notThere(targetPath(path, p.r.o.Strip))
}

func (p *planner) attributes(ctx context.Context, e *archive.Entry) attributes {
	return p.r.attributesOf(e, func(c *archive.Content) ([]byte, error) { return p.readAll(ctx, c) })
}

// file plans anything but a directory.
func (p *planner) file(ctx context.Context, e *archive.Entry) error {
	name := strings.Clone(lastName(e.Path))
	if e.Partial {
		if !p.r.o.Partial {
			p.r.warn(e.Path, errPartial)
			return nil
		}
		name += partialSuffix
	}
	d, err := p.descend(ctx)
	if err != nil {
		if unlessTold(err) != nil {
			return err
		}
		p.lose(e.Path, err)
		return nil
	}
	if p.r.o.DryRun {
		return p.wouldPut(d, name, e)
	}
	todo, err := p.r.decide(d, name, e)
	if err != nil {
		return p.loseUnlessFatal(e.Path, err)
	}
	f := &file{
		dir: d, name: name, is: e.Type, size: e.Size, status: todo.status, keep: todo.keep,
		h: handle{fd: -1},
	}
	if todo.status == Kept && !todo.keep {
		p.r.notThere(f.path())
		p.r.count(f)
		p.r.list(Kept, f.path())
		return nil
	}
	f.attrs = p.attributes(ctx, e)
	if e.Type != archive.File {
		f.node = &node{target: strings.Clone(e.Target), major: e.Major, minor: e.Minor}
	}
	d.pending.Add(1)
	p.w.files++
	p.w.extra += len(name) + len(e.Target) + f.attrs.weight()
	if f.keep {
		p.w.ready = append(p.w.ready, f)
		return p.flushIfFull(ctx)
	}
	if e.HasLink {
		f.link = p.set(e.Link)
		if first := p.join(f, &e.Content); !first {
			return p.flushIfFull(ctx)
		}
	}
	return p.content(ctx, f, &e.Content)
}

// join makes f a member of its set of links and reports whether it is the
// first: then it is restored like any file.
func (p *planner) join(f *file, c *archive.Content) (first bool) {
	content := c.Clone()
	p.w.extra += len(c.Inline) + 48*len(c.Extents)
	f.joins = &content // before others can see f
	first, ready := f.link.join(f)
	if first {
		f.joins = nil
	}
	if ready {
		p.w.ready = append(p.w.ready, f)
	}
	return first
}

// content plans the content of f, which becomes complete through it.
func (p *planner) content(ctx context.Context, f *file, c *archive.Content) error {
	if f.is != archive.File || c.Form == archive.Inline {
		f.inline = bytes.Clone(c.Inline)
		p.w.extra += len(f.inline)
		p.w.ready = append(p.w.ready, f)
		return p.flushIfFull(ctx)
	}
	p.r.begun(f)
	f.pending.Store(1)
	to := uint64(0)
	for x, err := range p.reader.Extents(c) {
		if err == nil {
			err = p.extent(ctx, f, to, x)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err := p.r.lost(f, err); err != nil {
				return err
			}
			break
		}
		to += x.Len
	}
	if err := p.r.resolved(f, 1); err != nil {
		return err
	}
	return p.flushIfFull(ctx)
}

// extent plans one piece of f.
func (p *planner) extent(ctx context.Context, f *file, to uint64, x archive.Extent) error {
	if x.Hole {
		f.written.Add(x.Len)
		p.r.progress.Bytes.Add(x.Len)
		return nil
	}
	if err := p.flushIfFull(ctx); err != nil {
		return err
	}
	place, err := p.r.source.Chunks.Lookup(ctx, x.ID)
	if err != nil {
		return err
	}
	if err := p.w.add(f, to, x, &place); err != nil {
		return err
	}
	f.pending.Add(1) // no worker has seen the piece yet
	return nil
}

func (p *planner) flushIfFull(ctx context.Context) error {
	if !p.w.full() {
		return nil
	}
	return p.flush(ctx)
}

// flush hands the window to the workers and takes another one.
func (p *planner) flush(ctx context.Context) error {
	if p.w.empty() {
		p.w.reset()
		return nil
	}
	if err := p.giveOut(ctx, p.w); err != nil {
		return err
	}
	select {
	case p.w = <-p.r.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rest plans the last window, and once more what could not be linked.
func (p *planner) rest(ctx context.Context) error {
	for {
		if err := p.idle(ctx); err != nil {
			return err
		}
		again := p.r.takeRedo()
		if len(again) == 0 {
			return nil
		}
		for _, f := range again {
			c := f.joins
			if f.link != nil && !p.join(f, c) {
				continue
			}
			if err := p.content(ctx, f, c); err != nil {
				return err
			}
		}
	}
}

// idle returns when everything planned so far is over.
func (p *planner) idle(ctx context.Context) error {
	if err := p.flush(ctx); err != nil {
		return err
	}
	for range windows - 1 { // p.w is the other one, and empty
		select {
		case w := <-p.r.free:
			defer func() { p.r.free <- w }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r *run) takeRedo() []*file {
	r.mu.Lock()
	defer r.mu.Unlock()
	redo := r.redo
	r.redo = nil
	return redo
}

// within reports whether path lies below dir.
func within(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
