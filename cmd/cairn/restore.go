package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cairn/objects/archive"
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
)

// restoreCmd brings back an archive.
type restoreCmd struct {
	Archive string   `arg:"" help:"The archive: latest, a name, or the beginning of an id."`
	Paths   []string `arg:"" optional:"" name:"path" help:"Only these files and directories."`
	Target  string   `short:"t" required:"" placeholder:"DIR" type:"path" help:"Where to: a directory, made if missing; / for the places the files came from."`
	Partial bool     `help:"Bring back files that an interruption of the backup cut short, too, as NAME.partial."`
}

// Help implements kong's longer help.
func (restoreCmd) Help() string {
	return `Examples:

    cairn restore latest --target /tmp/back
    cairn restore latest etc/ssh --target /tmp/back

Files that are there already are replaced.`
}

// Run implements the verb.
func (c *restoreCmd) Run(ctx context.Context, g *globals) (err error) {
	v, a, err := g.openArchive(ctx, c.Archive)
	if err != nil {
		return err
	}
	defer v.close(&err)
	wanted, err := c.selection(ctx, v, &a)
	if err != nil {
		return err
	}
	return c.restore(ctx, g, v, &a, wanted)
}

// restore runs the restore and says what it did.
func (c *restoreCmd) restore(ctx context.Context, g *globals, v *session, a *repository.Archive, wanted wantedPaths) error {
	progress, begun := new(restore.Progress), time.Now()
	stop := g.term.follow(g.cli.Quiet, func() string {
		return fmt.Sprintf("%s  %s of %s, %s of %s", time.Since(begun).Round(time.Second),
			count(progress.Files.Load(), "file"), count(a.Files, "file"), size(progress.Bytes.Load()), size(a.Size))
	})
	meta := v.NewMetaReader()
	s, err := restore.Run(ctx, restore.Source{Chunks: v, Meta: meta.Fetch(ctx), Keys: v.Keys}, a.Root(), restore.Options{
		Target: c.Target, Select: wanted.choose, Partial: c.Partial, Progress: progress,
		Warn: func(path string, err error) { g.term.warn("warning: %v", pathError(path, err)) },
	})
	stop()
	if err != nil {
		return err
	}
	lacks := g.tellLacks(s.Lacks)
	if err := report(g, a, s, time.Since(begun), c.Target); err != nil {
		return err
	}
	if s.Damaged > 0 {
		return fmt.Errorf("%w: %s could not be brought back whole, see above; all else is in place, and older archives may still have them",
			errDamaged, count(s.Damaged, "entry"))
	}
	return ended(s.Warnings + lacks + v.warnings())
}

type restoreJSON struct {
	Archive  string  `json:"archive"`
	Target   string  `json:"target"`
	Files    uint64  `json:"files"`
	Dirs     uint64  `json:"directories"`
	Others   uint64  `json:"others"`
	Bytes    uint64  `json:"bytes"`
	Failed   uint64  `json:"failed"`
	Damaged  uint64  `json:"damaged"`
	Warnings uint64  `json:"warnings"`
	Seconds  float64 `json:"seconds"`
}

func report(g *globals, a *repository.Archive, s restore.Summary, elapsed time.Duration, target string) error {
	if g.cli.JSON {
		return g.term.json(restoreJSON{a.ID.String(), target, s.Files, s.Dirs, s.Others, s.Bytes, s.Failed, s.Damaged, s.Warnings, elapsed.Seconds()})
	}
	if g.cli.Quiet {
		return nil
	}
	_, err := fmt.Fprintf(g.term.out, "restored %s to %s\n  %s, %s, %s\n  took %s\n", a.Name, name(target),
		count(s.Files, "file"), count(s.Dirs, "directory"), size(s.Bytes), took(elapsed))
	if err == nil && s.Failed > 0 {
		_, err = fmt.Fprintf(g.term.out, "  %s could not be restored: see above\n", count(s.Failed, "entry"))
	}
	return err
}

// wantedPaths are what to restore, as paths in the archive; none means all.
type wantedPaths []string

// selection makes sure that the archive has what is asked for.
func (c *restoreCmd) selection(ctx context.Context, v *session, a *repository.Archive) (wantedPaths, error) {
	reader := archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx))
	var wanted wantedPaths
	for _, typed := range c.Paths {
		path, err := findPath(reader, a, typed)
		if err != nil {
			return nil, err
		}
		if path == "" {
			return nil, nil // the whole archive
		}
		wanted = append(wanted, path)
	}
	return wanted, nil
}

// choose implements restore.Options.Select.
func (w wantedPaths) choose(path string, _ archive.Type) restore.Choice {
	if len(w) == 0 {
		return restore.Take
	}
	choice := restore.Skip
	for _, wanted := range w {
		switch {
		case path == wanted, strings.HasPrefix(path, wanted+"/"):
			return restore.Take
		case strings.HasPrefix(wanted, path+"/"):
			choice = restore.Look
		}
	}
	return choice
}
