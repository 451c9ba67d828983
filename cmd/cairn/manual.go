package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"cairn/cmd/manual"
)

// manCmd writes manual pages.
type manCmd struct {
	Command []string `arg:"" optional:"" help:"The command whose page is written to standard output; without one, that of cairn itself."`
	Dir     string   `placeholder:"DIR" type:"path" help:"Write all pages to this directory instead."`
}

// Help implements kong's longer help.
func (manCmd) Help() string {
	return `Examples:

    cairn man backup | man -l -
    cairn man --dir /usr/local/share/man/man1`
}

// Run implements the verb.
func (c *manCmd) Run(g *globals) error {
	app := newParser(new(cli)).Model
	if c.Dir != "" {
		return writePages(app, c.Dir)
	}
	if len(c.Command) == 0 {
		return manual.Page(g.term.out, app, nil, manualText())
	}
	for _, verb := range manual.Verbs(app) {
		if manual.Words(app, verb) == strings.Join(c.Command, " ") {
			return manual.Page(g.term.out, app, verb, manualText())
		}
	}
	return usage(fmt.Errorf("there is no command %q", strings.Join(c.Command, " ")))
}

// writePages writes the page of cairn and one for each command.
func writePages(app *kong.Application, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	for _, verb := range append([]*kong.Node{nil}, manual.Verbs(app)...) {
		f, err := os.Create(filepath.Join(dir, manual.PageName(app, verb)))
		if err != nil {
			return fmt.Errorf("write manual pages: %w", err)
		}
		err = manual.Page(f, app, verb, manualText())
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write manual pages: %w", err)
		}
	}
	return nil
}

// manualText is what the manual pages say beyond the command line. A test holds
// the README to it.
func manualText() manual.Text {
	return manual.Text{
		Version: version(),
		Exit: [][2]string{
			{"0", "done"},
			{"1", "done, with warnings: some files could not be read or put in place, or damage was found that a second copy made good"},
			{"2", "not done, or the command line is wrong"},
			{"3", "there is no repository at that place"},
			{"4", "no key fits: the passphrase is wrong, or a key is missing"},
			{"5", "another run writes to the repository, or has taken over from this one; compact --now beside a run that writes"},
			{"6", "the repository is damaged; a restore has brought back everything else"},
			{"7", "the repository is older than what was last seen of it from here; --accept-rollback goes on with it as it is"},
			{"8", "the repository has another history than what was last seen of it from here; likewise"},
			{"9", "the disk that holds the repository, or that a restore writes to, is full"},
			{"130", "interrupted"},
		},
		Files: [][2]string{
			{"~/.local/share/cairn/repository", "the repository, when none is named"},
			{"~/.config/cairn/repository.key", "its key"},
			{"~/.cache/cairn/ID/", "where the chunks of repository ID are"},
			{"~/.local/state/cairn/ID/", "the newest state of repository ID that was seen from here"},
		},
	}
}

// completionCmd writes completions for a shell.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help implements kong's longer help.
func (completionCmd) Help() string {
	return `Examples:

    cairn completion bash > /etc/bash_completion.d/cairn
    cairn completion zsh > ~/.zfunc/_cairn
    cairn completion fish > ~/.config/fish/completions/cairn.fish`
}

// Run implements the verb.
func (c *completionCmd) Run(g *globals) error {
	return manual.Complete(g.term.out, newParser(new(cli)).Model, c.Shell)
}
