package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Text is what the manual pages say beyond the model.
type Text struct {
	Version string      // of the program
	Exit    [][2]string // codes and what they mean
	Files   [][2]string // paths and what they are
}

// PageName returns the file name of the manual page of a command, of the
// program if verb is nil: "cairn-lock-show.1".
func PageName(app *kong.Application, verb *kong.Node) string {
	name := app.Name
	if verb != nil {
		name += " " + Words(app, verb)
	}
	return strings.ReplaceAll(name, " ", "-") + ".1"
}

// Verbs returns the commands that have a page of their own.
func Verbs(app *kong.Application) []*kong.Node { return verbs(app) }

// Page writes the manual page of a command, or that of the program if verb is
// nil, in the language of man(7).
func Page(w io.Writer, app *kong.Application, verb *kong.Node, t Text) error {
	p := &page{}
	title := strings.TrimSuffix(PageName(app, verb), ".1")
	p.line(`.TH %s 1 "" "%s %s" "%s"`, strings.ToUpper(title), app.Name, escape(t.Version), app.Name)
	if verb == nil {
		p.program(app, t)
	} else {
		p.command(app, verb, title)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

type page struct{ b strings.Builder }

// line writes a request as it stands.
func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// text writes a line of text.
func (p *page) text(s string) { p.b.WriteString(escape(s) + "\n") }

func (p *page) program(app *kong.Application, t Text) {
	first, rest, _ := strings.Cut(app.Help, "\n")
	p.line(".SH NAME\n%s \\- %s", app.Name, escape(strings.TrimSuffix(strings.ToLower(first[:1])+first[1:], ".")))
	p.line(".SH SYNOPSIS\n.B %s\n.I command\n[flags]", app.Name)
	p.line(".SH DESCRIPTION")
	p.prose(rest)
	p.line(".SH COMMANDS")
	for _, v := range verbs(app) {
		p.line(".TP\n.BR %s (1)", strings.TrimSuffix(PageName(app, v), ".1"))
		p.text(v.Help)
	}
	p.flags("FLAGS OF EVERY COMMAND", shared(app))
	p.list("EXIT STATUS", t.Exit)
	p.list("FILES", t.Files)
}

func (p *page) command(app *kong.Application, verb *kong.Node, title string) {
	p.line(".SH NAME\n%s \\- %s", title, escape(strings.TrimSuffix(strings.ToLower(verb.Help[:1])+verb.Help[1:], ".")))
	p.line(".SH SYNOPSIS\n.B %s %s", app.Name, Words(app, verb))
	p.text(synopsis(verb))
	p.line(".SH DESCRIPTION")
	p.text(verb.Help)
	p.prose(verb.Detail)
	if len(verb.Positional) > 0 {
		p.line(".SH ARGUMENTS")
		for _, a := range verb.Positional {
			p.line(".TP\n.I %s", escape(a.Summary()))
			p.text(a.Help)
		}
	}
	p.flags("FLAGS", own(verb))
	p.line(".SH SEE ALSO\n.BR %s (1)", app.Name)
	p.text("for the flags of every command and the exit status.")
}

func (p *page) flags(title string, flags []*kong.Flag) {
	if len(flags) == 0 {
		return
	}
	p.line(".SH %s", title)
	for _, f := range flags {
		p.line(".TP\n.B %s", escape(strings.TrimSpace(spelled(f))))
		p.text(f.Help)
	}
}

func (p *page) list(title string, rows [][2]string) {
	p.line(".SH %s", title)
	for _, row := range rows {
		p.line(".TP\n.B %s", escape(row[0]))
		p.text(row[1])
	}
}

// prose writes paragraphs; indented ones are examples and stay as they are.
func (p *page) prose(s string) {
	for _, paragraph := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		switch {
		case strings.TrimSpace(paragraph) == "":
		case strings.HasPrefix(paragraph, "    "):
			p.line(".PP\n.nf")
			for _, line := range strings.Split(paragraph, "\n") {
				p.text(strings.TrimRight(line, " "))
			}
			p.line(".fi")
		default:
			p.line(".PP")
			p.text(strings.Join(strings.Fields(paragraph), " "))
		}
	}
}

// escape keeps s from being taken for requests and for typography.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\`", "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
