package backup

import (
	"context"
	"errors"
	"time"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/pipeline/walk"
)

const (
	smallFile  = 1 << 20 // files up to this size, in bytes, are read whole, in batches
	batchBytes = 1 << 20
	batchFiles = 128
	runSlots   = 128 // slots handed to the assembly at a time
	runsAhead  = 24  // how many times that the scan may be ahead

	// A batch must be on its way before the scan can be stopped by the
	// assembly waiting for it: long before runsAhead·runSlots slots.
	batchReach = 1024
)

// scan walks the roots, compares what it finds with the previous archive and
// makes the slots. It is one goroutine's.
type scan struct {
	r        *run
	previous *previous
	lists    *archive.Reader // of chunks
	asked    []objects.ID    // chunks that known has come by and not yet looked for
	hasher   *crypt.Hasher
	links    map[walk.FileID]*linkSet
	slots    chan<- []*slot
	small    chan<- *batch
	big      chan<- *bigJob

	out   []*slot // not yet handed over
	open  *batch  // not yet handed over
	reach int     // slots since the first of open
}

// run makes slots until the walk ends or the run is asked to stop.
func (s *scan) run(ctx context.Context) error {
	if s.r.o.Stream != nil {
		if err := s.stream(ctx); err != nil {
			return err
		}
		return s.rest(ctx)
	}
	for item, err := range walk.Walk(ctx, s.r.o.Roots, s.r.o.Walk) {
		if err != nil {
			return err
		}
		if s.r.stopping() {
			break
		}
		switch {
		case errors.Is(item.Err, walk.ErrSkipped):
			s.r.note(item.Source)
		case item.Err != nil:
			s.r.warn(item.Source, item.Err)
		}
		if err := s.item(ctx, item); err != nil {
			return err
		}
	}
	return s.rest(ctx)
}

// rest hands over what is left.
func (s *scan) rest(ctx context.Context) error {
	if err := s.dispatch(ctx); err != nil {
		return err
	}
	return s.hand(ctx)
}

// item makes the slot of one item.
func (s *scan) item(ctx context.Context, item *walk.Item) error {
	if item.Stat.Type == 0 || item.Stat.Type == walk.Socket {
		return s.nothing(ctx, item)
	}
	if s.r.o.ReadSpecial {
		if stat, ok := item.Special(); ok {
			return s.special(ctx, item, stat)
		}
	}
	if s.r.progress.Entries.Add(1)%256 == 0 {
		path := item.Source
		s.r.progress.Current.Store(&path)
	}
	old := s.previous.at(item.Path)
	sl := &slot{entry: s.entry(item), path: item.Source, timeless: item.Implied}
	set := s.hardLink(sl, item)
	if old != nil {
		sl.why = s.difference(old, item)
	}
	unchanged := old != nil && sl.why == 0
	sl.status = statusOf(old, unchanged)
	if item.Err != nil {
		sl.status = Failed // a directory that could not be listed
	}
	if unchanged {
		s.reuse(sl.entry, old)
		return s.emit(ctx, sl)
	}
	if old != nil && s.r.o.SkipUnchanged {
		sl.old = old.Clone()
	}
	s.r.progress.differs(sl.entry, old)
	switch {
	case s.r.o.DryRun:
	case set != nil:
		sl.twin = &twin{set: set, file: source{item: *item}}
	case sl.entry.Type == archive.File:
		if err := s.read(ctx, sl, item); err != nil {
			return err
		}
	default:
		err := s.describe(ctx, sl.entry, item)
		var store *storeError
		if errors.As(err, &store) {
			return err
		}
		if err != nil {
			s.r.warn(item.Source, err)
			sl.failed = true
		}
	}
	return s.emit(ctx, sl)
}

// nothing passes over an item that there is nothing to store of.
func (s *scan) nothing(ctx context.Context, item *walk.Item) error {
	if s.r.o.List == nil || item.Err == nil || errors.Is(item.Err, walk.ErrSkipped) {
		return nil
	}
	return s.emit(ctx, s.r.lost(item))
}

// entry describes item, all but what must be read.
func (s *scan) entry(item *walk.Item) *archive.Entry {
	e := &archive.Entry{Path: item.Path}
	e.HasAccessTime = s.r.o.AccessTimes
	e.HasBirthTime = s.r.o.BirthTimes && item.Stat.BirthTime != walk.Time{}
	setStat(e, &item.Stat)
	e.Owner = s.r.names.owner(item.Stat.UID, item.Stat.GID)
	e.Racy = racy(&item.Stat, s.r.o.Now())
	return e
}

