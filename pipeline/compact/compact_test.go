package compact_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"cairn/pipeline/compact"
)

func hash(p []byte) []byte {
	sum := blake3.Sum256(p)
	return sum[:8]
}

// aged returns a bench with archives, some of which were deleted: there are
// dead packs, packs of which a part is needed, and small ones.
func aged(t *testing.T) *bench {
	b := newBench(t)
	for i := range uint64(6) {
		b.write(fmt.Sprintf("kept/%d", i), 100+i, 300_000)
		b.write(fmt.Sprintf("brief-%d", i), 200+i, 2_500_000)
		b.write("same", 1, 40_000)
		for n := range uint64(30) {
			b.write(fmt.Sprintf("small/%d-%d", i, n), 1000+100*i+n, 3000)
		}
		b.backup()
		b.remove(fmt.Sprintf("brief-%d", i))
		b.remove(fmt.Sprintf("small/%d-%d", i, 3))
	}
	b.delete("run-1", "run-2", "run-4", "run-5")
	return b
}

func TestCompact(t *testing.T) {
	t.Parallel()
	b := aged(t)
	_, before := b.packs()
	dry := b.compact(func(o *compact.Options) { o.DryRun = true })
	if n := b.store.Count(0); n == 0 {
		t.Fatal("nothing was stored")
	}
	s := b.compact()
	t.Logf("dry: %+v", dry)
	t.Logf("run: %+v", s)
	if s.Condemned == 0 || s.Moved == 0 || s.Condemned == s.Moved || s.Swept > 0 {
		t.Errorf("got %+v, want some packs condemned, some of them moved, none swept", s)
	}
	if dry.Condemned != s.Condemned || dry.CondemnedBytes != s.CondemnedBytes || dry.Moved != s.Moved {
		t.Errorf("the dry run said %+v", dry)
	}
	b.checkAll()
	_, grown := b.packs()
	if grown != before+int64(s.NewBytes) {
		t.Errorf("got %d bytes of packs, want those %d that were there and %d new ones", grown, before, s.NewBytes)
	}

	b.wait(23 * time.Hour)
	if s := b.compact(); s.Swept > 0 || s.Condemned > 0 {
		t.Errorf("an hour too early: got %+v, want nothing swept, nothing condemned", s)
	}
	b.wait(2 * time.Hour)
	swept := b.compact()
	if swept.Swept != s.Condemned || swept.SweptBytes != s.CondemnedBytes || swept.Later > 0 {
		t.Errorf("a day later: got %+v, want %d packs swept", swept, s.Condemned)
	}
	if _, after := b.packs(); after != grown-int64(s.CondemnedBytes) {
		t.Errorf("got %d bytes of packs, want %d", after, grown-int64(s.CondemnedBytes))
	}
	b.checkAll()
	b.backup()
	b.checkAll()
}
