package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/local"
)

// TestKilledWriter holds that a writer killed at any moment leaves whole
// objects only, and every one whose Put had returned.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	dir := create(t)
	acknowledged := 0
	for round := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20+rand.IntN(180))*time.Millisecond)
		name := fmt.Sprintf("round%d", round)
		out, _ := helper(ctx, t, "put", dir, name).Output() // killed, so its error says nothing
		cancel()

		s := open(t, dir, local.Options{})
		for info, err := range s.List(t.Context(), backend.Prefix(name)) {
			if err != nil {
				t.Fatal(err)
			}
			data, err := s.Get(t.Context(), info.Key, backend.Range{})
			if err != nil || nameOf(name, data) != info.Key {
				t.Errorf("%s: got %d bytes, %v, want a whole object", info.Key, len(data), err)
			}
		}
		lines := strings.SplitAfter(string(out), "\n")
		for _, line := range lines[:len(lines)-1] {
			acknowledged++
			if _, err := s.Stat(t.Context(), backend.Key(strings.TrimSpace(line))); err != nil {
				t.Errorf("acknowledged object: %v", err)
			}
		}
		s.Close()
	}
	leftovers, err := filepath.Glob(dir + "/tmp/*")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects were acknowledged, %d files left unfinished", acknowledged, len(leftovers))
	wantLeft(t, dir, 23, len(leftovers))
	wantLeft(t, dir, 25, 0)
}

// wantLeft opens the store at a time hours from now, writes to it, and holds how
// many unfinished files are there then.
func wantLeft(t *testing.T, dir string, hours, want int) {
	t.Helper()
	later := time.Now().Add(time.Duration(hours) * time.Hour)
	s := open(t, dir, local.Options{Now: func() time.Time { return later }})
	defer s.Close()
	if err := s.Put(t.Context(), backend.Key(fmt.Sprintf("later/%d", hours))); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(dir + "/tmp/*")
	if err != nil || len(left) != want {
		t.Errorf("after %d hours: got %d unfinished files, %v, want %d", hours, len(left), err, want)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	dir := create(t)
	if err := os.WriteFile(dir+"/tmp/leftover", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, dir, 23, 1)
	s := open(t, dir, local.Options{Access: local.ReadOnly, Now: func() time.Time { return time.Now().Add(48 * time.Hour) }})
	defer s.Close()
	if _, err := s.Stat(t.Context(), "later/23"); err != nil {
		t.Error(err)
	}
	wantLeft(t, dir, 0, 1)
	wantLeft(t, dir, 25, 0)
}

const (
	processes     = 4
	processCounts = 15
)

// TestProcessesCount holds that no update of the register is lost or doubled
// while processes, and goroutines of this one, race for it.
func TestProcessesCount(t *testing.T) {
	t.Parallel()
	dir := create(t)
	var group sync.WaitGroup
	for p := range processes {
		group.Go(func() {
			if err := helper(t.Context(), t, "count", dir, fmt.Sprintf("process %d", p)).Run(); err != nil {
				t.Errorf("process %d: %v", p, err)
			}
		})
	}
	s := open(t, dir, local.Options{})
	defer s.Close()
	for g := range processes {
		group.Go(func() {
			if err := backendtest.Count(t.Context(), s, fmt.Sprintf("goroutine %d", g), processCounts); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	counts, err := backendtest.Counts(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range processes {
		for _, kind := range []string{"process", "goroutine"} {
			if got := counts[fmt.Sprintf("%s %d", kind, i)]; got != processCounts {
				t.Errorf("%s %d: got %d updates, want %d", kind, i, got, processCounts)
			}
		}
	}
	if files, err := filepath.Glob(dir + "/head/*"); err != nil || len(files) > 17 {
		t.Errorf("got %d versions, %v, want them collected", len(files), err)
	}
}