// reuse takes over what the times of an unchanged entry vouch for.
func (s *scan) reuse(e, old *archive.Entry) {
	vouched := old.Clone()
	e.Content, e.Target, e.Xattrs, e.Attrs = vouched.Content, vouched.Target, vouched.Xattrs, vouched.Attrs
	if e.Type == archive.File {
		s.r.progress.Unchanged.Add(1)
	}
}

// describe reads what belongs to an entry that is no file.
func (s *scan) describe(ctx context.Context, e *archive.Entry, item *walk.Item) (err error) {
	if e.Type == archive.Symlink {
		if e.Target, err = item.Readlink(); err != nil {
			return err
		}
	}
	set, errs := item.Attributes(s.r.o.Labels)
	e.Xattrs, e.Attrs, err = s.r.attributes(ctx, item.Source, set, errs)
	return err
}

// Within so long of a change a second one may leave the time stamps as they
// are: file systems take them from a clock that ticks every 1 to 10 ms, and
// some keep whole seconds only, or every other one.
const (
	granularity       = 20 * time.Millisecond
	coarseGranularity = 2 * time.Second
)

// racy reports whether the file may still change without its times showing
// it.
func racy(st *walk.Stat, now time.Time) bool {
	tick := granularity
	if st.ModTime.Nsec == 0 && st.ChangeTime.Nsec == 0 {
		tick = coarseGranularity
	}
	return latest(st).Add(tick).After(now)
}

func latest(st *walk.Stat) time.Time {
	m := time.Unix(st.ModTime.Sec, int64(st.ModTime.Nsec))
	c := time.Unix(st.ChangeTime.Sec, int64(st.ChangeTime.Nsec))
	if m.After(c) {
		return m
	}
	return c
}

// hardLink marks sl as one of a set's names, and returns the set if an earlier
// slot has the content of the file.
func (s *scan) hardLink(sl *slot, item *walk.Item) *linkSet {
	if item.Stat.Links < 2 || item.Stat.Type == walk.Directory {
		return nil
	}
	key := item.Stat.ID
	set, seen := s.links[key]
	// A file that changed since its first name was seen, or another one that
	// has got its inode, is a set of its own: nothing may be taken over.
	if !seen || !sameContent(&set.stat, &item.Stat) {
		seen = false
		id := s.hasher.SumLabel("link", []byte(item.Path)) // FORMAT.md §8.2
		set = &linkSet{id: archive.Link(id[:len(archive.Link{})]), stat: item.Stat, left: item.Stat.Links}
		s.links[key] = set
		sl.set = set
	}
	if set.left--; set.left == 0 {
		delete(s.links, key)
	}
	sl.entry.HasLink, sl.entry.Link = true, set.id
	if !seen || item.Stat.Type != walk.File {
		return nil
	}
	return set
}

// read hands a file to those who read it.
func (s *scan) read(ctx context.Context, sl *slot, item *walk.Item) error {
	src := source{item: *item}
	if _, fixed := s.r.fixed(&src); !fixed && item.Stat.Size <= smallFile && !sparse(&item.Stat) {
		if s.open == nil {
			s.open = &batch{done: make(chan struct{})}
		}
		sl.batch = s.open
		s.open.slots = append(s.open.slots, sl)
		s.open.files = append(s.open.files, src)
		s.open.bytes += item.Stat.Size
		return nil
	}
	return s.readAlone(ctx, sl, src)
}

// readAlone hands over a file that is not read with others.
func (s *scan) readAlone(ctx context.Context, sl *slot, src source) error {
	sl.big = &bigJob{file: src, segments: make(chan *segment, segmentsAhead)}
	// Nothing may wait behind this send that the assembly needs first: readers
	// stop when it does not take what they have read.
	if err := s.dispatch(ctx); err != nil {
		return err
	}
	if err := s.hand(ctx); err != nil {
		return err
	}
	return send(ctx, s.big, sl.big)
}

// emit puts sl in order.
func (s *scan) emit(ctx context.Context, sl *slot) error {
	s.out = append(s.out, sl)
	if s.open != nil {
		s.reach++
		if s.open.bytes >= batchBytes || len(s.open.slots) >= batchFiles || s.reach >= batchReach {
			if err := s.dispatch(ctx); err != nil {
				return err
			}
		}
	}
	if len(s.out) >= runSlots {
		return s.hand(ctx)
	}
	return nil
}

// dispatch gives the open batch to the workers.
func (s *scan) dispatch(ctx context.Context) error {
	if s.open == nil {
		return nil
	}
	b := s.open
	s.open, s.reach = nil, 0
	return send(ctx, s.small, b)
}

// hand gives the slots made so far to the assembly.
func (s *scan) hand(ctx context.Context) error {
	if len(s.out) == 0 {
		return nil
	}
	out := s.out
	s.out = make([]*slot, 0, runSlots)
	return send(ctx, s.slots, out)
}
