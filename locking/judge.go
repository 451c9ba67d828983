package locking

import (
	"slices"
	"time"

	"cairn/objects/record"
)

const (
	silenceLoads = 3         // good loads that must agree before silence counts
	maxTTL       = time.Hour // a longer ttl is judged as this
)

// takeover returns how long p must be silent before it is taken over.
func takeover(p record.Participant) time.Duration {
	ttl := min(p.TTL, maxTTL)
	return ttl + ttl/2
}

// A sighting is head as one good load showed it: at some moment between asked
// and answered, on this process's monotonic clock.
type sighting struct {
	head            record.Head
	asked, answered time.Time
}

// A judge collects what one waiter saw of the holders and the queue, to tell the
// silent ones from the living (PROTOCOL.md §6).
type judge struct {
	seen map[record.ParticipantID]silence
}

// silence is how long one beat is known to be unchanged.
type silence struct {
	beat  uint64
	since time.Time     // the end of the load that first showed it
	lasts time.Duration // from there to the start of the last load
	loads int
}

// see adds one good load.
func (j *judge) see(s sighting) {
	seen := make(map[record.ParticipantID]silence, len(s.head.Holders)+len(s.head.Queue))
	for _, p := range slices.Concat(s.head.Holders, s.head.Queue) {
		was, known := j.seen[p.ID]
		if !known || was.beat != p.Beat {
			seen[p.ID] = silence{beat: p.Beat, since: s.answered, loads: 1}
			continue
		}
		was.lasts = max(0, s.asked.Sub(was.since))
		was.loads++
		seen[p.ID] = was
	}
	j.seen = seen // who is in neither any more is forgotten
}

// silent returns for how long p, as last seen, is known to be silent.
func (j *judge) silent(p record.Participant) time.Duration { return j.seen[p.ID].lasts }

// dead reports whether p, as last seen, may be taken over for its silence.
func (j *judge) dead(p record.Participant) bool {
	s, known := j.seen[p.ID]
	return known && s.beat == p.Beat && s.loads >= silenceLoads && s.lasts >= takeover(p)
}
