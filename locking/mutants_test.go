package locking_test

import (
	"testing"

	"cairn/locking"
)

// mutant is a rule of the protocol that nobody follows in a world.
type mutant int

const (
	sound mutant = iota
	noGCCheck
	notFenced
	notCondemned
	repeatedNames
	forgottenNames
	oldMark
	deadStrangers
	rashLook
)

// rule returns what is switched off in the package itself.
func (m mutant) rule() locking.Mutant {
	switch m {
	case noGCCheck:
		return locking.NoGCCheck
	case notFenced:
		return locking.NotFenced
	case forgottenNames:
		return locking.Readmitted
	case oldMark:
		return locking.OldMark
	}
	return 0
}

// TestMutants switches off one rule after the other: each must be missed.
func TestMutants(t *testing.T) {
	t.Parallel()
	keys := testKeys(t)
	for name, m := range map[string]mutant{
		"no gc check at commit":               noGCCheck,
		"commit not fenced":                   notFenced,
		"delete without condemn":              notCondemned,
		"pack names that repeat":              repeatedNames,
		"names forgotten after the sweep":     forgottenNames,
		"condemn by a mark of another commit": oldMark,
		"strangers taken for dead":            deadStrangers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const seeds = 500
			for seed := uint64(1); seed <= seeds; seed++ {
				if w := schedule(t, keys, seed, m); len(w.violations) > 0 {
					t.Logf("seed %d: %s", seed, w.violations[0])
					return
				}
			}
			t.Errorf("nobody noticed in %d schedules", seeds)
		})
	}
}
