package index

import (
	"errors"
	"fmt"
	"slices"

	"cairn/objects"
)

// Commit makes what was added part of the cache, takes the dead and the
// dropped packs out of it, and says what it stands for from now on. Claims stay. After an error
// nothing has changed, except that at ErrDamaged the cache on disk is gone;
// the index can still be used, and the next Open finds none.
func (x *Index) Commit(state State, dead ...objects.ID) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	err := x.commit(state, dead)
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(err, x.folder.forget())
	}
	if err != nil {
		return fmt.Errorf("commit index cache: %w", err)
	}
	return nil
}

func (x *Index) commit(state State, dead []objects.ID) error {
	if x.damaged() {
		return ErrDamaged
	}
	gone := x.gone(dead)
	runs, err := x.rewrite(gone)
	if err != nil {
		return err
	}
	if err := x.folder.save(manifestOf(state, runs)); err != nil {
		// The old manifest, or none, is in force: the new runs go.
		retire(without(runs, x.runs))
		return err
	}
	old := x.runs
	x.mu.Lock()
	x.state = state
	x.setRuns(runs, nil)
	x.releaseDraft()
	x.forgetDropped()
	x.mu.Unlock()
	retire(without(old, runs))
	return nil
}

func manifestOf(state State, runs []*run) manifest {
	m := manifest{state: state}
	for _, r := range runs {
		m.runs = append(m.runs, runName{salt: r.header.salt, check: r.check})
	}
	return m
}

