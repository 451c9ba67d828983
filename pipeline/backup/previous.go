package backup

import (
	"context"
	"fmt"
	"iter"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/pipeline/repository"
)

// previous is what earlier archives of the same source say, read side by side
// with the walk: the last full archive and, after an interruption, the
// checkpoint that reaches as far as that run got. Nothing is kept in memory
// but the entries at the place the walk has reached.
type previous struct {
	streams []*stream // the newest first
	warn    func(path string, err error)

	// listed reports whether the repository has an archive, as it was read last.
	listed func(objects.ID) bool

	// distrust is told of what could not be read, so that a pack that is gone
	// does not vouch for what this run has to store.
	distrust func(error)
}

// stream is one earlier archive, read forward.
type stream struct {
	id    objects.ID
	name  string
	next  func() (*archive.Entry, error, bool)
	stop  func()
	entry *archive.Entry // the first one not passed yet; nil at the end
}

func openPrevious(ctx context.Context, repo *repository.Repository, archives []repository.Archive, r *run) *previous {
	p := &previous{warn: r.warn, distrust: r.distrust, listed: func(id objects.ID) bool {
		return repo.State().Archives.Has(id)
	}}
	for _, a := range archives {
		meta := repo.NewMetaReader()
		reader := archive.NewReader(a.Root(), meta.Fetch(ctx))
		next, stop := iter.Pull2(reader.All())
		s := &stream{id: a.ID, name: a.Name, next: next, stop: stop}
		p.streams = append(p.streams, s)
		p.advance(s)
	}
	return p
}

// at returns what is known of path, or nil. Paths must be asked for in
// archive order. The entry is valid until the next call.
func (p *previous) at(path string) *archive.Entry {
	var found *archive.Entry
	for _, s := range p.streams {
		for s.entry != nil && archive.ComparePaths(s.entry.Path, path) < 0 {
			p.advance(s)
		}
		if found == nil && s.entry != nil && s.entry.Path == path {
			found = s.entry
		}
	}
	return found
}

// advance moves s on by one. An archive that cannot be read any further only
// costs time: the files that it would have vouched for are read again. That others
// have deleted it meanwhile is nobody's fault.
func (p *previous) advance(s *stream) {
	e, err, ok := s.next()
	if err != nil && p.listed(s.id) {
		p.distrust(err)
		p.warn(s.name, fmt.Errorf("read previous archive, from here on files are read again: %w", err))
	}
	if s.entry = e; err != nil || !ok {
		s.entry = nil
	}
}

func (p *previous) close() {
	for _, s := range p.streams {
		s.stop()
	}
}
