package locking

import (
	"errors"
	"slices"

	"cairn/objects/record"
)

// A transition computes the head that is to follow h, without changing h. It
// answers false when nothing is to be changed: its effect is there already, or
// not needed any more. So it may be applied again when it is not known whether
// it took effect (PROTOCOL.md §1).
type transition func(h record.Head) (next record.Head, changed bool, err error)

// Why a transition is not possible on the head it was applied to.
var (
	errBlocked = errors.New("another run holds the lease")
	errMoved   = errors.New("head is at another commit")
)

// headMark returns the commit that h points to.
func headMark(h record.Head) Mark { return Mark{Generation: h.Generation, Commit: h.Commit} }

// holder returns the index of the holder id, -1 if it is none.
func holder(h record.Head, id record.ParticipantID) int {
	return slices.IndexFunc(h.Holders, func(p record.Participant) bool { return p.ID == id })
}

// blockers returns the holders that keep p from holding too. This is the one
// place where modes matter: for now every writer excludes every other.
func blockers(h record.Head, p record.ParticipantID) []record.Participant {
	return slices.DeleteFunc(slices.Clone(h.Holders), func(q record.Participant) bool { return q.ID == p })
}

// take makes p a holder, or answers errBlocked.
func take(p record.Participant) transition {
	return func(h record.Head) (record.Head, bool, error) {
		if holder(h, p.ID) >= 0 {
			return h, false, nil
		}
		if len(blockers(h, p.ID)) > 0 {
			return h, false, errBlocked
		}
		h.Holders = append(slices.Clone(h.Holders), p)
		return h, true, nil
	}
}

// beat raises the beat of the holder id to n, or answers ErrLeaseLost.
func beat(id record.ParticipantID, n uint64) transition {
	return func(h record.Head) (record.Head, bool, error) {
		i := holder(h, id)
		if i < 0 {
			return h, false, ErrLeaseLost
		}
		if h.Holders[i].Beat >= n {
			return h, false, nil
		}
		h.Holders = slices.Clone(h.Holders)
		h.Holders[i].Beat = n
		return h, true, nil
	}
}

// leave takes the holder id out; orphans, 0 or 1, says whether it may leave
// packs that no commit names.
func leave(id record.ParticipantID, orphans uint64) transition {
	return func(h record.Head) (record.Head, bool, error) {
		if holder(h, id) < 0 {
			return h, false, nil
		}
		return without(h, id, orphans), true, nil
	}
}

// evict takes out a holder that was judged dead at its present beat. One that
// has beaten since stays: the judgement does not hold for it.
func evict(victim record.Participant) transition {
	return func(h record.Head) (record.Head, bool, error) {
		i := holder(h, victim.ID)
		if i < 0 || h.Holders[i].Beat != victim.Beat {
			return h, false, nil
		}
		return without(h, victim.ID, 1), true, nil
	}
}

func without(h record.Head, id record.ParticipantID, orphans uint64) record.Head {
	h.Holders = blockers(h, id)
	h.Orphans += orphans
	return h
}

// An advance is the transition that makes a commit take effect.
type advance struct {
	holder   record.ParticipantID // zero: without a lease
	from, to Mark
	contents contents
	adopted  uint64 // orphans that the commit accounts for
	after    After
	orphans  uint64 // with Release: as for leave
}

// contents is what head says about the contents of a commit.
type contents struct {
	snapshot bool // it carries one
	condemns bool // it condemns packs
}

// apply is the transition. It answers errMoved, ErrLeaseLost, or errBlocked for
// a commit without a lease.
func (a advance) apply(h record.Head) (record.Head, bool, error) {
	switch {
	case headMark(h) == a.to:
		return h, false, nil
	case headMark(h) != a.from:
		return h, false, errMoved
	case a.holder != record.ParticipantID{} && holder(h, a.holder) < 0:
		return h, false, ErrLeaseLost
	case a.holder == record.ParticipantID{} && len(h.Holders) > 0:
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
	if a.after == Release {
		h = without(h, a.holder, a.orphans)
	}
	return h, true, nil
}
