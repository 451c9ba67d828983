package main

import (
	"context"
	"fmt"
	"time"

	"cairn/objects"
	"cairn/pipeline/compact"
	"cairn/pipeline/repository"
)

// deleteCmd removes archives.
type deleteCmd struct {
	Archives []string `arg:"" name:"archive" help:"What to remove: names, or the first digits of ids."`
	DryRun   bool     `short:"n" help:"Only say what would be removed, and how much room that would free."`
}

// Help implements kong's longer help.
func (deleteCmd) Help() string {
	return `Removes archives from the repository, for good. Checkpoints of interrupted
backups can be named like any archive (cairn list --all shows them).

What only they needed stays in the store until cairn compact frees it. How much
that is only --dry-run says: it has to look at all other archives for that, too.

Examples:

    cairn delete --dry-run 2ba46ab5
    cairn delete mail-2026-01-31T22:00:00`
}

// Run implements the verb.
func (c *deleteCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	list, err := c.find(v)
	if err != nil {
		return err
	}
	var share *compact.Share
	if c.DryRun {
		if share, err = c.share(ctx, g, v, list); err != nil {
			return err
		}
	} else {
		var ids []objects.ID
		for _, a := range list {
			ids = append(ids, a.ID)
		}
		if err := v.Delete(ctx, ctx, time.Now(), ids...); err != nil {
			return err
		}
	}
	if err := c.report(g, list, share); err != nil {
		return err
	}
	return ended(v.warnings())
}

// find returns the archives that are named, each once. One name that fits none
// or several is an error, and then nothing is removed.
func (c *deleteCmd) find(v *session) ([]repository.Archive, error) {
	var list []repository.Archive
	seen := map[objects.ID]bool{}
	for _, ref := range c.Archives {
		a, err := v.Find(ref)
		if err != nil {
			return nil, fmt.Errorf("nothing was removed: %w", err)
		}
		if !seen[a.ID] {
			list = append(list, a)
		}
		seen[a.ID] = true
	}
	return list, nil
}

// share adds up what only these archives need. That cannot be known where one
// of them is damaged, which must not keep anybody from removing it.
func (c *deleteCmd) share(ctx context.Context, g *globals, v *session, list []repository.Archive) (*compact.Share, error) {
	if err := v.Sync(ctx); err != nil {
		return nil, err
	}
	ids := map[objects.ID]bool{}
	for _, a := range list {
		ids[a.ID] = true
	}
	p := new(compact.Progress)
	stop := g.term.follow(g.cli.Quiet, func() string {
		return fmt.Sprintf("looking what only these need: archive %d of %d", p.Archives.Load(), p.ArchivesTotal.Load())
	})
	s, err := compact.Only(ctx, v.Repository, ids, p)
	stop()
	if ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		v.warn(g.term, fmt.Errorf("how much room this frees is not known: %w", err))
		return nil, nil
	}
	return &s, nil
}

type deleteJSON struct {
	Archives []archiveJSON `json:"archives"`
	DryRun   bool          `json:"dry_run,omitempty"`
	Bytes    *uint64       `json:"only_bytes,omitempty"`
	Stored   *uint64       `json:"only_stored,omitempty"`
}

// report says what was removed, or would be.
func (c *deleteCmd) report(g *globals, list []repository.Archive, share *compact.Share) error {
	if g.cli.JSON {
		j := deleteJSON{DryRun: c.DryRun, Archives: []archiveJSON{}}
		for i := range list {
			j.Archives = append(j.Archives, toJSONWithID(&list[i]))
		}
		if share != nil {
			j.Bytes, j.Stored = &share.Bytes, &share.Stored
		}
		return g.summary(j)
	}
	if g.cli.Quiet && !c.DryRun {
		return nil
	}
	did := "deleted"
	if c.DryRun {
		did = "would delete"
	}
	for _, a := range list {
		_, err := fmt.Fprintf(g.term.out, "%s %s %s: %s, %s\n", did, a.ID.Short(), name(a.Name), count(a.Files, "file"), size(a.Size))
		if err != nil {
			return err
		}
	}
	var err error
	switch {
	case share != nil:
		_, err = fmt.Fprintf(g.term.out, "  %s that no other archive needs, %s as stored: cairn compact could then free it\n", size(share.Bytes), size(share.Stored))
	case !c.DryRun:
		_, err = fmt.Fprintln(g.term.out, "  what no other archive needs is freed by: cairn compact")
	}
	return err
}
