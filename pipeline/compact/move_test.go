package compact_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cairn/backend"
	"cairn/pipeline/compact"
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
