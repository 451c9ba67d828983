package check

import (
	"context"
	"fmt"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/repository"
)

// archives walks the tree of every archive.
func (c *checker) archives(ctx context.Context) error {
	for _, a := range c.repo.Archives() {
		if err := c.archive(ctx, a); err != nil {
			return err
		}
		c.progress.Archives.Add(1)
	}
	return nil
}

const (
	// namedMax is how many problems of one archive are told. A pack that is gone may
	// take millions of files with it, and as many in the next archive.
	namedMax = 1000

	// looks is how often an archive is gone through while others move what it
	// consists of.
	looks = 5
)

// archive checks that every entry of a can be read and all its chunks are there.
// What others have moved meanwhile, or deleted, is no damage.
func (c *checker) archive(ctx context.Context, a repository.Archive) error {
	for look := 1; ; look++ {
		before := c.progress.Entries.Load()
		f, err := c.walk(ctx, a)
		if err != nil || f.problems == 0 {
			return err
		}
		moved, err := c.moved(ctx)
		if err != nil || !c.has(a.ID) {
			return err
		}
		if !moved || look == looks {
			c.tell(a, f)
			return nil
		}
		c.progress.Entries.Store(before)
	}
}

// moved brings the check to what is in the repository now, and reports whether
// that is more, or less, than it was.
func (c *checker) moved(ctx context.Context) (bool, error) {
	before := c.at
	if err := c.repo.Refresh(ctx); err != nil {
		return false, err
	}
	if c.repo.State().Commit == before {
		return false, nil
	}
	return true, c.allPacks(ctx)
}

// has reports whether the repository has an archive, as it was read last.
func (c *checker) has(id objects.ID) bool {
	return c.repo.State().Archives.Has(id)
}

// findings are what is wrong with an archive.
type findings struct {
	problems uint64
	first    []error // up to namedMax of them
}

// walk goes through an archive, on behind what cannot be read.
func (c *checker) walk(ctx context.Context, a repository.Archive) (f findings, err error) {
	meta := c.repo.NewMetaReader()
	reader := archive.NewReader(a.Root(), meta.Fetch(ctx))
	for e, err := range reader.All() {
		if ctx.Err() != nil {
			return f, ctx.Err()
		}
		if err == nil {
			c.progress.Entries.Add(1)
			if err = c.entry(reader, e); err == nil {
				continue
			}
			err = fmt.Errorf("%q: %w", e.Path, err)
		}
		err = fmt.Errorf("archive %s: %w", a.Name, err)
		if !damage(err) {
			return f, err
		}
		if f.problems++; f.problems <= namedMax {
			f.first = append(f.first, err)
		}
	}
	return f, nil
}

// tell tells what is wrong with an archive.
func (c *checker) tell(a repository.Archive, f findings) {
	for _, err := range f.first {
		c.problem(err)
	}
	if n := f.problems - uint64(len(f.first)); n > 0 {
		c.problems.Add(n - 1)
		c.problem(fmt.Errorf("archive %s: %d more files, or ranges of them, are damaged", a.Name, n))
	}
}
