package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// gather returns the arguments with the paths and whatever else is no flag at
// their end: kong takes a list only where no flag stands in it, and people write
// "backup /etc --exclude '*.tmp' /home". What nobody knows stays where it is, for
// kong to tell.
func gather(app *kong.Application, args []string) []string {
	w := words{node: app.Node}
	for len(args) > 0 && !w.verbatim() {
		if args[0] == "--" {
			return w.all(args)
		}
		n := min(w.flag(args[0]), len(args))
		if n == 0 && !w.command(args[0]) {
			w.others = append(w.others, args[0])
		} else {
			w.first = append(w.first, args[:max(n, 1)]...)
		}
		args = args[max(n, 1):]
	}
	return w.all(args)
}

// words are the arguments of a command line, sorted.
type words struct {
	node   *kong.Node // the command as far as it is known
	first  []string   // commands and flags
	others []string
}

// all returns the words, and then the rest, which begins with "--" or is nobody's
// to sort.
func (w *words) all(rest []string) []string {
	if len(rest) > 0 && rest[0] == "--" {
		return slices.Concat(w.first, []string{"--"}, w.others, rest[1:])
	}
	return slices.Concat(w.first, w.others, rest)
}

// verbatim reports whether all that follows is another program's.
func (w *words) verbatim() bool {
	return len(w.node.Positional) > 0 && w.node.Positional[0].Passthrough
}

// command goes on to a command of this name, and reports whether there is one.
func (w *words) command(name string) bool {
	for _, child := range w.node.Children {
		if child.Name == name || slices.Contains(child.Aliases, name) {
			w.node = child
			return true
		}
	}
	return false
}

// flag returns how many arguments the flag in arg takes up, itself included; 0 if
// there is none.
func (w *words) flag(arg string) int {
	if name, ok := strings.CutPrefix(arg, "--"); ok {
		name, value, given := strings.Cut(name, "=")
		return 1 + w.values(func(f *kong.Flag) bool { return f.Name == name }, value, given)
	}
	if len(arg) < 2 || arg[0] != '-' {
		return 0
	}
	for i, short := range arg[1:] { // -nt DIR, -tDIR
		rest := arg[1+i+len(string(short)):]
		if f := w.find(func(f *kong.Flag) bool { return f.Short == short }); f != nil && !f.IsBool() && !f.IsCounter() {
			return 1 + w.values(func(g *kong.Flag) bool { return g == f }, rest, rest != "")
		}
	}
	return 1
}

// values returns how many arguments behind it belong to a flag. One may be given
// with it.
func (w *words) values(is func(*kong.Flag) bool, value string, given bool) int {
	f := w.find(is)
	if f == nil || f.IsBool() || f.IsCounter() {
		return 0
	}
	if _, ok := f.Target.Interface().(fixedList); ok && given && isSize(value) {
		return 1 // --fixed=SIZE GLOB
	}
	if given {
		return 0
	}
	return 1
}

func (w *words) find(is func(*kong.Flag) bool) *kong.Flag {
	for _, group := range w.node.AllFlags(false) {
		if i := slices.IndexFunc(group, is); i >= 0 {
			return group[i]
		}
	}
	return nil
}
