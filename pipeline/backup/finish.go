package backup

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// compare is a dry run: it walks and compares, and stores nothing.
func (r *run) compare(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	slots := make(chan []*slot, runsAhead)
	group.Go(func() error {
		defer close(slots)
		return r.scan(ctx, scan{slots: slots})
	})
	group.Go(func() error {
		for batch := range slots {
			for _, s := range batch {
				r.list(s)
				if !s.failed {
					r.progress.count(s.entry)
				}
			}
		}
		return nil
	})
	return group.Wait()
}

// describe completes the archive's descriptor.
func (r *run) describe(root archive.Root, begin time.Time) record.Archive {
	a := r.o.Archive
	a.Kind = record.Full
	if r.stopping() {
		a.Kind = record.Checkpoint
	}
	a.Roots = r.roots()
	a.Start, a.End = begin, r.o.Now()
	if !r.o.Archive.Start.IsZero() {
		a.Start, a.End = r.o.Archive.Start, r.o.Archive.Start.Add(a.End.Sub(begin))
	}
	a.Tree, a.Level = root.ID, root.Level
	a.Entries, a.Files, a.Dirs, a.Size = root.Entries, root.Files, root.Dirs, root.Size
	a.NewData, a.NewStored = r.stored.Raw.Load(), r.stored.Stored.Load()
	a.Warnings = r.progress.Warnings.Load()
	return a
}

// repeated returns the archive before, if the one with this root would say the
// same and is not wanted then.
func (r *run) repeated(root archive.Root) (before repository.Archive, ok bool) {
	if !r.o.SkipUnchanged || r.stopping() || len(r.before) != 1 {
		return before, false
	}
	before = r.before[0]
	r.skipped = before.Kind == record.Full && before.Root() == root
	return before, r.skipped
}

// roots returns what the archive says that it was made from.
func (r *run) roots() []record.Root {
	if r.o.Archive.Roots != nil {
		return r.o.Archive.Roots
	}
	var out []record.Root
	for _, root := range r.o.Roots {
		out = append(out, record.Root{Source: root.Source, Path: root.Path})
	}
	return out
}

// earlier returns the archives of the same source that this run can build on:
// the newest full one, and before it the newest checkpoint if that is newer
// still.
func (r *run) earlier() (found []repository.Archive) {
	mine := r.mine()
	for a := range r.repo.State().Archives.Backward() {
		again := len(found) > 0 && a.Kind == record.Checkpoint
		if again || !repository.SameSource(&a.Archive, &mine) {
			continue
		}
		found = append(found, repository.Archive{Listed: a})
		if a.Kind == record.Full {
			break
		}
	}
	return found
}

// mine returns what the archive will say of its source.
func (r *run) mine() record.Archive {
	a := r.o.Archive
	a.Roots = r.roots()
	return a
}

// superseded returns the checkpoints that are of no use once this run has
// committed.
func (r *run) superseded() []objects.ID {
	ids, mine := slices.Clone(r.checkpoints.made), r.mine()
	for old := range r.repo.State().Archives.Checkpoints() {
		if repository.SameSource(&old.Archive, &mine) {
			ids = append(ids, old.ID)
		}
	}
	return ids
}

// distrust lets a pack that could not be read vouch for nothing any more.
func (r *run) distrust(err error) {
	var bad *repository.PackError
	if !errors.As(err, &bad) {
		return
	}
	if err := r.repo.Distrust(bad.Pack); err != nil {
		r.warn(bad.Pack.String(), err)
	}
}

func (r *run) summary(begin time.Time) Summary {
	c := r.progress
	s := Summary{
		Files: c.Files.Load(), Dirs: c.Dirs.Load(), Others: c.Others.Load(),
		New: c.New.Load(), Changed: c.Changed.Load(), Unchanged: c.Unchanged.Load(),
		Bytes: c.Bytes.Load(), Read: c.Read.Load(), Warnings: c.Warnings.Load(),
		NewChunks: r.stored.Chunks.Load(), NewBytes: r.stored.Raw.Load(),
		Stored: r.stored.Stored.Load(), Packs: r.stored.Packs.Load(),
		Took: r.o.Now().Sub(begin), Interrupted: r.stopping(), Skipped: r.skipped,
	}
	if w := r.checkpoints.writer; w != nil {
		s.Waited, s.Held = w.Turns()
	}
	return s
}
