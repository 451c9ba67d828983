package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestGather holds that flags may stand anywhere, and that nothing is taken for
// one, or for its value, that is not.
func TestGather(t *testing.T) {
	t.Parallel()
	app := newParser(new(cli)).Model
	for typed, want := range map[string]string{
		"backup a --exclude x b":                  "backup --exclude x a b",
		"-r repo backup a -e x -n b":              "-r repo backup -e x -n a b",
		"create a --exclude=x b -vv c":            "create --exclude=x -vv a b c",
		"restore latest a -nt dir b":              "restore -nt dir latest a b",
		"restore latest a -tdir b":                "restore -tdir latest a b",
		"mount latest --host h dir":               "mount --host h latest dir",
		"backup a --fixed x b":                    "backup --fixed x a b",
		"backup a --fixed=4KiB x b":               "backup --fixed=4KiB x a b",
		"backup a --fixed=*.img b":                "backup --fixed=*.img a b",
		"backup - --name n":                       "backup --name n -",
		"backup a --list -- -rf --list":           "backup --list -- a -rf --list",
		"backup --stdin-command -n -- cmd -n x":   "backup --stdin-command -n -- cmd -n x",
		"with-lock -q rsync -a x --delete y":      "with-lock -q rsync -a x --delete y",
		"lock show --json":                        "lock show --json",
		"config set a b --json c":                 "config set --json a b c",
		"backup backup list":                      "backup backup list",
		"backup a --no-such b":                    "backup --no-such a b",
		"restore latest --target":                 "restore --target latest",
		"no-such a --json b":                      "--json no-such a b",
		"delete a --dry-run b":                    "delete --dry-run a b",
		"export-tar latest --tag t - x --quiet y": "export-tar --tag t --quiet latest - x y",
	} {
		if got := strings.Join(gather(app, strings.Fields(typed)), " "); got != want {
			t.Errorf("%s: got %s, want %s", typed, got, want)
		}
	}
}

// TestParseBuildsOneVerb holds that kong is told of the verb that is typed, by
// whatever name, and of no other.
func TestParseBuildsOneVerb(t *testing.T) {
	t.Parallel()
	for _, verb := range newParser(new(cli)).Model.Children {
		for _, name := range append(verb.Aliases, verb.Name) {
			some := newParser(new(cli), kong.IgnoreFields(unnamed([]string{"-r", "here", name}))).Model.Children
			if len(some) != 1 || some[0].Name != verb.Name {
				t.Errorf("%s: got %d verbs, want %s only", name, len(some), verb.Name)
			}
		}
	}
}

// TestParse holds that a command line means what it means to a parser that knows
// all verbs, and that it is wrong for the same reason.
func TestParse(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"backup list restore":     "backup",
		"-r list create check":    "backup",
		"-rcheck lock show":       "lock show",
		"--repo version info":     "info",
		"with-lock cairn list -h": "with-lock",
		"-r list -q":              "",
		"lock shwo":               "",
		"list --no-such":          "",
		"restore latest":          "",
	} {
		args := strings.Fields(typed)
		_, got, err := parse(args)
		all := newParser(new(cli))
		_, wantErr := all.Parse(gather(all.Model, args))
		switch {
		case fmt.Sprint(err) != fmt.Sprint(wantErr):
			t.Errorf("%s: got error %v, want %v", typed, err, wantErr)
		case err == nil && verbOf(got) != want:
			t.Errorf("%s: got %s, want %s", typed, verbOf(got), want)
		case err != nil && want != "":
			t.Errorf("%s: got error %v, want %s", typed, err, want)
		}
	}
}
