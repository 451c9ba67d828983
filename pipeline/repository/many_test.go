package repository_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/bundle"
	"cairn/objects/record"
	"cairn/pipeline/repository"

	"github.com/zeebo/blake3"
)

// total returns how many requests there were, a List of packs counted by its pages.
func (y *synthetic) total(s *mem.Store) int {
	if s.Count(mem.List) == 0 {
		return s.Total()
	}
	return pages(y.packs) - 1 + s.Total()
}

// keys returns the keys of a store that begin with prefix.
func keys(t testing.TB, s *mem.Store, prefix backend.Prefix) (found []backend.Key) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix) {
		must(t, err)
		found = append(found, info.Key)
	}
	return found
}

// TestRequestsOfManyRuns states what opening costs on a repository of many runs.
func TestRequestsOfManyRuns(t *testing.T) {
	t.Parallel()
	y := many()
	s, key, machines := y.make(t)
	sync := func(m *machine, what string, most int) {
		t.Helper()
		s.ResetCounts()
		begun := time.Now()
		m.use(t, func(r *repository.Repository) {
			must(t, r.Sync(t.Context()))
			t.Logf("%s: requests %s, %d in all, in %v", what, requests(s), y.total(s), time.Since(begun).Round(time.Millisecond))
			if n := y.total(s); n > most {
				t.Errorf("%s: got %d requests, want at most %d", what, n, most)
			}
			y.finds(t, r)
		})
	}
	one := machines[0]
	sync(one, "settle", 100) // the others have worked since
	sync(one, "nothing has changed", 1)
	for _, n := range []int{1, 10, 60} { // in two commits: a checkpoint and an archive
		y.run(t, machines[1], n)
		sync(one, fmt.Sprintf("another machine added %d packs", n), 1+2*2)
	}
	cold := newMachine(t, s, key)
	sync(cold, "a cold machine", 100)
	sync(cold, "the cold machine again", 1)
	if n := len(keys(t, s, "bundles/")); n > 24 {
		t.Errorf("got %d bundles, want few", n)
	}
	for _, k := range keys(t, s, "bundles/") {
		must(t, s.Delete(t.Context(), k))
	}
	sync(newMachine(t, s, key), "a cold machine without bundles", 100+y.packs)
}

// watched is a store that keeps an eye on reads of packs, and fails one of them.
type watched struct {
	*mem.Store
	t      testing.TB
	frames int64 // where the frames of every pack begin, at least

	reads, flying, most atomic.Int64
	left                atomic.Int64 // reads before one fails; 0: none does
}

func (w *watched) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	if !strings.HasPrefix(string(key), "packs/") {
		return w.Store.Get(ctx, key, r)
	}
	if r.Len == 0 || r.Off+r.Len > w.frames {
		w.t.Errorf("read %s of %s: got frames, want headers alone", r, key)
	}
	w.reads.Add(1)
	n := w.flying.Add(1)
	defer w.flying.Add(-1)
	for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
	}
	time.Sleep(time.Millisecond) // so that reads overlap, as they do where they are far
	if w.left.Load() > 0 && w.left.Add(-1) == 0 {
		return nil, errStore
	}
	return w.Store.Get(ctx, key, r)
}

// Without bundles, and with records that carry no headers, an index is made
// from the headers of packs: many are read at a time, and nothing else. What
// was read before an interruption is not read again.
func TestIndexFromHeaders(t *testing.T) {
	t.Parallel()
	y := &synthetic{hosts: 1, runs: 1, first: scale(10000)}
	s, key, _ := y.make(t)
	for _, k := range keys(t, s, "bundles/") {
		must(t, s.Delete(t.Context(), k))
	}
	w := &watched{Store: s, t: t, frames: 4000}
	m := newMachine(t, s, key)
	m.backend = w
	var told atomic.Int64
	m.indexing = func(done, total int) {
		told.Store(max(told.Load(), int64(done)))
		if done > total || total > y.packs {
			t.Errorf("progress: got %d of %d, and there are %d packs", done, total, y.packs)
		}
	}
	const inRecords = 2 * 64 << 10 / 2400 // headers, about
	half := int64(y.packs / 2)
	w.left.Store(half)
	m.use(t, func(r *repository.Repository) {
		if err := r.Sync(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("a store that fails: got %v, want %v", err, errStore)
		}
	})
	m.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		y.finds(t, r)
	})
	if n := w.reads.Load(); n > int64(y.packs)+headersInFlight || n < int64(y.packs)-inRecords-10 {
		t.Errorf("got %d reads, want one for each of %d packs, but those in records and in flight", n, y.packs)
	}
	if most := w.most.Load(); most < min(headersInFlight, half) {
		t.Errorf("got %d reads at a time, want %d", most, headersInFlight)
	}
	if told.Load() == 0 {
		t.Error("nobody was told how far it is")
	}
}

