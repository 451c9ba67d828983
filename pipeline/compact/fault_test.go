package compact_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"cairn/backend/mem"
	"cairn/pipeline/compact"
)

var errStore = errors.New("the store is unwell")

// faulty returns an aged bench where a compaction has everything to do: packs
// that are to be swept, dead ones, and others in several batches.
func faulty(t *testing.T) (*bench, compact.Options) {
	b := aged(t)
	b.compact(func(o *compact.Options) { o.MaxUnused = 100 })
	b.wait(25 * 60 * 60 * 1e9)
	b.delete("run-3")
	o := b.options()
	o.Batch = 3 << 20
	return b, o
}

// Every request of a compaction fails once, or from then on, before or after
// it took effect. Nothing that is listed is lost, and a further run goes on
// from there.
func TestFaults(t *testing.T) {
	t.Parallel()
	b, o := faulty(t)
	b.store.ResetCounts()
	s, err := b.try(t.Context(), o)
	must(t, err)
	if s.Swept == 0 || s.Condemned == 0 || s.Moved == 0 {
		t.Fatalf("got %+v: there is not everything to do", s)
	}
	every := 1
	if testing.Short() {
		every = 24
	}
	for name, hook := range b.store.Faults(errStore, every, mem.Put, mem.Swap, mem.Load, mem.Get, mem.List, mem.Delete, mem.Stat) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testFault(t, hook) })
		})
	}
}

func testFault(t *testing.T, hook mem.Hook) {
	b, o := faulty(t)
	b.fail(hook)
	s, err := b.try(t.Context(), o)
	b.fail(nil)
	t.Logf("the run ended with %+v, %v", s, err)
	b.checkAll()
	b.write("new", 7, 500_000)
	b.backup()
	b.compact()
	// What the first runs have made may be worth joining once more.
	var last compact.Summary
	for range 3 {
		b.wait(25 * 60 * 60 * 1e9)
		if last = b.compact(); last.Condemned == 0 {
			break
		}
	}
	if last.Later > 0 || last.Condemned > 0 {
		t.Errorf("days later: got %+v, want everything swept, and nothing to do", last)
	}
	b.checkAll()
}
