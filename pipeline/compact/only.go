package compact

import (
	"context"
	"fmt"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// Share is what some archives need and no other does.
type Share struct {
	Chunks uint64
	Bytes  uint64 // of plaintext
	Stored uint64 // what that takes in the store, bytes; a frame counts in proportion
}

// Only returns what only the given archives need: what compacting frees when
// they are gone, once all else that nobody needs was freed. The index must stand
// for the state of repo.
func Only(ctx context.Context, repo *repository.Repository, archives map[objects.ID]bool, p *Progress) (Share, error) {
	o := Options{Progress: p}
	if err := o.complete(); err != nil {
		return Share{}, err
	}
	c := &compaction{o: o, repo: repo, count: o.Progress}
	var of, others []record.Listed
	for a := range repo.State().Archives.All() {
		if archives[a.ID] {
			of = append(of, a)
		} else {
			others = append(others, a)
		}
	}
	m, err := c.markAll(ctx, others)
	if err != nil {
		return Share{}, err
	}
	var s Share
	for _, a := range of {
		if err := s.add(ctx, m, a); err != nil {
			return Share{}, fmt.Errorf("add up what archive %s needs: %w", a.Name, err)
		}
	}
	return s, nil
}

// add adds what only a needs of all that was marked so far.
func (s *Share) add(ctx context.Context, m *mark, a record.Listed) error {
	reader := archive.NewReader((&repository.Archive{Listed: a}).Root(), m.repo.NewMetaReader().Fetch(ctx))
	return reader.Needs(func(n archive.Need) (below bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		fresh, _, err := m.Mark(n.ID)
		if err != nil || !fresh {
			return false, err
		}
		place, err := m.repo.Lookup(ctx, n.ID)
		if err != nil {
			return false, err
		}
		s.Chunks++
		s.Bytes += uint64(place.Len)
		s.Stored += uint64(place.Frame.Stored) * uint64(place.Len) / uint64(place.Frame.Raw)
		return true, nil
	})
}