// The disk of the cache takes nothing: an index that is larger than what is kept
// in memory otherwise is made all the same, and one is told.
func TestIndexWithoutRoom(t *testing.T) {
	t.Parallel()
	y := &synthetic{hosts: 1, runs: 1, first: 5000} // more than headersLost, and 360 000 chunks
	if testing.Short() {
		y.first = 2000
	}
	s, key, _ := y.make(t)
	m := newMachine(t, s, key)
	warnings := m.use(t, func(r *repository.Repository) {
		dir := filepath.Join(m.cache, r.Config.Repository.String(), "index")
		must(t, os.RemoveAll(dir))
		must(t, os.WriteFile(dir, nil, 0o600)) // no file can be made in a file
		must(t, r.Sync(t.Context()))
		y.finds(t, r)
		must(t, os.Remove(dir))
	})
	if len(warnings) != 1 || !strings.Contains(warnings[0], "the index cache could not be saved") {
		t.Errorf("got warnings %q, want one that the index cache could not be saved", warnings)
	}
	m.finds(t)
}

const headersInFlight = 32

// Bundles may be rotten, of a newer cairn, or about packs that nobody knows:
// the headers are had all the same.
func TestUselessBundles(t *testing.T) {
	t.Parallel()
	y := &synthetic{hosts: 1, runs: 1, first: 100}
	s, key, _ := y.make(t)
	all := keys(t, s, "bundles/")
	if len(all) == 0 {
		t.Fatal("there are no bundles")
	}
	for _, k := range all {
		p, err := s.Get(t.Context(), k, backend.Range{})
		must(t, err)
		must(t, s.Delete(t.Context(), k))
		p[len(p)/2] ^= 1
		must(t, s.Put(t.Context(), k, p))
		newer := append([]byte("cairnbdl\x02\x00"), p...)
		must(t, s.Put(t.Context(), backend.Key(bundle.Key(blake3.Sum256(newer))), newer))
	}
	id, foreign, err := bundle.Encode([]bundle.Entry{{Pack: objects.ID{1}, Header: make([]byte, bundle.MinHeader)}})
	must(t, err)
	must(t, s.Put(t.Context(), backend.Key(bundle.Key(id)), foreign))
	must(t, s.Put(t.Context(), "bundles/something-else", foreign))
	warnings := newMachine(t, s, key).use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		y.finds(t, r)
	})
	if len(warnings) > 0 {
		t.Errorf("got warnings %q, want none", warnings)
	}
}

// With head, records and bundles lost, nobody takes the repository for a new one.
// Where a head is asked for, the packs that are left are taken over by the next
// run: at most two reads of headers for each, many at a time. What they hold is
// known again.
func TestNothingButPacks(t *testing.T) {
	t.Parallel()
	y := &synthetic{hosts: 1, runs: 1, first: scale(4000)}
	whole, key, _ := y.make(t)
	s := new(mem.Store)
	for info, err := range whole.List(t.Context(), "") {
		must(t, err)
		if dir, _, _ := strings.Cut(string(info.Key), "/"); dir != "packs" && dir != "config" {
			continue
		}
		p, err := whole.Get(t.Context(), info.Key, backend.Range{})
		must(t, err)
		must(t, s.Put(t.Context(), info.Key, p))
	}
	w := &watched{Store: s, t: t, frames: 4000}
	m := newMachine(t, s, key)
	m.backend = w
	if _, err := m.open(t, nil); !errors.Is(err, locking.ErrNoHead) {
		t.Fatalf("open: got %v, want %v", err, locking.ErrNoHead)
	}
	lost, err := repository.OpenLost(t.Context(), at(s), repository.Options{
		Unlock: repository.Unlocker{KeyFile: key}, CacheDir: t.TempDir(), StateDir: t.TempDir(),
	})
	must(t, err)
	must(t, lost.Rebuild(t.Context(), time.Now()))
	must(t, lost.Close())
	m.use(t, func(r *repository.Repository) {
		if n := len(r.Archives()); n > 0 {
			t.Errorf("got %d archives, want none", n)
		}
		turn, ctx, err := r.Begin(t.Context(), t.Context())
		must(t, err)
		must(t, turn.Commit(ctx, &record.Commit{Made: time.Now()}))
		must(t, turn.End(t.Context()))
		y.finds(t, r)
	})
	if n := w.reads.Load(); n > 2*int64(y.packs) {
		t.Errorf("got %d reads, want at most two for each of %d packs", n, y.packs)
	}
	if most := w.most.Load(); most < headersInFlight {
		t.Errorf("got %d reads at a time, want %d", most, headersInFlight)
	}
	cold := newMachine(t, s, key)
	cold.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		y.finds(t, r)
	})
}
