package compact_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"cairn/backend"
)

// blind is a store that lists no records.
type blind struct{ backend.Backend }

func (s blind) List(ctx context.Context, prefix backend.Prefix) iter.Seq2[backend.Info, error] {
	if prefix == "commits/" {
		return func(func(backend.Info, error) bool) {}
	}
	return s.Backend.List(ctx, prefix)
}

// What was condemned a moment ago stays, though the store does not list yet the
// record that says so.
func TestListsLackRecords(t *testing.T) {
	t.Parallel()
	b := aged(t)
	b.wrap = func(s backend.Backend) backend.Backend { return blind{s} }
	s := b.compact()
	if again := b.compact(); again.Swept > 0 || again.Later != s.Condemned {
		t.Errorf("got %+v, want all %d packs to wait", again, s.Condemned)
	}
	b.wait(25 * time.Hour)
	if again := b.compact(); again.Swept != s.Condemned {
		t.Errorf("a day later: got %+v, want all %d packs swept", again, s.Condemned)
	}
}
