package compact_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/pipeline/compact"
	"cairn/pipeline/repository"
)

// Of packs that are emptied only what is needed is read, and nothing that is not
// stays, if that is asked for.
func TestReadsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range uint64(40) {
		b.write(fmt.Sprintf("%02d", i), 100+i, 300_000)
	}
	b.backup()
	for i := range uint64(40) {
		if i%4 != 0 {
			b.remove(fmt.Sprintf("%02d", i))
		}
	}
	b.backup()
	b.delete("run-1")
	p := new(compact.Progress)
	s := b.compact(func(o *compact.Options) { o.Progress, o.MaxUnused = p, -1 })
	t.Logf("%+v, %d bytes read of %d", s, p.Read.Load(), p.ReadTotal.Load())
	if read := p.Read.Load(); s.Moved == 0 || read > s.CondemnedBytes*2/5 || read < 10*300_000 {
		t.Errorf("got %d bytes read of packs of %d bytes of which a quarter is needed", read, s.CondemnedBytes)
	}
	if s.Unused > 0 {
		t.Errorf("got %d bytes that stay unused, want none", s.Unused)
	}
	b.checkAll()
}

// spotted is a store in which a byte of every pack is another one.
type spotted struct {
	backend.Backend
	at int64
}

func (s spotted) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	p, err := s.Backend.Get(ctx, key, r)
	if i := s.at - r.Off; err == nil && strings.HasPrefix(string(key), "packs/") && i >= 0 && i < int64(len(p)) {
		p[i] ^= 1
	}
	return p, err
}

// A pack that is damaged where something is needed stays, and nothing that is
// damaged gets into a pack that is whole. Where nothing is needed damage does not
// matter.
func TestDamagedPacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		where string
		at    int64 // both files are in one pack, in this order
		stays uint64
	}{
		{"needed", 100_000, 1},
		{"not needed", 400_000, 0},
		{"nowhere", 0, 0},
	} {
		t.Run(c.where, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.write("1", 1, 300_000)
			b.write("2", 2, 300_000)
			b.backup()
			b.remove("2")
			b.backup()
			b.delete("run-1")
			if c.at > 0 {
				b.wrap = func(s backend.Backend) backend.Backend { return spotted{s, c.at} }
			}
			s := b.compact(func(o *compact.Options) { o.MaxUnused = -1 })
			b.wrap = nil
			if s.Kept != c.stays || s.Moved+s.Kept == 0 {
				t.Errorf("got %+v, want %d packs kept", s, c.stays)
			}
			b.checkAll()
		})
	}
}

// manyHalves is a bench of many packs, half of each of which is needed.
func manyHalves(t *testing.T) *bench {
	b := newBench(t)
	for i := range uint64(80) {
		b.write(fmt.Sprintf("%02d", i), 100+i, 250_000)
	}
	b.backup()
	for i := range 40 {
		b.remove(fmt.Sprintf("%02d", 2*i))
	}
	b.backup()
	b.delete("run-1")
	return b
}

// packsAtMost returns a hook that lets a run store so many packs. What is put once
// more, because it was taken over, does not count.
func packsAtMost(n int64) mem.Hook {
	var stored atomic.Int64
	return func(op mem.Op, key backend.Key, at mem.Moment) error {
		if op == mem.Put && strings.HasPrefix(string(key), "packs/") && at == mem.After && stored.Add(1) > n {
			return errStore
		}
		return nil
	}
}

// What a run has moved that failed before it could commit need not be moved again.
func TestGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	all := manyHalves(t).compact()
	synctest.Test(t, func(t *testing.T) {
		b := manyHalves(t)
		for range 2 {
			b.fail(packsAtMost(4))
			if _, err := b.try(t.Context(), b.options()); !errors.Is(err, errStore) {
				t.Fatalf("got %v, want %v", err, errStore)
			}
			b.fail(nil)
		}
		s := b.compact()
		t.Logf("at once %+v, in the end %+v", all, s)
		if s.New+5 > all.New || s.NewBytes+5<<20 > all.NewBytes {
			t.Errorf("got %d packs of %d bytes, want at least 5 less than the %d packs of %d bytes that it takes at once",
				s.New, s.NewBytes, all.New, all.NewBytes)
		}
		b.checkAll()
	})
}

// What a backup has stored that failed before it could commit stays, though
// nothing needs it when a compaction comes: it need not be stored again.
func TestOrphansOfBackupsStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const files, each = 12, 700_000
		b := manyHalves(t)
		for i := range uint64(files) {
			b.write(fmt.Sprint("new-", i), 1000+i, each)
		}
		b.fail(packsAtMost(4))
		err := b.use(func(r *repository.Repository) error {
			_, err := b.backupIn(r)
			return err
		})
		if !errors.Is(err, errStore) {
			t.Fatalf("got %v, want %v", err, errStore)
		}
		b.fail(nil)
		if s := b.compact(); s.Moved == 0 {
			t.Errorf("got %+v, want some packs moved", s)
		}
		b.backup()
		if n := b.summary.NewBytes; n > files*each-3<<20 {
			t.Errorf("got %d bytes stored, want at least 3 MiB less than the %d that were not committed", n, files*each)
		}
		b.checkAll()
	})
}
