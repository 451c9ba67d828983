package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestLimitGarbage holds that a small heap is left alone, and that garbage is
// kept low from the first collection on. It is not parallel: it changes when the
// process collects.
func TestLimitGarbage(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(-1) // no collection now but the one below
	t.Cleanup(func() { debug.SetGCPercent(before) })
	limitGarbage()
	if got := percentNow(); got != gcPercentFirst {
		t.Errorf("before a collection: got %d %%, want %d", got, gcPercentFirst)
	}
	runtime.GC()
	for begun := time.Now(); percentNow() != gcPercent; runtime.Gosched() {
		if time.Since(begun) > time.Minute {
			t.Fatalf("after a collection: got %d %%, want %d", percentNow(), gcPercent)
		}
	}
}

// percentNow returns how much garbage may pile up, in percent of what is in use.
func percentNow() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
