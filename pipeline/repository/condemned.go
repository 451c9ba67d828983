package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/locking"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
)

// ErrGone says that a commit counts on a chunk whose pack was condemned while
// the run went on, and which cannot be had any more. What the run stored is
// kept. Its sources have to be read again: the index does not count on such
// chunks any more.
var ErrGone = errors.New("what this run counted on was removed from the repository meanwhile")

// moved takes in what others committed: locking.Run.Moved. The index cache
// itself stays at the generation where it is, for what this run has added is in
// no commit yet.
func (w *Writer) moved(ctx context.Context, news locking.News) error {
	w.r.note(news)
	// Before anything is taken in, which takes time: what is stored meanwhile is
	// either in the index by now, and dropped from it, or refused when it comes.
	w.refuse(news)
	if err := w.takeIn(ctx, news.State); err != nil {
		return fmt.Errorf("take in what others committed: %w", err)
	}
	w.mu.Lock()
	making, due := w.making, w.unchecked && w.checked != w.condemned
	w.mu.Unlock()
	if making == nil || !due {
		return nil // the commit to come looks
	}
	return w.recheck(ctx, making)
}

// refuse lets packs vouch for nothing that were condemned and that the index does
// not know: this run may be storing one, which another run saw before this one
// was told that it is durable, adopted, and found needless.
func (w *Writer) refuse(news locking.News) {
	if news.Since != w.shown { // records in between are gone
		w.r.Index.Refuse(slices.Collect(news.State.Condemned.All())...)
	}
	for _, link := range news.Records {
		w.r.Index.Refuse(link.Record.Condemned...)
	}
	w.shown = markOf(news.State)
}

func markOf(s *record.State) locking.Mark {
	return locking.Mark{Generation: s.Generation, Commit: s.Commit}
}

// takeIn brings the index to state, and notes whether anything was condemned
// since that was looked at: by the index alone that cannot be told, for others
// in this process may have brought it there before.
func (w *Writer) takeIn(ctx context.Context, state *record.State) error {
	err := w.r.takeIn(ctx, state)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unchecked = w.unchecked || w.condemned != state.Condemned.Len()
	w.condemned = state.Condemned.Len()
	return err
}

// takeIn is bring, and tells of packs that are not there.
func (r *Repository) takeIn(ctx context.Context, state *record.State) error {
	defer r.tellAbsent()
	return r.bring(ctx, state)
}

// bring makes findable what state has and the index lacks, and lets what was
// condemned vouch for nothing any more.
func (r *Repository) bring(ctx context.Context, state *record.State) error {
	r.rebuild.Lock()
	defer r.rebuild.Unlock()
	missing, extra, err := r.compare(state)
	if err != nil {
		return err
	}
	for _, id := range extra {
		dead := state.Condemned.Has(id)
		switch {
		case dead && r.Index.Pending(id):
			r.Index.Drop(id) // stored by this run, adopted by another one, and condemned
		case dead:
			r.Index.Distrust(id) // still to be read from, while the grace lasts
		}
	}
	f := fetch{r: r, packs: missing}
	_, err = f.run(ctx, state, false)
	return err
}

// recheck makes sure that c names no chunk that no live pack holds. What it has
// to store for that is made part of c. It speaks for c alone: what the run took
// over before the packs were condemned may wait for a later commit, so each of them
// is checked.
func (w *Writer) recheck(ctx context.Context, c *record.Commit) error {
	w.mu.Lock()
	condemned := w.condemned
	w.mu.Unlock()
	p, ctx := packer.New(ctx, packer.Options{
		Keys: w.r.Keys, Store: w.r.store.Backend, Index: w.r.Index,
		FrameSize: int(w.r.Config.FrameSize), Target: rescueTarget, Uploads: 1, Level: pack.Fastest,
		Before: w.lease.Ensure,
	})
	err := w.rescueAll(ctx, p, c)
	packs, closeErr := p.Close()
	if closeErr != nil {
		return closeErr // the cause; err is what it did to the other
	}
	w.Add(packs)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.packs = slices.DeleteFunc(w.packs, func(p record.Pack) bool {
		return w.r.State().Condemned.Has(p.ID)
	})
	c.Packs, w.checked = slices.Clone(w.packs), condemned
	w.mu.Unlock()
	w.r.carry(ctx, c)
	return nil
}

// rescueTarget is the size of the packs that hold rescued chunks, bytes.
const rescueTarget = 8 << 20

// rescueAll looks at everything that the archives of c need. When something is
// gone, all else was rescued nevertheless.
func (w *Writer) rescueAll(ctx context.Context, p *packer.Packer, c *record.Commit) error {
	s := rescue{r: w.r, done: map[objects.ID]struct{}{}, chunks: w.r.NewChunkReader()}
	for i := range s.framers {
		f, err := p.NewFramer(objects.Kind(i + 1))
		if err != nil {
			return err
		}
		s.framers[i] = f
	}
	for i := range c.Archives {
		a := Archive{record.Listed{Archive: c.Archives[i]}}
		reader := archive.NewReader(a.Root(), w.r.NewMetaReader().Fetch(ctx))
		err := reader.Needs(func(n archive.Need) (bool, error) { return s.need(ctx, n) })
		if lost(err) {
			s.gone = fmt.Errorf("%w: archive %s: %w", ErrGone, a.Name, err)
		} else if err != nil {
			return fmt.Errorf("look for what was condemned meanwhile: archive %s: %w", a.Name, err)
		}
	}
	for _, f := range s.framers {
		if err := f.Flush(ctx); err != nil {
			return err
		}
	}
	return s.gone
}

// rescue stores anew, from condemned packs that are still there, the chunks
// that archives need and no live pack holds. Memory: 32 bytes for each of them,
// and for each chunk of metadata.
type rescue struct {
	r       *Repository
	framers [2]*packer.Framer // by kind - 1
	chunks  *ChunkReader
	done    map[objects.ID]struct{} // what was rescued, and metadata that was gone through
	gone    error                   // what cannot be had any more; nil: nothing
}

func (s *rescue) need(ctx context.Context, n archive.Need) (below bool, err error) {
	if _, again := s.done[n.ID]; again {
		return false, nil
	}
	live, err := s.r.Index.Has(n.ID)
	if err != nil {
		return false, fmt.Errorf("look up chunk %s: %w", n.ID, err)
	}
	if !live || n.Kind == objects.Meta {
		s.done[n.ID] = struct{}{}
	}
	if live {
		return true, nil
	}
	place, err := s.r.Lookup(ctx, n.ID)
	var chunk []byte
	if err == nil {
		chunk, err = s.chunks.At(ctx, place, n.Kind, n.ID)
	}
	if lost(err) && n.Kind == objects.Data {
		s.gone = fmt.Errorf("%w: %w", ErrGone, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.framers[n.Kind-1].Keep(ctx, n.ID, chunk)
}

// lost reports whether err says that a chunk cannot be had, now or later.
func lost(err error) bool {
	var bad *PackError
	return errors.Is(err, ErrNoChunk) || errors.As(err, &bad) || objects.IsCorrupt(err)
}
