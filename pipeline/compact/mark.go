package compact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// mark says which chunks the archives of a state need.
type mark struct {
	*index.Marks
	repo      *repository.Repository
	archives  map[objects.ID]struct{} // covered
	condemned int                     // how many packs the state has condemned, by this run too
	missing   atomic.Uint64           // chunks of data that no pack has
}

// mark finds out what all archives need, and how much of each pack that is.
func (c *compaction) mark(ctx context.Context) (*mark, error) {
	m, err := c.markAll(ctx, slices.Collect(c.repo.State().Archives.All()))
	if err != nil {
		return nil, err
	}
	if n := m.missing.Load(); n > 0 {
		c.o.Warn(fmt.Errorf("%d chunks that archives need are in no pack; run cairn check to see whose", n))
	}
	return m, m.Weigh()
}

// markAll marks what archives need.
func (c *compaction) markAll(ctx context.Context, archives []record.Listed) (*mark, error) {
	marks, err := c.repo.Index.NewMarks()
	if err != nil {
		return nil, fmt.Errorf("mark what is needed: %w", err)
	}
	m := &mark{
		Marks: marks, repo: c.repo, archives: map[objects.ID]struct{}{},
		condemned: c.repo.State().Condemned.Len(),
	}
	c.count.Archives.Store(0)
	c.count.ArchivesTotal.Store(uint64(len(archives)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.o.Workers)
	for _, a := range archives {
		m.archives[a.ID] = struct{}{}
		group.Go(func() error {
			err := m.add(ctx, a)
			c.count.Archives.Add(1)
			return err
		})
	}
	return m, group.Wait()
}

// add marks what one archive needs.
func (m *mark) add(ctx context.Context, a record.Listed) error {
	meta := m.repo.NewMetaReader()
	reader := archive.NewReader((&repository.Archive{Listed: a}).Root(), meta.Fetch(ctx))
	// Metadata that is in none of the packs is new since marking began, and is
	// gone through once for each archive.
	err := reader.Needs(func(n archive.Need) (below bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		fresh, known, err := m.Mark(n.ID)
		if err != nil {
			return false, err
		}
		if !known && n.Kind == objects.Data {
			return false, m.unknown(ctx, n.ID)
		}
		return fresh || !known, nil
	})
	if err != nil {
		return fmt.Errorf("mark what archive %s needs: %w", a.Name, err)
	}
	return nil
}

// unknown counts a chunk of data that is nowhere: its file is damaged, and
// nothing that can be removed would mend it.
func (m *mark) unknown(ctx context.Context, id objects.ID) error {
	_, err := m.repo.Lookup(ctx, id)
	if errors.Is(err, repository.ErrNoChunk) {
		m.missing.Add(1)
		return nil
	}
	return err
}

// cover marks what was added since: state is then the one that the marks cover.
// It answers errRestart when others have condemned packs,
// because what was to be kept may have been kept in them.
func (m *mark) cover(ctx context.Context, state *record.State) error {
	if state.Condemned.Len() != m.condemned {
		return errRestart
	}
	for a := range state.Archives.All() {
		if _, covered := m.archives[a.ID]; covered {
			continue
		}
		if err := m.add(ctx, a); err != nil {
			return err
		}
		m.archives[a.ID] = struct{}{}
	}
	return nil
}
