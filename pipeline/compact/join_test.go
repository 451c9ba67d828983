package compact_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cairn/backend/mem"
	"cairn/locking"
	"cairn/pipeline/compact"
	"cairn/pipeline/repository"
)

// join runs Join where few small packs are many.
func (b *bench) join(above int) (s compact.Summary) {
	b.t.Helper()
	must(b.t, b.use(func(r *repository.Repository) (err error) {
		must(b.t, r.Sync(b.t.Context()))
		o := b.options()
		o.JoinAbove, o.PackTarget = above, 1<<20
		s, err = compact.Join(b.t.Context(), b.t.Context(), r, o)
		return err
	}))
	return s
}

// live returns how many packs are neither condemned nor gone.
func (b *bench) live() (n int) {
	b.t.Helper()
	must(b.t, b.use(func(r *repository.Repository) error {
		n = r.State().Packs.Len()
		return nil
	}))
	return n
}

// Small packs are joined, all archives stay what they were, on other machines
// too, and what was joined is deleted when its grace is over.
func TestJoin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 12 {
		b.write(fmt.Sprint(i), uint64(i), 3000)
		b.backup()
	}
	before := b.live()
	if s := b.join(before); s.Moved > 0 {
		t.Errorf("as many as are left alone: got %d moved, want none", s.Moved)
	}
	s := b.join(10)
	if n := b.live(); n > 3 || s.Moved != uint64(before) || s.New != uint64(n) {
		t.Errorf("got %d packs of %d, summary %+v, want few", n, before, s)
	}
	b.checkAll()
	b.write("new", 99, 3000)
	b.backup()
	b.checkAll()
	there, _ := b.packs()
	b.wait(locking.Grace + time.Hour)
	for i := range 12 {
		b.write(fmt.Sprint("again ", i), uint64(200+i), 3000)
		b.backup()
	}
	b.join(10)
	if left, _ := b.packs(); left >= there+24 {
		t.Errorf("got %d packs in the store, want the %d that were joined a day ago gone", left, before)
	}
	b.checkAll()
}

// While others write, nothing is joined.
func TestJoinWaitsForNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 6 {
		b.write(fmt.Sprint(i), uint64(i), 3000)
		b.backup()
	}
	must(t, b.use(func(r *repository.Repository) error {
		w, ctx, err := r.Begin(t.Context(), t.Context())
		must(t, err)
		must(t, w.Ensure(ctx, t.Context()))
		if s := b.join(2); s.Moved > 0 {
			t.Errorf("got %d packs moved beside another run, want none", s.Moved)
		}
		return w.End(t.Context())
	}))
}

// Many tiny backups leave a bounded number of objects, and the next one asks for
// no more than those before.
func TestManyTinyBackups(t *testing.T) {
	t.Parallel()
	runs, above := 400, 60
	if testing.Short() {
		runs = 150
	}
	b := newBench(t)
	b.write("small", 0, 3000)
	b.backup()
	most := 0
	for i := range runs {
		b.write("small", uint64(i), 3000)
		b.backup()
		b.wait(time.Hour)
		b.store.ResetCounts()
		b.join(above)
		if b.store.Count(mem.Put) == 0 { // what a run that joins nothing asks for
			most = max(most, b.store.Count(mem.Get)+b.store.Count(mem.List)+b.store.Count(mem.Load))
		}
	}
	if most > 2 {
		t.Errorf("got up to %d requests to open and sync, want no more than two loads", most)
	}
	count := map[string]int{}
	for info, err := range b.store.List(t.Context(), "") {
		must(t, err)
		kind, _, _ := strings.Cut(string(info.Key), "/")
		count[kind]++
	}
	// A day's runs make 24 records, 72 packs (with those that joining makes), and
	// what was joined stays for a day.
	for kind, limit := range map[string]int{"packs": 2*above + 4*24, "commits": 3*64 + 24, "bundles": 16} {
		if count[kind] > limit {
			t.Errorf("got %d %s after %d runs, want at most %d", count[kind], kind, runs, limit)
		}
	}
	t.Logf("after %d runs: %v", runs, count)
	b.checkAll()
}
