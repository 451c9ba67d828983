package locking

import (
	"errors"
	"slices"
	"time"

	"cairn/objects/record"
)

// A transition computes the head that is to follow h, without changing h. It
// answers false when nothing is to be changed: its effect is there already, or
// not needed any more. So it may be applied again when it is not known whether
// it took effect (PROTOCOL.md §1).
type transition func(h record.Head) (next record.Head, changed bool, err error)

// Why a transition is not possible on the head it was applied to.
var (
	errBlocked = errors.New("another run holds the lease, or waits for it longer")
	errMoved   = errors.New("head is at another commit")
	errNoPlace = errors.New("the run is neither among the holders nor in the queue")
)

// headMark returns the commit that h points to.
func headMark(h record.Head) Mark { return Mark{Generation: h.Generation, Commit: h.Commit} }

// indexOf returns where id is among list, -1 if it is not.
func indexOf(list []record.Participant, id record.ParticipantID) int {
	return slices.IndexFunc(list, func(p record.Participant) bool { return p.ID == id })
}

// holds reports whether id is one of the holders.
func holds(h record.Head, id record.ParticipantID) bool { return indexOf(h.Holders, id) >= 0 }

// takesPart reports whether id is a holder or in the queue.
func takesPart(h record.Head, id record.ParticipantID) bool {
	return holds(h, id) || indexOf(h.Queue, id) >= 0
}

// enter makes p a holder if nobody is ahead of it. Else it gives p a ticket, at
// the end of the queue, or answers errBlocked if p is not to queue.
func enter(p record.Participant, o Writers, queue bool) transition {
	return func(h record.Head) (record.Head, bool, error) {
		switch {
		case takesPart(h, p.ID):
			return h, false, nil
		case len(ahead(h, p, o)) == 0:
			h.Holders = append(slices.Clone(h.Holders), p)
		case !queue:
			return h, false, errBlocked
		default:
			h.Queue = append(slices.Clone(h.Queue), p)
		}
		return h, true, nil
	}
}

// admit makes the ticket id a holder as soon as nobody is ahead of it: before
// that it answers errBlocked, and errNoPlace when there is no such ticket.
func admit(id record.ParticipantID, o Writers, now time.Time) transition {
	return func(h record.Head) (record.Head, bool, error) {
		i := indexOf(h.Queue, id)
		switch {
		case holds(h, id):
			return h, false, nil
		case i < 0:
			return h, false, errNoPlace
		case len(ahead(h, h.Queue[i], o)) > 0:
			return h, false, errBlocked
		}
		p := h.Queue[i]
		p.Since = now
		h.Queue = without(h.Queue, id)
		h.Holders = append(slices.Clone(h.Holders), p)
		return h, true, nil
	}
}

// beat raises the beat of the holder or ticket id to n, or answers errNoPlace.
func beat(id record.ParticipantID, n uint64) transition {
	return func(h record.Head) (record.Head, bool, error) {
		list := &h.Holders
		if !holds(h, id) {
			list = &h.Queue
		}
		i := indexOf(*list, id)
		if i < 0 {
			return h, false, errNoPlace
		}
		if (*list)[i].Beat >= n {
			return h, false, nil
		}
		*list = slices.Clone(*list)
		(*list)[i].Beat = n
		return h, true, nil
	}
}

// leave takes the holder or ticket id out; orphans, 0 or 1, says whether it
// may leave packs that no commit names.
func leave(id record.ParticipantID, orphans uint64) transition {
	return func(h record.Head) (record.Head, bool, error) {
		if !takesPart(h, id) {
			return h, false, nil
		}
		return remove(h, id, orphans), true, nil
	}
}

// evict takes out a holder or ticket that was judged dead at its present beat.
// One that has beaten since stays: the judgement does not hold for it. One that
// held the lease earlier may have stored packs, and a ticket does not tell: both
// count as orphans, which costs the next run one List.
func evict(victim record.Participant) transition {
	return func(h record.Head) (record.Head, bool, error) {
		for _, p := range slices.Concat(h.Holders, h.Queue) {
			if p.ID == victim.ID && p.Beat == victim.Beat {
				return remove(h, victim.ID, 1), true, nil
			}
		}
		return h, false, nil
	}
}

// remove takes id out of holders and queue.
func remove(h record.Head, id record.ParticipantID, orphans uint64) record.Head {
	h.Holders, h.Queue = without(h.Holders, id), without(h.Queue, id)
	h.Orphans += orphans
	return h
}

// without returns a copy of list that lacks id.
func without(list []record.Participant, id record.ParticipantID) []record.Participant {
	return slices.DeleteFunc(slices.Clone(list), func(p record.Participant) bool { return p.ID == id })
}

// swept says that when gc commits had condemned packs, those of only left of
// them might still be in the store. It only ever lowers the count.
func swept(gc, left uint64) transition {
	return func(h record.Head) (record.Head, bool, error) {
		if h.GC < gc || h.Unswept <= left+(h.GC-gc) {
			return h, false, nil
		}
		h.Unswept = left + (h.GC - gc)
		return h, true, nil
	}
}

// An advance is the transition that makes a commit take effect.
type advance struct {
	run      record.Participant // who commits
	leased   bool               // as a holder; else because nobody is ahead
	order    Writers
	from, to Mark
	contents contents
	adopted  uint64 // orphans that the commit accounts for
	after    After
	unfenced bool // for a test: whoever holds the lease, and whatever head is at
}

// contents is what head says about the contents of a commit.
type contents struct {
	snapshot bool // it carries one
	condemns bool // it condemns packs
}

// apply is the transition. It answers errMoved; errNoPlace for a holder that is
// none any more, and errBlocked for a commit without a lease.
func (a advance) apply(h record.Head) (record.Head, bool, error) {
	switch {
	case headMark(h) == a.to:
		return h, false, nil
	case a.unfenced:
	case headMark(h) != a.from:
		return h, false, errMoved
	case a.leased && !holds(h, a.run.ID):
		return h, false, errNoPlace
	case !a.leased && len(ahead(h, a.run, a.order)) > 0:
		return h, false, errBlocked
	}
	h.Generation, h.Commit = a.to.Generation, a.to.Commit
	if a.contents.snapshot {
		h.SnapshotGeneration, h.Snapshot = a.to.Generation, a.to.Commit
	}
	if a.contents.condemns {
		h.GC++
		h.Unswept++
	}
	// Only what was seen is accounted for: more may have been added since.
	h.Orphans -= min(h.Orphans, a.adopted)
	switch {
	case a.after == Release:
		h = remove(h, a.run.ID, 0)
	case a.after == Yield && a.leased && wanted(h, a.run, a.order):
		p := h.Holders[indexOf(h.Holders, a.run.ID)]
		p.Since = a.run.Since
		h = remove(h, p.ID, 0)
		h.Queue = append(h.Queue, p)
	}
	return h, true, nil
}
