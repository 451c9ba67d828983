package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"cairn/objects/record"
)

// listCmd lists the archives.
type listCmd struct {
	All bool `short:"a" help:"Also list checkpoints of interrupted runs."`
}

// Run implements the verb.
func (c *listCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	w := tabwriter.NewWriter(g.term.out, 0, 0, 2, ' ', 0)
	if !g.cli.JSON {
		fmt.Fprintln(w, "ID\tNAME\tTIME\tFILES\tSIZE\tNEW\tPATHS")
	}
	for _, a := range v.Archives() {
		if a.Kind == record.Checkpoint && !c.All {
			continue
		}
		if g.cli.JSON {
			if err := g.term.json(toJSONWithID(&a)); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", a.ID.Short(), name(a.Name),
			a.Start.Local().Format("2006-01-02 15:04:05"), a.Files, size(a.Size), size(a.NewStored), name(a.Series))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return ended(v.warnings())
}
