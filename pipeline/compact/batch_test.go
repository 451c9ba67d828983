package compact_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"cairn/pipeline/compact"
	"cairn/pipeline/repository"
)

// What is to be moved is moved in parts of some minutes, a commit each.
func TestCommitsNowAndThen(t *testing.T) {
	t.Parallel()
	commits := func(pace time.Duration) (n uint64) {
		b := aged(t)
		now := later
		b.compact(func(o *compact.Options) {
			o.Workers, o.Batch = 1, 1<<30
			var mu sync.Mutex
			o.Now = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(pace)
				return now
			}
		})
		b.checkAll()
		must(t, b.use(func(r *repository.Repository) error {
			n = r.State().Generation
			return nil
		}))
		return n
	}
	if fast, slow := commits(0), commits(time.Minute); slow <= fast {
		t.Errorf("got generation %d where a pack takes a minute, and %d where all take none", slow, fast)
	}
}

// Where the way to the store carries only short packs, compaction makes no longer
// ones, and joins none.
func TestShortPacks(t *testing.T) {
	t.Parallel()
	const short = 100_000
	b := newBench(t)
	b.size = func() (int64, bool) { return short, true }
	for i := range uint64(12) {
		b.write(fmt.Sprintf("%02d-kept", i), i, 90_000)
		b.write(fmt.Sprintf("%02d-brief", i), 100+i, 90_000)
	}
	b.backup()
	for i := range uint64(12) {
		b.remove(fmt.Sprintf("%02d-brief", i))
	}
	b.backup()
	b.delete("run-1")
	s := b.compact(func(o *compact.Options) { o.MaxUnused = -1 })
	if s.Condemned == 0 || s.New < 5 || s.NewBytes > s.New*(short+2*90_000) {
		t.Errorf("got %+v, want packs of about %d bytes", s, short)
	}
	b.checkAll()
	if s := b.compact(); s.Condemned > 0 {
		t.Errorf("again: got %+v, want nothing done", s)
	}
	b.size = nil
	if s := b.compact(); s.Moved == 0 {
		t.Errorf("over a better way: got %+v, want small packs joined", s)
	}
	b.checkAll()
}
