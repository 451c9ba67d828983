package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"cairn/locking"
	"cairn/objects/record"
)

// TestPrintable holds that what a name contains neither steers a terminal nor
// looks like a message of its own.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"open /home/ada/Résumé 履歴.txt: denied": "open /home/ada/Résumé 履歴.txt: denied",
		"open \x1b[31mred: denied":             `open \x1b[31mred: denied`,
		"open a\ncairn: all is well":           "open a\n       cairn: all is well",
		"open \xff\t\u202etxt":                 `open \xff\t\u202etxt`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestWaiting holds what a person sees who waits for others: all there is to say,
// once, and then how it stands, on a line that fits and that progress leaves alone.
func TestWaiting(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	g := &globals{cli: &cli{}, term: &terminal{err: &out, live: true}}
	w := locking.Waiting{
		Ahead: record.Participant{User: "ada", Host: "mail", Command: "cairn backup " + strings.Repeat("/a/long/path ", 9)},
		Place: 2, Takeover: 450 * time.Second,
	}
	g.waiting(w)
	said, line, _ := strings.Cut(out.String(), "\n")
	if want := "(" + w.Ahead.Command + "); place 2 in the queue; stale after 7m30s of silence"; !strings.HasSuffix(said, want) {
		t.Errorf("got %q, want it to end with %q", said, want)
	}
	if want := "waiting for ada@mail, who writes to the repository since "; !strings.Contains(said, want) {
		t.Errorf("got %q, want it to say %q", said, want)
	}
	if want := "\rwaiting: place 2 in the queue; ada@mail silent for 0s, stale after 7m30s"; line != want {
		t.Errorf("got %q, want %q", line, want)
	}
	out.Reset()
	w.Queued = true // one that holds nothing yet
	g.waiting(w)
	if said, want := out.String(), "waiting for ada@mail, who waits, too, and whose turn comes first, since "; !strings.Contains(said, want) {
		t.Errorf("got %q, want it to say %q", said, want)
	}
	out.Reset()
	g.term.progress("3s  0 files")
	w.Waited, w.Silent = 90*time.Second, 61200*time.Millisecond
	g.waiting(w)
	if want := "\r\x1b[K\rwaiting: place 2 in the queue; ada@mail silent for 1m1s, stale after 7m30s"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestPathError holds that a warning names its file, and names it once.
func TestPathError(t *testing.T) {
	t.Parallel()
	denied := errors.New("permission denied")
	at := func(path string) error { return &fs.PathError{Op: "open", Path: path, Err: denied} }
	for _, c := range []struct {
		path string
		err  error
		want string
	}{
		{"/home/a", at("/home/a"), "open /home/a: permission denied"},
		{"/home/a", fmt.Errorf("read anew: %w", at("/home/a")), "read anew: open /home/a: permission denied"},
		{"a", denied, "a: permission denied"},                      // an "a" is in every message
		{"a", at("/home/a"), "a: open /home/a: permission denied"}, // of another place
		{"/e\x1b", at("/e\x1b"), `open "/e\x1b": permission denied`},
		{"/e\x1b", denied, `"/e\x1b": permission denied`},
	} {
		if got := pathError(c.path, c.err).Error(); got != c.want {
			t.Errorf("%q, %q: got %q, want %q", c.path, c.err, got, c.want)
		}
		if !errors.Is(pathError(c.path, c.err), denied) {
			t.Errorf("%q, %q: the cause is lost", c.path, c.err)
		}
	}
}
