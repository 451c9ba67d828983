package locking

import (
	"fmt"

	"cairn/objects/record"
)

// WritersSetting is the name of the setting that holds a Writers.
const WritersSetting = "writers"

// Writers says what those may do beside each other who only add to the
// repository, or remove what is in it by commits: append holders. It is a
// policy and no rule of safety, which does not depend on it.
type Writers int

// The policies. Their names, as String returns them, are the setting's values.
const (
	InTurn   Writers = iota // one holds the lease, the others wait in a queue
	Parallel                // they hold it together; only their commits take turns
)

// String returns "in-turn" or "parallel".
func (o Writers) String() string {
	if o == Parallel {
		return "parallel"
	}
	return "in-turn"
}

// ParseWriters reads what String returns.
func ParseWriters(s string) (Writers, error) {
	for _, o := range []Writers{InTurn, Parallel} {
		if o.String() == s {
			return o, nil
		}
	}
	return 0, fmt.Errorf("%q is neither %s nor %s", s, InTurn, Parallel)
}

// writersOf returns the policy of s: in-turn, unless s says parallel.
func writersOf(s *record.State) Writers {
	if string(s.Settings[WritersSetting]) == Parallel.String() {
		return Parallel
	}
	return InTurn
}

// excludes reports whether of two participants only one may hold the lease.
func (o Writers) excludes(p, q record.Mode) bool {
	return o == InTurn || p != record.Append || q != record.Append
}

// ahead returns those who keep p from holding the lease: the holders that it
// excludes, and then those that came before it to the queue. For somebody who
// is not in the queue that is everybody there. This is the one place where
// modes and the order of the queue matter.
func ahead(h record.Head, p record.Participant, o Writers) []record.Participant {
	var list []record.Participant
	for _, q := range h.Holders {
		if q.ID != p.ID && o.excludes(p.Mode, q.Mode) {
			list = append(list, q)
		}
	}
	for _, q := range h.Queue {
		if q.ID == p.ID {
			break
		}
		if o.excludes(p.Mode, q.Mode) {
			list = append(list, q)
		}
	}
	return list
}

// wanted reports whether somebody waits for p, a holder.
func wanted(h record.Head, p record.Participant, o Writers) bool {
	for _, q := range h.Queue {
		if q.ID != p.ID && o.excludes(p.Mode, q.Mode) {
			return true
		}
	}
	return false
}

// place returns where id stands in the queue, counted from 1. Who is not in it
// would come last.
func place(h record.Head, id record.ParticipantID) int {
	if i := indexOf(h.Queue, id); i >= 0 {
		return i + 1
	}
	return len(h.Queue) + 1
}
