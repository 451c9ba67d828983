package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/pipeline/repository"
)

// configCmd shows and changes the settings of the repository.
type configCmd struct {
	Get configGetCmd `cmd:"" default:"withargs" help:"Show the settings, or one of them."`
	Set configSetCmd `cmd:"" help:"Change a setting, for everybody who uses the repository."`
}

type configGetCmd struct {
	Name string `arg:"" optional:"" help:"The setting (default: all)."`
}

// Help implements kong's longer help.
func (configGetCmd) Help() string {
	return `Examples:

    cairn config get
    cairn config get writers`
}

type settingJSON struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Set     bool   `json:"set"`
	About   string `json:"about"`
}

// Run implements the verb.
func (c *configGetCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	all := repository.Settings()
	if c.Name != "" {
		all = slices.DeleteFunc(all, func(s repository.Setting) bool { return s.Name != c.Name })
		if len(all) == 0 {
			return noSetting(fmt.Errorf("%w: %q", repository.ErrNoSetting, c.Name))
		}
	}
	for _, s := range all {
		value, set, err := v.Setting(s.Name)
		if err != nil {
			return err
		}
		switch {
		case g.cli.JSON:
			err = g.term.json(settingJSON{s.Name, value, s.Default, set, s.About})
		case c.Name != "":
			_, err = fmt.Fprintln(g.term.out, value)
		default:
			_, err = fmt.Fprintf(g.term.out, "%s  %s\n  %s\n", s.Name, value, strings.ReplaceAll(s.About, ". ", ".\n  "))
		}
		if err != nil {
			return err
		}
	}
	return ended(v.warnings())
}

type configSetCmd struct {
	Name  string `arg:"" help:"The setting."`
	Value string `arg:"" help:"Its new value."`
}

// Help implements kong's longer help.
func (configSetCmd) Help() string {
	return `Examples:

    cairn config set writers parallel`
}

// Run implements the verb.
func (c *configSetCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	changed, err := v.Set(ctx, c.Name, c.Value, time.Now())
	if err != nil {
		return noSetting(err)
	}
	if !changed && !g.cli.Quiet {
		g.term.warn("%s is %s already", c.Name, c.Value)
	}
	return ended(v.warnings())
}

// noSetting returns err as a usage error if it is about a setting's name.
func noSetting(err error) error {
	if errors.Is(err, repository.ErrNoSetting) {
		return usage(fmt.Errorf("%w; cairn config shows those there are", err))
	}
	return err
}
