package index

import (
	"cairn/objects"
)

// A doubt is why a pack is not to be counted on.
type doubt uint8

const (
	trusted    doubt = iota
	distrusted       // missing or damaged: some of it may be readable
	dropped          // condemned: nothing of it is to be read any more
)

// Distrust says that packs are missing or damaged. Has and Claim no longer
// count what only they hold, so that it is stored again; Lookup still names a
// place in them where there is no other, for some of it may be readable. It
// lasts until Close.
func (x *Index) Distrust(packs ...objects.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range packs {
		x.raise(id, distrusted)
	}
}

// Drop takes condemned packs out of the index: from now on nothing finds a
// chunk in them, and a Claim of what only they hold is the first. On disk they
// go with the next Commit; what was added and not committed stays as it is.
func (x *Index) Drop(packs ...objects.ID) {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	gone := make(map[uint32]struct{}) // rows of the draft's packs
	for _, id := range packs {
		x.raise(id, dropped)
		if row, ok := x.draft.known[id]; ok {
			gone[row] = struct{}{}
		}
	}
	if len(gone) == 0 {
		return
	}
	// The chunks go from memory at once, the pack's row when the draft becomes
	// a run.
	x.added -= x.recent.remove(func(c chunkRow) bool {
		_, is := gone[c.pack]
		return is
	})
}

// Refuse says that packs were condemned which may be on their way here: what is
// added of them later cannot be found, and a Claim of what only they hold is the
// first. Packs that the index has stay as they are. It lasts until the next Commit.
func (x *Index) Refuse(packs ...objects.ID) {
	x.writing.Lock()
	defer x.writing.Unlock()
	for _, id := range packs {
		if x.knows(id) {
			continue
		}
		x.mu.Lock()
		x.raise(id, dropped)
		x.mu.Unlock()
	}
}

// raise needs mu for writing.
func (x *Index) raise(id objects.ID, d doubt) {
	if x.doubts == nil {
		x.doubts = make(map[objects.ID]doubt)
	}
	x.doubts[id] = max(x.doubts[id], d)
}

// gone returns the dropped packs, and others.
func (x *Index) gone(others []objects.ID) map[objects.ID]struct{} {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := make(map[objects.ID]struct{}, len(others))
	for _, id := range others {
		all[id] = struct{}{}
	}
	for id, d := range x.doubts {
		if d == dropped {
			all[id] = struct{}{}
		}
	}
	return all
}

// is reports whether there is that doubt about a pack.
func (x *Index) is(d doubt, id objects.ID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.doubts[id] == d
}

// forgetDropped is for when no run has them any more. It needs mu for writing.
func (x *Index) forgetDropped() {
	for id, d := range x.doubts {
		if d == dropped {
			delete(x.doubts, id)
		}
	}
}

// inRunsUpTo finds a place of chunk id in a pack of no more than that doubt. It
// needs mu. Packs of the draft are not looked at: what this run has added is
// always trusted, and dropped at once.
func (x *Index) inRunsUpTo(most doubt, id *objects.ID, p *Place) (found bool, err error) {
	for _, r := range x.runs {
		ok, e := r.lookupUpTo(most, id, x.doubts, p)
		if ok {
			return true, nil
		}
		if e != nil {
			err = e
		}
	}
	return false, err
}

// lookupUpTo returns a place of chunk id in a pack of no more than that doubt.
func (r *run) lookupUpTo(most doubt, id *objects.ID, doubts map[objects.ID]doubt, p *Place) (ok bool, err error) {
	err = r.each(id, func(i uint32, c chunkRow) (more bool, err error) {
		if _, err := r.place(id, i, c.lead, p); err != nil {
			return false, err
		}
		ok = doubts[p.Pack] <= most
		return !ok, nil
	})
	return ok && err == nil, err
}
