package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// listCmd lists the archives.
type listCmd struct {
	All bool `short:"a" help:"Also list checkpoints of interrupted runs."`

	narrowing
}

// Help implements kong's longer help.
func (listCmd) Help() string {
	return `Examples:

    cairn list
    cairn list --host mail --since 7d
    cairn list --json | jq -r .name`
}

// Run implements the verb.
func (c *listCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	archives := c.keep(v.Archives())
	if !c.All {
		archives = slices.DeleteFunc(archives, func(a repository.Archive) bool { return a.Kind == record.Checkpoint })
	}
	if err := c.print(g, archives); err != nil {
		return err
	}
	return ended(v.warnings())
}

func (c *listCmd) print(g *globals, archives []repository.Archive) error {
	if g.cli.JSON {
		for i := range archives {
			if err := g.term.json(toJSONWithID(&archives[i])); err != nil {
				return err
			}
		}
		return nil
	}
	tagged := slices.ContainsFunc(archives, func(a repository.Archive) bool { return len(a.Tags) > 0 })
	w := tabwriter.NewWriter(g.term.out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "ID\tNAME\tTIME\tFILES\tSIZE\tNEW\t")
	if tagged {
		fmt.Fprint(w, "TAGS\t")
	}
	fmt.Fprintln(w, "PATHS")
	for _, a := range archives {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t", a.ID.Short(), name(a.Name),
			a.Start.Local().Format("2006-01-02 15:04:05"), a.Files, size(a.Size), size(a.NewStored))
		if tagged {
			fmt.Fprintf(w, "%s\t", tags(&a))
		}
		fmt.Fprintln(w, name(a.Series))
	}
	return w.Flush()
}

// tags returns the tags of an archive as they may be shown.
func tags(a *repository.Archive) string {
	if len(a.Tags) == 0 {
		return ""
	}
	return name(strings.Join(a.Tags, ","))
}
