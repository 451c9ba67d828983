package main

import (
	"strings"
	"testing"
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
