package backup

import (
	"context"
	"fmt"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/packer"
)

// assembly takes slots in archive order and writes the archive's tree. It is
// one goroutine's.
type assembly struct {
	r      *run
	work   chan<- job     // where workers take their jobs from
	framer *packer.Framer // of metadata
	tree   *archive.Writer
	read   func(*bigJob) // begins to read a file whose turn has come
	count  *Progress
	warn   func(path string, err error)
	list   func(*slot)
}

func newAssembly(ctx context.Context, framer *packer.Framer, seed uint64, r *run, work chan<- job) *assembly {
	a := &assembly{r: r, work: work, framer: framer, count: r.progress, warn: r.warn, list: r.list}
	a.tree = archive.NewWriter(seed, a.put(ctx))
	return a
}

// put stores one metadata chunk.
func (a *assembly) put(ctx context.Context) func([]byte) (objects.ID, error) {
	return func(plain []byte) (objects.ID, error) { return a.framer.Put(ctx, plain) }
}

// run consumes slots until the channel closes, and finishes the tree. All
// metadata chunks have been handed to the Packer when it returns nil.
func (a *assembly) run(ctx context.Context, runs <-chan []*slot) (archive.Root, error) {
	for {
		select {
		case slots, more := <-runs:
			if !more {
				return a.finish(ctx)
			}
			for _, s := range slots {
				if err := a.take(ctx, s); err != nil {
					return archive.Root{}, err
				}
			}
			if a.r.checkpointDue() {
				if err := a.checkpoint(ctx, nil); err != nil {
					return archive.Root{}, err
				}
			}
		case <-ctx.Done():
			return archive.Root{}, context.Cause(ctx)
		}
	}
}

func (a *assembly) finish(ctx context.Context) (archive.Root, error) {
	root, err := a.tree.Finish()
	if err != nil {
		return archive.Root{}, fmt.Errorf("finish archive: %w", err)
	}
	return root, a.framer.Flush(ctx)
}

// take waits until s is ready and adds its entry to the tree.
func (a *assembly) take(ctx context.Context, s *slot) error {
	if err := a.complete(ctx, s); err != nil {
		return err
	}
	a.list(s)
	if s.failed {
		return nil
	}
	s.settle()
	if s.set != nil {
		s.set.entry = s.entry
	} else if s.twin != nil {
		s.twin.set.entry = s.entry
	}
	if err := a.tree.Add(s.entry); err != nil {
		return fmt.Errorf("archive %s: %w", s.path, err)
	}
	a.count.count(s.entry)
	return nil
}

// complete fills in what the readers found.
func (a *assembly) complete(ctx context.Context, s *slot) error {
	switch {
	case s.batch != nil:
		if err := wait(ctx, s.batch.done); err != nil || !s.grown {
			return err
		}
		return a.readNow(ctx, s, s.batch.file(s))
	case s.big != nil:
		return a.completeBig(ctx, s)
	case s.twin != nil && s.twin.set.entry == nil:
		return a.readNow(ctx, s, s.twin.file) // the first name could not be read
	case s.twin != nil:
		path := s.entry.Path
		*s.entry = *s.twin.set.entry // names of one file have everything else in common
		s.entry.Path = path
	}
	return nil
}

// readNow reads a file that was to be had in another way.
func (a *assembly) readNow(ctx context.Context, s *slot, file source) error {
	s.big = &bigJob{file: file, segments: make(chan *segment, segmentsAhead)}
	a.read(s.big)
	return a.completeBig(ctx, s)
}

// completeBig collects a big file's extents as its segments are stored.
func (a *assembly) completeBig(ctx context.Context, s *slot) error {
	content := archive.NewContentWriter(a.put(ctx))
	for {
		var seg *segment
		var more bool
		select {
		case seg, more = <-s.big.segments:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !more {
			break
		}
		if seg.restart {
			content = archive.NewContentWriter(a.put(ctx))
			continue
		}
		if err := wait(ctx, seg.done); err != nil {
			return err
		}
		for _, x := range seg.extents {
			if err := content.Add(x); err != nil {
				return fmt.Errorf("list chunks of %s: %w", s.path, err)
			}
		}
		if a.r.checkpointDue() {
			if err := a.checkpointIn(ctx, s, content); err != nil {
				return err
			}
		}
	}
	return s.finishBig(content)
}

// checkpointIn makes a checkpoint in the middle of a file.
func (a *assembly) checkpointIn(ctx context.Context, s *slot, content *archive.ContentWriter) error {
	entry, err := partial(s.entry, content)
	if err != nil {
		return err
	}
	return a.checkpoint(ctx, entry)
}

// finishBig fills in what reading a big file found. Of one that the run had no
// time for, what there is of it stays.
func (s *slot) finishBig(content *archive.ContentWriter) error {
	if err := s.big.result.err; err != nil {
		return err
	}
	if s.failed = s.big.result.failed; s.failed {
		return nil
	}
	if s.big.result.cut {
		entry, err := partial(s.entry, content)
		if s.failed = entry == nil; !s.failed {
			*s.entry = *entry
		}
		return err
	}
	var err error
	s.big.result.fill(s.entry)
	s.entry.Content, err = content.Finish()
	return err
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
