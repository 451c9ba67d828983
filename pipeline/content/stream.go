package content

import (
	"context"
	"iter"

	"golang.org/x/sync/errgroup"

	"cairn/objects/archive"
)

// Item is one step of a Stream: an entry begins, or more of its content follows.
type Item struct {
	Entry *archive.Entry // begins; the rest is zero

	Data []byte // the next bytes; valid until the next item, and not to be changed
	Hole uint64 // or so many zeros that were never written
	Lost uint64 // or so many bytes that could not be had; Err says why
	Err  error
}

const (
	itemsAhead = 1024 // items between those who fetch and the one who takes
	itemsBatch = 256  // items that wait while more is found to fetch with theirs
)

// Stream returns entries in their order, each followed by its content, and
// fetches ahead. Bytes that cannot be had do not end it; an error of entries,
// which comes without an item, does not either, if the consumer goes on. The
// last error says that ctx has ended.
//
// Lists reads the lists of extents while the entries are iterated, in the
// goroutine that does so.
func (r *Reader) Stream(ctx context.Context, entries iter.Seq2[*archive.Entry, error], lists *archive.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		whole := ctx
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		group, ctx := errgroup.WithContext(ctx)
		s := &stream{r: r, lists: lists, items: make(chan step, itemsAhead), jobs: make(chan []*frame)}
		group.Go(func() error {
			defer close(s.items)
			defer close(s.jobs)
			return s.feed(ctx, entries)
		})
		for range r.o.Workers {
			group.Go(func() error {
				for run := range s.jobs {
					r.load(ctx, run)
				}
				return nil
			})
		}
		more := s.take(ctx, yield)
		cancel()
		for st := range s.items {
			st.release(r)
		}
		if _ = group.Wait(); more && whole.Err() != nil { // nothing else ends it early
			yield(Item{}, context.Cause(whole))
		}
	}
}

// stream is a Stream under way.
type stream struct {
	r     *Reader
	lists *archive.Reader
	items chan step
	jobs  chan []*frame

	// The feeder's: frames that nobody fetches yet, and the steps that need them.
	missing []*frame
	stored  int64 // bytes of missing
	pending []step
}

// step is an item whose bytes may still be on their way.
type step struct {
	item  Item
	err   error // of the entries
	chunk chunk // the frame is nil if the item has no data
}

func (st *step) release(r *Reader) {
	if st.chunk.frame != nil {
		r.frames.release(st.chunk.frame)
	}
}

// take hands items to the consumer until there are no more, or he has enough.
func (s *stream) take(ctx context.Context, yield func(Item, error) bool) (more bool) {
	for st := range s.items {
		if st.chunk.frame != nil {
			data, err := s.r.bytes(ctx, &st.chunk)
			if ctx.Err() != nil {
				st.release(s.r)
				return true // the group says why
			}
			if st.item.Data = data; err != nil {
				st.item = Item{Lost: uint64(st.chunk.n), Err: err}
			}
		}
		more := yield(st.item, st.err)
		st.release(s.r)
		if !more {
			return false
		}
	}
	return true
}

// feed makes the steps.
func (s *stream) feed(ctx context.Context, entries iter.Seq2[*archive.Entry, error]) error {
	for e, err := range entries {
		if err != nil {
			err = s.add(ctx, step{err: err})
		} else {
			err = s.entry(ctx, e.Clone())
		}
		if err != nil {
			return s.abandon(ctx, err)
		}
	}
	if err := s.flush(ctx); err != nil {
		return s.abandon(ctx, err)
	}
	return nil
}

func (s *stream) entry(ctx context.Context, e *archive.Entry) error {
	if err := s.add(ctx, step{item: Item{Entry: e}}); err != nil {
		return err
	}
	if e.Content.Form == archive.Inline {
		if len(e.Content.Inline) == 0 {
			return nil
		}
		return s.add(ctx, step{item: Item{Data: e.Content.Inline}})
	}
	for x, err := range s.lists.Extents(&e.Content) {
		if err == nil && !x.Hole {
			err = s.extent(ctx, &x)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err == nil {
				continue
			}
		}
		st := step{item: Item{Hole: x.Len}}
		if err != nil {
			st.item = Item{Lost: x.Len, Err: err}
		}
		if err := s.add(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// extent makes the step of a chunk. Its error, while ctx has not ended, is that
// of the chunk.
func (s *stream) extent(ctx context.Context, x *archive.Extent) error {
	if s.r.frames.full(s.r.o.Ahead) {
		// What is in use is in steps: whoever takes them will free it.
		if err := s.flush(ctx); err != nil {
			return err
		}
		if err := s.r.frames.wait(ctx, s.r.o.Ahead); err != nil {
			return err
		}
	}
	c, fresh, err := s.r.hold(ctx, x)
	if err != nil {
		return err
	}
	if fresh {
		s.missing = append(s.missing, c.frame)
		s.stored += int64(c.frame.place.Frame.Stored)
	}
	return s.add(ctx, step{chunk: c})
}

// add appends a step. It is the stream's from now on, whatever comes.
func (s *stream) add(ctx context.Context, st step) error {
	s.pending = append(s.pending, st)
	if len(s.pending) < itemsBatch && s.stored < s.r.o.ReadMax {
		return nil
	}
	return s.flush(ctx)
}

// give hands the missing frames to the workers.
func (s *stream) give(ctx context.Context) error {
	missing := s.missing
	s.missing, s.stored = nil, 0
	for run := range s.r.runs(missing) {
		select {
		case s.jobs <- run:
			missing = missing[len(run):]
		case <-ctx.Done():
			s.missing = missing
			return context.Cause(ctx)
		}
	}
	return nil
}

// flush hands over the missing frames, and then the steps: nobody waits for
// bytes that nobody fetches.
func (s *stream) flush(ctx context.Context) error {
	if err := s.give(ctx); err != nil {
		return err
	}
	for i := range s.pending {
		select {
		case s.items <- s.pending[i]:
		case <-ctx.Done():
			s.pending = s.pending[i:]
			return context.Cause(ctx)
		}
	}
	s.pending = s.pending[:0]
	return nil
}

// abandon lets go of what was not handed over, and returns err.
func (s *stream) abandon(ctx context.Context, err error) error {
	for i := range s.missing {
		s.r.load(ctx, s.missing[i:i+1]) // fails, and says so to those who hold the frames
	}
	for i := range s.pending {
		s.pending[i].release(s.r)
	}
	return err
}
