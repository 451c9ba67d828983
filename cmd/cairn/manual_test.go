package main

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"cairn/cmd/manual"
)

// update makes TestReadme write the README's table of commands.
var update = flag.Bool("update", false, "write the README's table of commands")

const (
	readmeFile    = "../../README.md"
	commandsBegin = "<!-- commands: begin -->"
	commandsEnd   = "<!-- commands: end -->"
)

// screen is how many lines a help text may have.
const screen = 55

// helpOf returns what --help prints.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	var out bytes.Buffer
	parser, err := kong.New(new(cli), kong.Name("cairn"), kong.Help(manual.Help),
		kong.Writers(&out, &out), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = parser.Parse(append(strings.Fields(command), "--help")) // goes on after the help
	return out.String()
}

// TestHelpFitsAScreen holds that every command's help is short and shows how
// the command is used.
func TestHelpFitsAScreen(t *testing.T) {
	t.Parallel()
	app := newParser(new(cli)).Model
	for _, verb := range manual.Verbs(app) {
		name := manual.Words(app, verb)
		help := helpOf(t, name)
		lines := strings.Split(strings.TrimSpace(help), "\n")
		if len(lines) > screen {
			t.Errorf("%s --help has %d lines, want at most %d", name, len(lines), screen)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > manual.Width {
				t.Errorf("%s --help has a line of %d columns, want at most %d: %s", name, n, manual.Width, line)
			}
		}
		if !regexp.MustCompile(`(?m)^    cairn .*\b` + name + `\b|^    cairn ` + name).MatchString(help) {
			t.Errorf("%s --help shows no example", name)
		}
	}
}

// TestManualPages holds that a command's page has all that its help has.
func TestManualPages(t *testing.T) {
	t.Parallel()
	app := newParser(new(cli)).Model
	plain := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\e`, `\`, `\(ti`, "~", `\(ha`, "^", "\\`", "`", `\&`, "")
	for _, verb := range manual.Verbs(app) {
		var b bytes.Buffer
		if err := manual.Page(&b, app, verb, manualText()); err != nil {
			t.Fatal(err)
		}
		page := plain.Replace(b.String())
		for _, flag := range verb.Flags {
			if !flag.Hidden && (!strings.Contains(page, "--"+flag.Name) || !strings.Contains(page, flag.Help)) {
				t.Errorf("%s lacks --%s, or what it does", manual.PageName(app, verb), flag.Name)
			}
		}
		if !strings.Contains(page, verb.Help) {
			t.Errorf("%s does not say what the command does", manual.PageName(app, verb))
		}
	}
}

// TestReadme holds the README to the command line.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	app := newParser(new(cli)).Model
	flags := map[string]bool{}
	for _, f := range app.Flags {
		flags[f.Name] = true
	}
	table := commandsBegin + "\n| command | what it does |\n|---|---|\n"
	for _, verb := range manual.Verbs(app) {
		name := manual.Words(app, verb)
		table += "| `" + name + "` | " + strings.TrimSuffix(verb.Help, ".") + " |\n"
		for n := verb; n != nil; n = n.Parent {
			for _, f := range n.Flags {
				flags[f.Name] = true
			}
		}
	}
	table += commandsEnd
	begin, end := strings.Index(readme, commandsBegin), strings.Index(readme, commandsEnd)
	if begin < 0 || end < begin {
		t.Fatal("the README has no table of commands")
	}
	if got := readme[begin : end+len(commandsEnd)]; got != table {
		if !*update {
			t.Errorf("the README's table of commands is not this one (-update writes it):\n%s", table)
		} else if err := os.WriteFile(readmeFile, []byte(strings.Replace(readme, got, table, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^.*cairn .*$|`+"`--[a-z-]+[^`]*`").FindAllString(readme, -1) {
		for _, m := range regexp.MustCompile(`(?:^|[ `+"`"+`\[(])--([a-z][a-z-]+)`).FindAllStringSubmatch(line, -1) {
			if !flags[m[1]] && !ofAnother(line) {
				t.Errorf("the README names --%s, which no command has: %s", m[1], line)
			}
		}
	}
	for _, row := range manualText().Exit {
		if !strings.Contains(strings.ReplaceAll(readme, "`", ""), "| "+row[0]+" | "+row[1]+" |") {
			t.Errorf("the README's exit codes and the manual page differ in %s: %s", row[0], row[1])
		}
	}
}

// ofAnother reports whether a line of the README is about another program.
func ofAnother(line string) bool {
	return slices.ContainsFunc([]string{"docker", "go run ./test/bench", "mc ", "aws ", "rsync", "ssh", "tar "}, func(s string) bool {
		return strings.Contains(line, s)
	})
}
