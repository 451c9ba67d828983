package locking

import (
	"time"

	"cairn/objects"
	"cairn/objects/record"
)

// What follows are decisions of the protocol that others carry out, who store
// and remove packs.

// Grace is how long a condemned pack stays in the store: as long as a run may
// take to copy from it what it counts on, and a reader to notice.
const Grace = 24 * time.Hour

// MaySweep reports whether packs may be deleted that a record condemned which
// the store dates condemned, now being a time of the same store's clock: no
// client's clock decides.
func MaySweep(condemned, now time.Time, grace time.Duration) bool {
	return now.Sub(condemned) >= grace
}

// MayAdopt reports whether the pack id, found in the store, may become part of
// a commit linked to s, if it is whole: a pack that no commit names and none
// has condemned. A condemned one is dead though it be there: it may be deleted
// at any moment, by a request that is already under way.
func MayAdopt(s *record.State, id objects.ID) bool {
	return !s.Packs.Has(id) && !s.Condemned.Has(id)
}

// Live reports whether a commit that is linked to s may count on the chunks of
// the pack id, which is not one of those that the commit adds itself.
func Live(s *record.State, id objects.ID) bool { return s.Packs.Has(id) }
