package manual

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// Width is how many columns Help fills at most.
const Width = 100

// Help prints what fits a screen. Of a command that is its own flags, a line
// each: manual pages have the rest. Of the program it is what kong prints.
func Help(o kong.HelpOptions, ctx *kong.Context) error {
	verb := ctx.Selected()
	if verb == nil {
		return kong.DefaultHelpPrinter(o, ctx)
	}
	return verbHelp(ctx.Stdout, ctx.Model, verb)
}

func verbHelp(w io.Writer, app *kong.Application, verb *kong.Node) error {
	var b strings.Builder
	name := Words(app, verb)
	fmt.Fprintf(&b, "Usage: %s %s %s\n", app.Name, name, synopsis(verb))
	if len(verb.Aliases) > 0 {
		fmt.Fprintf(&b, "       (also: %s)\n", strings.Join(verb.Aliases, ", "))
	}
	fmt.Fprintf(&b, "\n%s\n", verb.Help)
	if verb.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(verb.Detail))
	}
	lines := [][2]string{}
	for _, p := range verb.Positional {
		lines = append(lines, [2]string{p.Summary(), brief(p)})
	}
	table(&b, "Arguments", lines)
	lines = nil
	for _, f := range own(verb) {
		lines = append(lines, [2]string{spelled(f), brief(f.Value)})
	}
	table(&b, "Flags", lines)
	fmt.Fprintf(&b, "\nFlags of every command: %s --help. More about all of them: %s man %s | man -l -\n",
		app.Name, app.Name, name)
	_, err := io.WriteString(w, b.String())
	return err
}

// table prints two columns, each line cut to Width.
func table(b *strings.Builder, title string, lines [][2]string) {
	if len(lines) == 0 {
		return
	}
	left := 0
	for _, line := range lines {
		left = max(left, utf8.RuneCountInString(line[0]))
	}
	left = min(left, 30)
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, line := range lines {
		text := fmt.Sprintf("  %-*s  %s", left, line[0], line[1])
		if runes := []rune(text); len(runes) > Width {
			text = string(runes[:Width-1]) + "…"
		}
		fmt.Fprintln(b, strings.TrimRight(text, " "))
	}
}

// brief returns the beginning of a help text, up to where it goes into detail,
// and the default.
func brief(v *kong.Value) string {
	text := v.Help
	for _, end := range []string{" (default", ". ", "; ", ": "} {
		if i := strings.Index(text, end); i > 0 {
			text = text[:i]
		}
	}
	text = strings.TrimSuffix(text, ".")
	if v.HasDefault && !v.IsBool() && v.Default != "" {
		text += " (" + v.Default + ")"
	}
	return text
}
