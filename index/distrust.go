package index

import (
	"runtime/debug"

	"cairn/objects"
)

// Distrust says that packs are missing or damaged. Has and Claim no longer
// count what only they hold, so that it is stored again; Lookup still names a
// place in them where there is no other, for some of it may be readable. It
// lasts until Close.
func (x *Index) Distrust(packs ...objects.ID) {
	if len(packs) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.distrusted == nil {
		x.distrusted = make(map[objects.ID]struct{}, len(packs))
	}
	for _, id := range packs {
		x.distrusted[id] = struct{}{}
	}
}

// trusted finds a place of chunk id outside the distrusted packs. It needs mu.
// What this run has added is in the recent table and always trusted.
func (x *Index) trusted(id *objects.ID, p *Place) (found bool, err error) {
	for _, r := range x.runs {
		ok, e := r.lookupOutside(id, x.distrusted, p)
		if ok {
			return true, nil
		}
		if e != nil {
			err = e
		}
	}
	return false, err
}

// lookupOutside returns a place of chunk id that is in none of packs: a chunk
// has a row for every pack that holds it, one behind another.
func (r *run) lookupOutside(id *objects.ID, packs map[objects.ID]struct{}, p *Place) (ok bool, err error) {
	i, found, err := r.find(id)
	if !found || err != nil {
		return false, err
	}
	defer r.caught(debug.SetPanicOnFault(true), &err)
	for ; i > 0; i-- {
		if c, err := r.chunk(i - 1); err != nil || c.id != *id {
			break
		}
	}
	for ; i < r.header.counts.chunks; i++ {
		c, err := r.chunk(i)
		if err != nil {
			return false, err
		}
		if c.id != *id {
			return false, nil
		}
		if *p, err = placeOf(r, c); err != nil {
			return false, r.rotten()
		}
		if _, bad := packs[p.Pack]; !bad {
			return true, nil
		}
	}
	return false, nil
}
