package index

import (
	"iter"
	"runtime/debug"
	"slices"

	"cairn/objects"
)

// packBatch is how many packs Packs reads at a time.
const packBatch = 256

// Packs yields all packs but the dropped ones, pending ones included, by rising
// ID. It ends after
// an error, which is ErrDamaged. Packs added or dropped during the iteration
// may or may not be seen; no lock is held while the loop's body runs.
func (x *Index) Packs() iter.Seq2[Pack, error] {
	return func(yield func(Pack, error) bool) {
		var after *objects.ID
		for {
			packs, err := x.packsAfter(after)
			if err != nil {
				yield(Pack{}, err)
				return
			}
			for _, p := range packs {
				if !x.is(dropped, p.ID) && !yield(p, nil) {
					return
				}
			}
			if len(packs) == 0 {
				return
			}
			after = &packs[len(packs)-1].ID
		}
	}
}

// Pending reports whether the pack was added since the last Commit.
func (x *Index) Pending(id objects.ID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if _, ok := x.draft.known[id]; ok {
		return true
	}
	for _, r := range x.pending {
		if _, ok, _ := r.findPack(id); ok {
			return true
		}
	}
	return false
}

// packsAfter returns up to packBatch packs behind after, none at the end; nil
// is before the first.
func (x *Index) packsAfter(after *objects.ID) ([]Pack, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var packs []Pack
	for _, r := range x.runs {
		some, err := r.packsAfter(after)
		if err != nil {
			return nil, err
		}
		packs = append(packs, some...)
	}
	for _, p := range x.draft.packs {
		if after == nil || p.id.Compare(*after) > 0 {
			packs = append(packs, p.public())
		}
	}
	slices.SortFunc(packs, func(a, b Pack) int { return a.ID.Compare(b.ID) })
	packs = slices.CompactFunc(packs, func(a, b Pack) bool { return a.ID == b.ID })
	return packs[:min(packBatch, len(packs))], nil
}

func (r *run) packsAfter(after *objects.ID) (packs []Pack, err error) {
	i := uint32(0)
	if after != nil {
		var has bool
		if i, has, err = r.findPack(*after); err != nil {
			return nil, err
		}
		if has {
			i++
		}
	}
	defer r.caught(debug.SetPanicOnFault(true), &err)
	for ; i < r.header.counts.packs && len(packs) < packBatch; i++ {
		p, err := r.pack(i)
		if err != nil {
			return nil, err
		}
		packs = append(packs, p.public())
	}
	return packs, nil
}
