package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are those that Complete knows.
const Shells = "bash,zsh,fish"

// Complete writes the completions of the program for a shell: commands, flags,
// and the values that a flag can have. All else is completed as a file name.
func Complete(w io.Writer, app *kong.Application, shell string) error {
	var b strings.Builder
	switch shell {
	case "bash":
		bash(&b, app)
	case "zsh":
		// zsh runs completions for bash.
		fmt.Fprintf(&b, "#compdef %s\nautoload -U +X bashcompinit && bashcompinit\n", app.Name)
		bash(&b, app)
	case "fish":
		fish(&b, app)
	default:
		return fmt.Errorf("there are completions for %s, not for %q", Shells, shell)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// bash writes a function that finds the command among the words before the
// cursor, and offers what may follow.
func bash(b *strings.Builder, app *kong.Application) {
	fmt.Fprintf(b, `_%[1]s() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="" verb="" word flags="" next="" i
    ((COMP_CWORD > 0)) && prev="${COMP_WORDS[COMP_CWORD-1]}"
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        case "$word" in
        -*|=) continue ;;
        esac
        case "${verb:+$verb }$word" in
`, app.Name)
	for _, n := range commands(app) {
		fmt.Fprintf(b, "        %s) verb=%s ;;\n", quoteShell(n.typed), quoteShell(n.canonical))
	}
	b.WriteString("        esac\n    done\n    case \"$verb\" in\n")
	fmt.Fprintf(b, "    '') next=%s ;;\n", quoteShell(strings.Join(under(app, ""), " ")))
	for _, n := range commands(app) {
		if n.typed != n.canonical {
			continue
		}
		fmt.Fprintf(b, "    %s) next=%s flags=%s ;;\n", quoteShell(n.canonical),
			quoteShell(strings.Join(under(app, n.canonical), " ")), quoteShell(long(own(n.node))))
	}
	b.WriteString("    esac\n    case \"$prev\" in\n")
	for _, f := range enumerated(app) {
		fmt.Fprintf(b, "    --%s) COMPREPLY=($(compgen -W %s -- \"$cur\")); return ;;\n", f.Name,
			quoteShell(strings.ReplaceAll(f.Enum, ",", " ")))
	}
	fmt.Fprintf(b, `    esac
    case "$cur" in
    -*) COMPREPLY=($(compgen -W "$flags %s" -- "$cur")) ;;
    *)
        if [[ -n $next ]]; then
            COMPREPLY=($(compgen -W "$next" -- "$cur"))
        else
            COMPREPLY=($(compgen -f -- "$cur"))
        fi
        ;;
    esac
}
complete -o filenames -F _%[2]s %[2]s
`, long(shared(app)), app.Name)
}

func fish(b *strings.Builder, app *kong.Application) {
	for _, f := range shared(app) {
		fishFlag(b, app, "", f)
	}
	for _, n := range app.Children {
		if n.Hidden {
			continue
		}
		fmt.Fprintf(b, "complete -c %s -n __fish_use_subcommand -f -a %s -d %s\n", app.Name, n.Name, quoteFish(n.Help))
	}
	for _, v := range verbs(app) {
		typed := strings.Fields(Words(app, v))
		condition := "__fish_seen_subcommand_from " + typed[0]
		if len(typed) > 1 {
			fmt.Fprintf(b, "complete -c %s -n %s -f -a %s -d %s\n", app.Name,
				quoteFish(condition+"; and not __fish_seen_subcommand_from "+typed[1]), typed[1], quoteFish(v.Help))
			condition += "; and __fish_seen_subcommand_from " + typed[1]
		}
		for _, f := range own(v) {
			fishFlag(b, app, condition, f)
		}
	}
}

func fishFlag(b *strings.Builder, app *kong.Application, condition string, f *kong.Flag) {
	fmt.Fprintf(b, "complete -c %s", app.Name)
	if condition != "" {
		fmt.Fprintf(b, " -n %s", quoteFish(condition))
	}
	if f.Short != 0 {
		fmt.Fprintf(b, " -s %c", f.Short)
	}
	fmt.Fprintf(b, " -l %s", f.Name)
	if f.Enum != "" {
		fmt.Fprintf(b, " -x -a %s", quoteFish(strings.ReplaceAll(f.Enum, ",", " ")))
	} else if !f.IsBool() && !f.IsCounter() {
		b.WriteString(" -r")
	}
	fmt.Fprintf(b, " -d %s\n", quoteFish(brief(f.Value)))
}

// A command is one way to type the name of a node.
type command struct {
	typed, canonical string
	node             *kong.Node
}

// commands returns every way to type every command and group of commands.
func commands(app *kong.Application) []command {
	var list []command
	var add func(n *kong.Node, typed, canonical string)
	add = func(n *kong.Node, typed, canonical string) {
		for _, c := range n.Children {
			if c.Hidden {
				continue
			}
			full := strings.TrimSpace(canonical + " " + c.Name)
			for _, name := range append([]string{c.Name}, c.Aliases...) {
				way := strings.TrimSpace(typed + " " + name)
				list = append(list, command{way, full, c})
			}
			add(c, full, full)
		}
	}
	add(app.Node, "", "")
	return list
}

// under returns the names of what is directly below a command.
func under(app *kong.Application, canonical string) []string {
	var names []string
	for _, c := range commands(app) {
		above, name := "", c.canonical
		if i := strings.LastIndexByte(name, ' '); i >= 0 {
			above, name = name[:i], name[i+1:]
		}
		if c.typed == c.canonical && above == canonical {
			names = append(names, name)
		}
	}
	return names
}

// enumerated returns a flag of every name that has a fixed set of values.
func enumerated(app *kong.Application) []*kong.Flag {
	var list []*kong.Flag
	seen := map[string]bool{}
	for _, v := range verbs(app) {
		for _, f := range own(v) {
			if f.Enum != "" && !seen[f.Name] {
				seen[f.Name] = true
				list = append(list, f)
			}
		}
	}
	return list
}

// long returns flags as words.
func long(flags []*kong.Flag) string {
	var names []string
	for _, f := range flags {
		names = append(names, "--"+f.Name)
	}
	return strings.Join(names, " ")
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
