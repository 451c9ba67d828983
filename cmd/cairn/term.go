package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

// terminal is what a person sees: results on out, everything else on err. On
// a terminal, err ends in a line that is drawn again and again.
type terminal struct {
	out, err io.Writer
	live     bool // err is a terminal
	outIsTTY bool
	colour   bool   // err takes colours
	asJSON   bool   // messages are JSON, too; set before any
	verb     string // the command that runs; empty: it is not known

	mu    sync.Mutex
	drawn bool      // a live line stands on the terminal; guarded by mu
	stays time.Time // until then it is one about others; guarded by mu
}

func newTerminal() *terminal {
	live := term.IsTerminal(int(os.Stderr.Fd()))
	return &terminal{
		out: os.Stdout, err: os.Stderr,
		live:     live,
		outIsTTY: term.IsTerminal(int(os.Stdout.Fd())),
		colour:   live && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// A messageJSON is what is said beside the results, with --json.
type messageJSON struct {
	Level string `json:"level"` // note, warning, or error
	Text  string `json:"message"`
	Hint  string `json:"hint,omitempty"` // what to do next
	Code  int    `json:"code,omitempty"` // the exit code, of an error

	Traffic *trafficJSON `json:"traffic,omitempty"` // in the last note, with -v
}

const warning = "warning: "

// warn prints one line that begins with the program's name. One that begins
// with "warning: " counts as a warning, others only tell.
func (t *terminal) warn(format string, args ...any) {
	m := messageJSON{Level: "note", Text: fmt.Sprintf(format, args...)}
	if text, ok := strings.CutPrefix(m.Text, warning); ok {
		m.Level, m.Text = "warning", text
	}
	t.say(m)
}

// say prints a message, in colour where that helps to find it.
func (t *terminal) say(m messageJSON) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
	if t.asJSON {
		_ = writeJSON(t.err, m) // there is nowhere to say that it could not be said
		return
	}
	front, end := "", ""
	switch m.Level {
	case "warning":
		front, end = t.paint("33", warning)
	case "error":
		front, end = t.paint("31", "")
	}
	fmt.Fprintf(t.err, "cairn: %s%s%s\n", front, printable(m.Text), end)
	if m.Hint != "" {
		fmt.Fprintf(t.err, "       %s\n", printable(m.Hint))
	}
}

// printable returns text as it may be shown: names in it may hold anything, and
// must neither steer a terminal nor look like another message.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			b.WriteString("\n       ")
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		text = text[size:]
	}
	return b.String()
}

// paint returns what stands before and after a text to be shown in a colour: the
// label alone, if there is one.
func (t *terminal) paint(colour, label string) (front, end string) {
	switch {
	case !t.colour:
		return label, ""
	case label != "":
		return "\x1b[" + colour + "m" + label + "\x1b[0m", ""
	}
	return "\x1b[" + colour + "m", "\x1b[0m"
}

// erase removes the live line. It needs mu.
func (t *terminal) erase() {
	if t.drawn {
		fmt.Fprint(t.err, "\r\x1b[K")
		t.drawn = false
	}
}

// clear removes the live line.
func (t *terminal) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
}

// waitShown is for how long a line about others is not replaced by one of
// progress, of which there are many more.
const waitShown = 2 * time.Second

// waits draws a line that says what is waited for.
func (t *terminal) waits(line string) {
	t.status(line)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stays = time.Now().Add(waitShown)
}

// progress draws a line that says how far the run is.
func (t *terminal) progress(line string) {
	t.mu.Lock()
	waiting := time.Now().Before(t.stays)
	t.mu.Unlock()
	if !waiting {
		t.status(line)
	}
}

// status draws line in place of the one before, cut to the terminal's width.
func (t *terminal) status(line string) {
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
	fmt.Fprint(t.err, "\r"+clip(line, width-1))
	t.drawn = true
}

// clip cuts line to at most width characters.
func clip(line string, width int) string {
	runes := []rune(line)
	if len(runes) <= width {
		return line
	}
	return string(runes[:width-1]) + "…"
}

// follow calls draw a few times a second and shows what it returns, until the
// function that follow returns is called. Where nobody watches, or wants to, it
// is shown once for every SIGUSR1.
func (t *terminal) follow(quiet bool, draw func() string) (stop func()) {
	tick := time.NewTicker(200 * time.Millisecond)
	drawing := tick.C
	if !t.live || quiet || t.asJSON {
		drawing = nil
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-drawing:
				t.progress(draw())
			case <-asked:
				t.warn("%s", draw())
			case <-done:
				t.clear()
				return
			}
		}
	})
	return func() {
		tick.Stop()
		signal.Stop(asked)
		close(done)
		group.Wait()
	}
}

// remaining returns how much is done of what there is to do, and how long the
// rest will take at the same rate: ", 40%, 2m10s left". It is empty where that
// cannot be told.
func remaining(done, total uint64, elapsed time.Duration) string {
	if done == 0 || done >= total || elapsed < time.Second {
		return ""
	}
	share := float64(done) / float64(total)
	left := time.Duration(float64(elapsed) * (1 - share) / share)
	return fmt.Sprintf(", %.0f%%, %s left", 100*share, left.Round(time.Second))
}

// json prints one value as one line.
func (t *terminal) json(v any) error { return writeJSON(t.out, v) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// name returns a name as it may be shown: as it is, or quoted where it could
// be taken for something else or disturb a terminal.
func name(s string) string {
	quoted := strconv.QuoteToGraphic(s)
	if quoted == `"`+s+`"` && s != "" {
		return s
	}
	return quoted
}

// pathError returns what went wrong with a file, with the file's name.
func pathError(path string, err error) error {
	var at *fs.PathError
	if !errors.As(err, &at) || at.Path != path {
		return fmt.Errorf("%s: %w", name(path), err)
	}
	if err == error(at) {
		return fmt.Errorf("%s %s: %w", at.Op, name(path), at.Err)
	}
	return err
}

// size returns a number of bytes for people.
func size(n uint64) string { return humanize.IBytes(n) }

// count returns "1 file", "2 files", "12,345 files".
func count(n uint64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	many := one + "s"
	if strings.HasSuffix(one, "y") {
		many = strings.TrimSuffix(one, "y") + "ies"
	}
	return humanize.Comma(int64(n)) + " " + many
}

// confirm asks a question on the terminal that only "y" and "yes" answer with yes.
// Without a terminal it answers with an error.
func (t *terminal) confirm(ctx context.Context, question string) (bool, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false, errors.New("there is no terminal to ask on: nothing was changed; run it again with --yes")
	}
	defer tty.Close()
	defer context.AfterFunc(ctx, func() { os.Exit(t.end(errInterrupted)) })()
	t.clear()
	fmt.Fprint(tty, question+" [y/N] ")
	line, err := bufio.NewReader(tty).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read answer: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// took returns a duration for people.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// wait is a duration, or 0 without a unit.
type wait time.Duration

// UnmarshalText reads "1h30m" or "0".
func (w *wait) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time such as 30s, 10m or 1h", text)
	}
	*w = wait(d)
	return nil
}
