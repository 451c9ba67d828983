package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd prints what this program is.
type versionCmd struct{}

// Help implements kong's longer help.
func (versionCmd) Help() string {
	return `Examples:

    cairn version
    cairn version --json`
}

// Run implements the verb.
func (versionCmd) Run(g *globals) error {
	if g.cli.JSON {
		return g.term.json(map[string]any{"version": version(), "format": 1, "go": runtime.Version()})
	}
	_, err := fmt.Fprintf(g.term.out, "cairn %s, repository format 1, %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version returns the version the program was built as.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return info.Main.Version
}
