package locking

import (
	"time"

	"cairn/objects/record"
)

// Mutant is a rule of the protocol that is switched off.
type Mutant int

// The mutants that lie in this package; those of whoever stores and removes
// packs are the simulation's own.
const (
	NoGCCheck  Mutant = iota + 1 // commit without a look at what was condemned
	NotFenced                    // commit whoever holds the lease, and whatever head is at
	OldMark                      // condemn by a mark of an older generation
	Readmitted                   // commit packs that were condemned
)

// SharesKernel reports whether p and q see the same processes.
func SharesKernel(p, q Process) bool { return p.sharesKernel(q) }

// ProcessOf returns what a participant says about its process.
func ProcessOf(p record.Participant) Process { return processOf(p) }

// Takeover returns how long p must be silent before it is taken over.
func Takeover(p record.Participant) time.Duration { return takeover(p) }

// Switch switches a rule off.
func (m Mutant) Switch(o *Options) {
	switch m {
	case NoGCCheck:
		o.mutants.unshown = true
	case NotFenced:
		o.mutants.unfenced = true
	case OldMark:
		o.mutants.staleMark = true
	case Readmitted:
		o.mutants.readmits = true
	}
}
