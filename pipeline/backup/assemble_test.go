package backup

import (
	"errors"
	"io"
	"reflect"
	"testing"

	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// A file that is written to after it was read through one name and before the
// scan sees another: the second entry must not have the times of the one moment
// and the content of the other, or the next run would take it for unchanged.
func TestLinkChangedBetweenNames(t *testing.T) {
	t.Parallel()
	read := archive.Entry{
		Path: "a", Type: archive.File, ModTime: archive.Time{Sec: 1}, Size: 1, Content: archive.InlineContent([]byte{1}),
	}
	s := &slot{
		twin:  &twin{set: &linkSet{entry: &read}},
		entry: &archive.Entry{Path: "b", Type: archive.File, ModTime: archive.Time{Sec: 2}, Size: 2},
	}
	if err := new(assembly).complete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := read
	want.Path = "b"
	if !reflect.DeepEqual(*s.entry, want) {
		t.Errorf("got %+v, want %+v", *s.entry, want)
	}
}

// A file that is read while it is being truncated has its new size and its old
// times: the next run must look whether that is all.
func TestSizeBeforeTimes(t *testing.T) {
	t.Parallel()
	seen := walk.Stat{Type: walk.File, Size: 10, ModTime: walk.Time{Sec: 1}, ChangeTime: walk.Time{Sec: 1}}
	var e archive.Entry
	setStat(&e, &seen)
	(&readResult{stat: seen}).fill(&e)
	if e.Racy {
		t.Error("unchanged: got that it was changed so shortly before")
	}
	seen.Size = 0
	(&readResult{stat: seen}).fill(&e)
	if !e.Racy || e.Size != 0 {
		t.Errorf("truncated: got %+v, want that it is racy", e)
	}
}

// What was read of a file before the run failed is not the file: the assembly,
// which may go on for a moment, says why it ends and makes no entry of it.
func TestNoEntryOfWhatTheRunFailedIn(t *testing.T) {
	t.Parallel()
	broken := &storeError{errors.New("broken")}
	stream := &Stream{Open: func() (io.ReadCloser, error) { return nil, broken }}
	b := &bigJob{file: source{stream: stream}, segments: make(chan *segment, 1)}
	rd := &reader{r: &run{}}
	if err := rd.read(t.Context(), b); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
	s := &slot{big: b, entry: &archive.Entry{Path: "stdin"}}
	if err := (&assembly{r: rd.r}).completeBig(t.Context(), s); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
