package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

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
	told := !slices.ContainsFunc(archives, func(a repository.Archive) bool { return !namesTime(&a) })
	fmt.Fprint(w, "ID\tNAME\t")
	if !told {
		fmt.Fprint(w, "TIME\t")
	}
	fmt.Fprint(w, "FILES\tSIZE\tNEW\t")
	if tagged {
		fmt.Fprint(w, "TAGS\t")
	}
	fmt.Fprintln(w, "PATHS")
	for _, a := range archives {
		fmt.Fprintf(w, "%s\t%s\t", a.ID.Short(), name(a.Name))
		if !told {
			fmt.Fprintf(w, "%s\t", a.Start.Local().Format(time.DateTime))
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t", a.Files, size(a.Size), size(a.NewStored))
		if tagged {
			fmt.Fprintf(w, "%s\t", tags(&a))
		}
		fmt.Fprintln(w, name(a.Series))
	}
	return w.Flush()
}

// namesTime reports whether the name of an archive says when it was made, as that
// of most does.
func namesTime(a *repository.Archive) bool {
	return strings.Contains(a.Name, a.Start.Local().Format(timeInNames))
}

// tags returns the tags of an archive as they may be shown.
func tags(a *repository.Archive) string {
	if len(a.Tags) == 0 {
		return ""
	}
	return name(strings.Join(a.Tags, ","))
}
