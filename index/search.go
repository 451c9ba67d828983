package index

import (
	"runtime/debug"

	"cairn/objects"
)

// together is how many runs are asked at the same time.
const together = 8

// searchRuns returns where in the runs chunk id is, and sets p to its place,
// unless p is nil. Not whole: a page was rotten, and what is not found may be
// there all the same.
func searchRuns(runs []*run, id *objects.ID, p *Place) (at sourceRow, found, whole bool) {
	var r *run // the one in use
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if f := recover(); isFault(f) {
			_ = r.rotten()
			found, whole = false, false
		} else if f != nil {
			panic(f)
		}
	}(debug.SetPanicOnFault(true))
	for first := 0; first < len(runs); first += together {
		some := runs[first:min(first+together, len(runs))]
		// What costs time is waiting for memory. So a line of every guide is
		// asked for before one is used, with its leads if they are needed: they
		// come together.
		var lines [together]*line
		var ahead [together]*leads
		var touched uint32
		for i := range some {
			r = some[i]
			l, leads, err := r.line(id)
			if err != nil {
				return at, false, false
			}
			lines[i] = l
			touched |= l.chunks()
			if p != nil {
				ahead[i] = leads
				touched |= leads.touch()
			}
		}
		if touched == 0 {
			continue
		}
		for i := range some {
			if !lines[i].mayHave(id) {
				continue
			}
			r = some[i]
			row, found, err := r.search(lines[i], ahead[i], id, p)
			if found || err != nil {
				return sourceRow{uint32(first + i), row}, found, err == nil
			}
		}
	}
	return at, false, true
}

// idsTogether is how many chunks are looked for at the same time.
const idsTogether = 16

// surelyInRuns looks for up to idsTogether chunks at once: bit i is set if it
// was plain to see that the i-th is in one of the runs. Of the others nothing is
// known.
func surelyInRuns(runs []*run, ids []objects.ID) (sure uint32) {
	var r *run // the one in use
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if f := recover(); isFault(f) {
			_ = r.rotten()
			sure = 0
		} else if f != nil {
			panic(f)
		}
	}(debug.SetPanicOnFault(true))
	var rows [idsTogether]*objects.ID
	for _, r = range runs {
		var lines [idsTogether]*line
		var chunks uint32
		for i := range ids {
			l, _, err := r.line(&ids[i])
			if err != nil {
				return 0
			}
			lines[i] = l
			chunks |= l.chunks() // waits for none of them yet
		}
		if chunks == 0 {
			continue
		}
		for i := range ids {
			if rows[i] != nil {
				continue
			}
			n := lines[i].next(&ids[i], 0)
			if n >= int(min(lines[i].chunks(), guideTags)) {
				continue
			}
			b, err := r.chunkBytes(lines[i].first() + uint32(n))
			if err != nil {
				return 0
			}
			rows[i] = (*objects.ID)(b)
		}
	}
	for i := range ids {
		if rows[i] != nil && *rows[i] == ids[i] {
			sure |= 1 << i
		}
	}
	return sure
}

// inRuns reports whether a run has chunk id in a pack that is not in doubt. It
// needs mu.
func (x *Index) inRuns(id *objects.ID) (found bool, err error) {
	if len(x.doubts) > 0 {
		var p Place
		return x.inRunsUpTo(trusted, id, &p)
	}
	return x.search(id, nil)
}

// search looks for chunk id in the runs while no pack is in doubt, and sets p,
// unless it is nil. It needs mu.
func (x *Index) search(id *objects.ID, p *Place) (found bool, err error) {
	_, found, whole := searchRuns(x.runs, id, p)
	if found || whole {
		return found, nil
	}
	// One of the runs is damaged: another one may have it.
	var place Place
	if found, err = x.inRunsUpTo(trusted, id, &place); found && p != nil {
		*p = place
	}
	return found, err
}