// rewrite returns the runs for the next manifest: those that are there where
// they can stay as they are, and new ones.
func (x *Index) rewrite(gone map[objects.ID]struct{}) (runs []*run, err error) {
	defer func() {
		if err != nil {
			retire(without(runs, x.runs))
		}
	}()
	for _, group := range x.groups() {
		stays, err := staysAsIs(group, gone)
		if err != nil {
			return runs, err
		}
		if stays != nil {
			runs = append(runs, stays)
			continue
		}
		r, err := x.write(group, gone)
		if err != nil {
			return runs, err
		}
		if r != nil {
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// groups says what to merge so that few enough runs remain, in a shape in which
// small commits stay cheap.
func (x *Index) groups() [][]source {
	var groups [][]source
	sizes := make([]uint32, 0, len(x.runs)+1)
	for _, r := range x.runs {
		groups = append(groups, []source{r})
		sizes = append(sizes, r.header.counts.chunks)
	}
	if len(x.draft.packs) > 0 {
		groups = append(groups, []source{x.sortedDraft()})
		sizes = append(sizes, uint32(x.added))
	}
	if n := settle(sizes, x.limits.committed); n > 0 {
		rest := len(groups) - n
		groups = append(groups[:rest:rest], slices.Concat(groups[rest:]...))
	}
	return groups
}

// settle returns how many of the last of sizes, which fall, to merge into one so
// that at most limit remain, and none is smaller than those behind it together.
// Otherwise four runs of a million could stay, the last of which every small
// commit would rewrite to make room for its own. A chunk is rewritten a
// logarithmic number of times.
func settle(sizes []uint32, limit int) (n int) {
	if len(sizes) > limit {
		n = len(sizes) - limit + 1
	}
	var behind uint64
	for i := len(sizes) - 1; i >= 0; i-- {
		if uint64(sizes[i]) < behind {
			n = max(n, len(sizes)-i)
		}
		behind += uint64(sizes[i])
	}
	return n
}

// mergeLast returns how many of the last of sizes, which fall, to merge into
// one so that at most limit remain. Beyond what is needed it takes every one
// that is smaller than those behind it together, so that a chunk is rewritten
// a logarithmic number of times.
//
// It is for runs between two commits. settle would do, and merge while there is
// room, too: of the first 10 spills a chunk would be written 2.2 times and not
// 1.7, of 20 2.8 and not 2.5, for a shape that the commit makes anyway.
func mergeLast(sizes []uint32, limit int) int {
	if len(sizes) <= limit {
		return 0
	}
	n := len(sizes) - limit + 1
	var total uint64
	for _, s := range sizes[len(sizes)-n:] {
		total += uint64(s)
	}
	for n < len(sizes) && uint64(sizes[len(sizes)-n-1]) < total {
		n++
		total += uint64(sizes[len(sizes)-n])
	}
	return n
}

// staysAsIs returns the run that a group is, if it is just that and has none
// of the dead packs.
func staysAsIs(group []source, dead map[objects.ID]struct{}) (*run, error) {
	if len(group) != 1 {
		return nil, nil
	}
	r, ok := group[0].(*run)
	if !ok {
		return nil, nil
	}
	for id := range dead {
		if _, ok, err := r.findPack(id); ok || err != nil {
			return nil, err
		}
	}
	return r, nil
}

// spill makes the draft a pending run, together with smaller ones if there
// are too many.
func (x *Index) spill() error {
	draft, gone := x.sortedDraft(), x.gone(nil)
	merged := x.pendingToMerge()
	r, err := x.write(append(sources(merged), draft), gone)
	if errors.Is(err, ErrDamaged) {
		merged = nil // the rotten one is left out from now on
		r, err = x.write([]source{draft}, gone)
	}
	if err != nil {
		return err
	}
	pending := without(x.pending, merged)
	if r != nil {
		pending = append(pending, r)
	}
	x.mu.Lock()
	x.setRuns(x.committed, pending)
	x.releaseDraft()
	x.mu.Unlock()
	retire(merged)
	return nil
}

// pendingToMerge returns the pending runs to merge with the draft, which
// counts as the smallest. Committed runs stay: a crash, or Discard, must leave
// them without what is pending.
func (x *Index) pendingToMerge() []*run {
	var runs []*run
	var sizes []uint32
	for _, r := range x.runs {
		if slices.Contains(x.pending, r) && !r.damaged.Load() {
			runs = append(runs, r)
			sizes = append(sizes, r.header.counts.chunks)
		}
	}
	sizes = append(sizes, uint32(x.added))
	n := mergeLast(sizes, x.limits.pending)
	if n == 0 {
		return nil
	}
	return runs[len(sizes)-n:]
}

// write makes a run of the sources without the dead packs; nil if nothing is
// left. At ErrDamaged at least one of the sources is marked as damaged.
func (x *Index) write(from []source, dead map[objects.ID]struct{}) (*run, error) {
	f, path, salt, err := x.folder.create()
	if err != nil {
		return nil, fmt.Errorf("create index run: %w", err)
	}
	file := &run{path: path} // removes the file after an error
	n, err := writeRun(f, x.folder.repository, salt, from, dead)
	if err != nil {
		markDamaged(err, from)
		return nil, errors.Join(fmt.Errorf("write index run: %w", err), f.Close(), file.remove())
	}
	if n.packs == 0 {
		return nil, errors.Join(f.Close(), file.remove())
	}
	r, err := openRun(f, path, x.folder.repository, salt)
	if err != nil {
		return nil, errors.Join(err, file.remove())
	}
	return r, nil
}

// markDamaged marks all runs when err is a fault in one that nobody knows.
func markDamaged(err error, from []source) {
	if !errors.Is(err, ErrDamaged) {
		return
	}
	for _, s := range from {
		if r, ok := s.(*run); ok {
			r.damaged.Store(true)
		}
	}
}

// sortedDraft returns the draft with its chunks as a source.
func (x *Index) sortedDraft() *sorted { return newSorted(&x.draft, x.recent.added(x.added)) }

// releaseDraft empties the draft, whose rows are in a run now. It needs mu.
func (x *Index) releaseDraft() {
	x.draft, x.added = draft{}, 0
	x.recent.release()
}

// Discard forgets what was added since the last Commit, and all claims.
func (x *Index) Discard() {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.keepOnly(x.state, x.committed)
}

// Reset empties the index for a rebuild, on disk too, and forgets all claims.
func (x *Index) Reset() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	if err := x.folder.forget(); err != nil {
		return fmt.Errorf("reset index cache: %w", err)
	}
	x.keepOnly(State{}, nil)
	return nil
}

// keepOnly keeps some of the runs and nothing else. It needs writing.
func (x *Index) keepOnly(state State, keep []*run) {
	old := x.runs
	x.mu.Lock()
	x.state = state
	x.setRuns(keep, nil)
	x.draft, x.added = draft{}, 0
	x.recent.reset()
	x.mu.Unlock()
	retire(without(old, keep))
}

func sources(runs []*run) []source {
	var all []source
	for _, r := range runs {
		all = append(all, r)
	}
	return all
}

// without returns the runs that are not among others.
func without(runs, others []*run) []*run {
	var rest []*run
	for _, r := range runs {
		if !slices.Contains(others, r) {
			rest = append(rest, r)
		}
	}
	return rest
}

// retire removes runs that are in no set any more. Nobody has one in hand:
// that takes mu. A file that cannot be removed costs room until the next Open
// sweeps it, and nothing else, so that is no error.
func retire(runs []*run) {
	for _, r := range runs {
		_ = r.remove()
	}
}
