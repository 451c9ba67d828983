package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"cairn/backend"
	"cairn/index"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
)

// Lost is a repository whose head is lost, and what can be brought back from
// its commit records.
type Lost struct {
	*locking.Survey
	Kept []record.Archive // of those beside the line: whole, and part of the rebuilt repository
	Gone []record.Archive // and those that are not whole any more

	// Adopted is how many packs were found that no record is left to name. They
	// become part of the repository, for archives beside the line need some.
	Adopted int

	r     *Repository
	cache string
}

// OpenLost opens a repository whose head is lost, without changing anything. It
// answers locking.ErrHeadWhole for any other. The caller closes it.
func OpenLost(ctx context.Context, store Store, o Options) (l *Lost, err error) {
	r := &Repository{store: store, o: o, doubted: map[objects.ID]struct{}{}}
	config, err := r.readConfig(ctx)
	if err != nil {
		return nil, err
	}
	// That head cannot be read is what brings one here: Survey tells.
	if _, err := r.enterBy(ctx, entrance{config: config}); err != nil && r.chain == nil {
		return nil, err
	}
	l = &Lost{r: r}
	if l.Survey, err = r.chain.Survey(ctx); err != nil {
		return nil, err
	}
	if l.cache, err = os.MkdirTemp(o.CacheDir, "rebuild-"); err != nil {
		return nil, fmt.Errorf("make a directory for the index: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if r.Index, err = index.Open(l.cache, r.Config.Repository); err != nil {
		return nil, err
	}
	r.news.Store(&locking.News{State: l.State})
	if err := r.Sync(ctx); err != nil {
		return nil, err
	}
	if err := l.sort(ctx); err != nil || len(l.Gone) == 0 {
		return l, err
	}
	if err := l.adopt(ctx); err != nil {
		return nil, err
	}
	return l, l.sort(ctx)
}

// adopt takes in the packs that no record names: one that did may be lost, which
// is no reason to lose what later archives have in them.
func (l *Lost) adopt(ctx context.Context) error {
	var mu sync.Mutex
	var packs []record.Pack
	err := l.r.adopt(ctx, l.State, func(p record.Pack) {
		mu.Lock()
		defer mu.Unlock()
		p.Header = nil // read from the pack by who wants it: a record has no room for all
		packs = append(packs, p)
	})
	if err != nil {
		return fmt.Errorf("look for packs that no commit is left to name: %w", err)
	}
	l.Adopt(packs...)
	l.Adopted = len(packs)
	l.r.news.Store(&locking.News{State: l.State})
	return nil
}

// sort tells which archives beside the line are whole.
func (l *Lost) sort(ctx context.Context) error {
	l.Kept, l.Gone = nil, nil
	for _, a := range l.Beside {
		whole, err := l.whole(ctx, a)
		if err != nil {
			return fmt.Errorf("archive %s: %w", a.Name, err)
		}
		if whole {
			l.Kept = append(l.Kept, a)
		} else {
			l.Gone = append(l.Gone, a)
		}
	}
	return nil
}

// errLacking ends the search in an archive that lacks a chunk.
var errLacking = errors.New("a chunk is in no live pack")

// whole reports whether all chunks that a needs are in live packs.
func (l *Lost) whole(ctx context.Context, a record.Archive) (bool, error) {
	root := (&Archive{Listed: record.Listed{Archive: a}}).Root()
	err := archive.NewReader(root, l.r.NewMetaReader().Fetch(ctx)).Needs(func(n archive.Need) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		known, err := l.r.Index.Has(n.ID)
		if err == nil && !known {
			err = errLacking
		}
		return true, err
	})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errLacking), errors.Is(err, ErrNoChunk), errors.Is(err, backend.ErrNotExist), objects.IsCorrupt(err):
		return false, nil
	}
	return false, err
}

// Rebuild writes a new head. Whoever has seen the repository at a generation
// that could not be brought back is told that it was rolled back or forked.
func (l *Lost) Rebuild(ctx context.Context, now time.Time) error {
	_, err := l.Survey.Rebuild(ctx, record.Commit{Made: now, Host: l.r.o.Host, User: l.r.o.User}, l.Kept)
	return err
}

// Close gives up what OpenLost took, except the store.
func (l *Lost) Close() error {
	var err error
	if l.r.Index != nil {
		err = l.r.Index.Close()
	}
	return errors.Join(err, os.RemoveAll(l.cache))
}
