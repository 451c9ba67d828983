package backup

import (
	"testing"

	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// A file that is written to after it was read through one name and before the
// scan sees another: the next run must not take the times of the second name
// for those of the content that the first one gave.
func TestLinkChangedBetweenNames(t *testing.T) {
	t.Parallel()
	id := walk.FileID{Dev: 1, Inode: 2}
	read := archive.Entry{Path: "a", Type: archive.File, ModTime: archive.Time{Sec: 1}, ChangeTime: archive.Time{Sec: 1}}
	for name, c := range map[string]struct {
		modified, changed int64
		racy              bool
	}{
		"as it was":    {1, 1, false},
		"written to":   {2, 2, true},
		"times forged": {1, 2, true},
	} {
		a := &assembly{links: map[walk.FileID]*archive.Entry{id: &read}}
		s := &slot{twin: &id, entry: &archive.Entry{
			Path: "b", Type: archive.File,
			ModTime: archive.Time{Sec: c.modified}, ChangeTime: archive.Time{Sec: c.changed},
		}}
		if err := a.complete(t.Context(), s); err != nil || s.entry.Racy != c.racy {
			t.Errorf("%s: got racy %v, error %v, want %v", name, s.entry.Racy, err, c.racy)
		}
	}
}
