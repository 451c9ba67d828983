// Package manual turns the command line's model into what people read of it and
// type with it: the short help, manual pages, and completions for shells. All
// say the same, because all are made from the model that parses the command
// line.
package manual

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// verbs returns the commands that can be run, in the order of the model.
func verbs(app *kong.Application) []*kong.Node { return app.Leaves(true) }

// Words returns how a command is typed: "backup", or "lock show".
func Words(app *kong.Application, verb *kong.Node) string {
	return strings.TrimPrefix(strings.TrimPrefix(path(verb), app.Name), " ")
}

// path returns the names from the program to the node.
func path(n *kong.Node) string {
	if n.Parent == nil {
		return n.Name
	}
	return path(n.Parent) + " " + n.Name
}

// own returns the flags of a command, those of the groups above it included,
// but not those that every command has.
func own(verb *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	for n := verb; n.Parent != nil; n = n.Parent {
		flags = append(shown(n.Flags), flags...)
	}
	return flags
}

// shared returns the flags that every command has.
func shared(app *kong.Application) []*kong.Flag { return shown(app.Flags) }

func shown(flags []*kong.Flag) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f *kong.Flag) bool { return f.Hidden })
}

// synopsis returns what is typed behind the command, in the words of kong.
func synopsis(verb *kong.Node) string {
	var parts []string
	for _, p := range verb.Positional {
		parts = append(parts, p.Summary())
	}
	for _, f := range own(verb) {
		if f.Required {
			parts = append(parts, "--"+f.Name+"="+f.FormatPlaceHolder())
		}
	}
	return strings.Join(append(parts, "[flags]"), " ")
}

// spelled returns a flag as it is typed: "-e, --exclude=PATTERN".
func spelled(f *kong.Flag) string {
	s := "    --" + f.Name
	if f.Short != 0 {
		s = "-" + string(f.Short) + ", --" + f.Name
	}
	if !f.IsBool() && !f.IsCounter() {
		s += "=" + f.FormatPlaceHolder()
	}
	return s
}
