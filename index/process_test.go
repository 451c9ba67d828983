package index

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/objects"
)

// Two indexes on one directory: the second sees what the first had committed,
// can add and commit for itself, and changes nothing.
func TestSecondOpener(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, want := built(t, dir, 500)
	m := newMaker(21)
	x, y := mustOpen(t, dir, small), mustOpen(t, dir, small)
	if !x.Saves() || y.Saves() || y.Found() != Intact || y.State() != state {
		t.Fatalf("got saves %v and %v, found %v", x.Saves(), y.Saves(), y.Found())
	}
	before := fmt.Sprint(names(t, dir))
	p, h := m.pack(m.ids(300))
	mustAdd(t, y, p, h)
	mustCommit(t, y, State{Generation: 6})
	wantPlaces(t, y, places(p, h))
	wantPlaces(t, y, want)
	wantNone(t, x, places(p, h))
	if after := fmt.Sprint(names(t, dir)); after != before {
		t.Errorf("the second changed the files from %s to %s", before, after)
	}

	// The first replaces the runs that the second has mapped.
	for i := range 4 {
		q, g := m.pack(m.ids(400))
		mustAdd(t, x, q, g)
		mustCommit(t, x, State{Generation: uint64(7 + i)})
	}
	wantPlaces(t, y, want)
	if err := y.Reset(); err != nil {
		t.Fatal(err)
	}
	wantNone(t, y, want)
	mustClose(t, y)
	mustClose(t, x)
	x = mustOpen(t, dir, small)
	wantPlaces(t, x, want)
	if x.State().Generation != 10 {
		t.Errorf("got %v, want the first one's commit", x.State())
	}
}

// One that opens while another commits again and again finds a whole cache.
func TestOpenWhileCommitting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, want := built(t, dir, 200)
	x := mustOpen(t, dir, limits{recent: 50, committed: 1, pending: 1})
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		m := newMaker(22)
		for i := uint64(6); !stop.Load(); i++ {
			p, h := m.pack(m.ids(3))
			if err := x.Add(p, h); err != nil {
				t.Error(err)
			}
			if err := x.Commit(State{Generation: i}); err != nil {
				t.Error(err)
			}
		}
	})
	var last uint64
	missed := 0
	for range 100 {
		y := mustOpen(t, dir, small)
		if y.Found() != Intact {
			missed++ // allowed: it lost the race eight times
			continue
		}
		wantPlaces(t, y, want)
		if g := y.State().Generation; g < last {
			t.Errorf("generation went from %d to %d", last, g)
		} else {
			last = g
		}
		mustClose(t, y)
	}
	stop.Store(true)
	wg.Wait()
	if missed > 10 {
		t.Errorf("%d of 100 found no whole cache", missed)
	}
}

const holdVariable = "CAIRN_INDEX_TEST_HOLD"

// TestMain lets the test binary play the other process: it opens the index,
// says so, and holds it until its standard input ends.
func TestMain(m *testing.M) {
	dir := os.Getenv(holdVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	x, err := Open(dir, repository)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("saves", x.Saves())
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0) // without Close, like a crash
}

// A process that dies leaves no lock behind.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, want := built(t, dir, 100)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), exe)
	other.Env = append(os.Environ(), holdVariable+"="+dir)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "saves true" {
		t.Fatalf("other process: got %q, %v, want saves true", line, err)
	}
	x := mustOpen(t, dir, small)
	if x.Saves() {
		t.Error("two processes hold the lock")
	}
	wantPlaces(t, x, want)
	mustClose(t, x)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	if x = mustOpen(t, dir, small); !x.Saves() || x.Found() != Intact {
		t.Errorf("after the other's end: got saves %v, %v, want true, intact", x.Saves(), x.Found())
	}
}

// Each chunk is claimed exactly once, and found from the moment its pack was
// added, while the index spills, merges and commits.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const workers, rounds, perPack = 4, 60, 20
	x := mustOpen(t, t.TempDir(), small)
	ids := newMaker(23).ids(3000)
	claims := make([]atomic.Int32, len(ids))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			m := newMaker(uint64(30 + w))
			for range rounds {
				var mine []objects.ID
				for len(mine) < perPack && m.IntN(500) > 0 {
					n := m.IntN(len(ids))
					if x.Claim(ids[n]) {
						claims[n].Add(1)
						mine = append(mine, ids[n])
					}
					if _, _, err := x.Lookup(ids[m.IntN(len(ids))]); err != nil {
						t.Error(err)
					}
				}
				p, h := m.pack(mine)
				if err := x.Add(p, h); err != nil {
					t.Error(err)
				}
				if err := checkPlaces(x, places(p, h)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range uint64(20) {
			if err := x.Commit(State{Generation: i}); err != nil {
				t.Error(err)
			}
			for _, err := range x.Packs() {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	for i := range ids {
		n := claims[i].Load()
		has, err := x.Has(ids[i])
		if n > 1 || err != nil || has != (n == 1) {
			t.Errorf("chunk %d: claimed %d times, known %v, %v", i, n, has, err)
		}
	}
}
