package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cairn/objects/record"
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
)

// restoreCmd brings back an archive.
type restoreCmd struct {
	Archive string   `arg:"" help:"The archive: latest, a name, or the beginning of an id."`
	Paths   []string `arg:"" optional:"" name:"path" help:"Only these files and directories."`
	Target  string   `short:"t" required:"" placeholder:"DIR" type:"path" help:"Where to: a directory, made if missing; / for the places the files came from."`
	Partial bool     `help:"Bring back files that an interruption of the backup cut short, too, as NAME.partial."`
	DryRun  bool     `short:"n" help:"Only say what would be done."`
	List    bool     `help:"List everything with a letter: A was not there, M replaced, U was there and stays, D removed, E could not be restored."`

	Overwrite string `enum:"if-changed,always,if-newer,never" default:"if-changed" placeholder:"WHEN" help:"Replace what is there: if-changed (other size or time), always, if-newer (in the archive), never (default: ${default})."`
	Delete    bool   `help:"Remove from the restored directories what the archive does not have in them."`
	Verify    bool   `help:"Read back what was restored, and what was there, and compare it."`
	Sparse    bool   `help:"Make holes of zeros."`

	StripComponents int  `placeholder:"N" help:"Cut so many leading components off the paths."`
	NumericIDs      bool `name:"numeric-ids" help:"Restore owners by number, whatever their names are here."`
	NoOwner         bool `help:"Do not restore owners."`
	NoXattrs        bool `help:"Do not restore extended attributes, nor take any away."`
	NoACLs          bool `name:"no-acls" help:"Do not restore access control lists, nor take any away."`
	NoFlags         bool `help:"Do not restore file flags: immutable, append-only, no dump; nor take any away."`

	picking
	narrowing
}

// Help implements kong's longer help.
func (restoreCmd) Help() string {
	return `Examples:

    cairn restore latest --target /tmp/back
    cairn restore latest etc/ssh --target /tmp/back
    cairn restore latest --include '*.jpg' --target /tmp/pictures
    cairn restore latest /home/ada/mail --target / --delete --dry-run --list

A file that is there with the same size and time of modification keeps its
content; --verify makes sure of it. It and every directory end with the
attributes that they have in the archive, and no others.`
}

// Run implements the verb.
func (c *restoreCmd) Run(ctx context.Context, g *globals) (err error) {
	if c.StripComponents < 0 {
		return usage(errors.New("--strip-components: how many cannot be below 0"))
	}
	v, a, err := g.openArchive(ctx, c.Archive, c.narrowing)
	if err != nil {
		return err
	}
	defer v.close(&err)
	if err := c.mayDelete(&a); err != nil {
		return err
	}
	wanted, err := c.pick(ctx, v, &a, c.Paths)
	if err != nil {
		return err
	}
	return c.restore(ctx, g, v, &a, wanted)
}

// mayDelete makes sure that nothing is removed only because the archive could
// not have it, or because nobody thought of it.
func (c *restoreCmd) mayDelete(a *repository.Archive) error {
	switch {
	case !c.Delete:
		return nil
	case c.Target == "/" && len(c.Paths) == 0:
		return usage(errors.New("--delete with --target / needs the paths below which things may be removed"))
	case c.StripComponents > 0:
		return usage(errors.New("--delete does not go with --strip-components"))
	case len(a.Roots) == 0:
		return fmt.Errorf("archive %s was made from a list of files, and does not say what directories lack: --delete cannot be used with it; nothing was changed", name(a.Name))
	case a.Kind == record.Checkpoint:
		return fmt.Errorf("archive %s is of an interrupted run and lacks what it did not reach: --delete would remove that; nothing was changed", name(a.Name))
	case a.Warnings > 0:
		return fmt.Errorf("archive %s lacks what could not be read when it was made (%s): --delete would remove that; "+
			"restore to a new directory instead, or take another archive; nothing was changed", name(a.Name), count(a.Warnings, "warning"))
	}
	return nil
}

// options says how to restore.
func (c *restoreCmd) options(v *session, a *repository.Archive, wanted *picked) restore.Options {
	o := restore.Options{
		Target: c.Target, Select: wanted.choose, Strip: c.StripComponents,
		Sparse: c.Sparse, Verify: c.Verify, DryRun: c.DryRun, NumericOwners: c.NumericIDs, Partial: c.Partial,
		Protected: v.ownPaths(),
	}
	for part, without := range map[restore.Part]bool{
		restore.Owners: c.NoOwner, restore.Xattrs: c.NoXattrs, restore.ACLs: c.NoACLs, restore.Flags: c.NoFlags,
	} {
		if without {
			o.Without |= part
		}
	}
	switch c.Overwrite {
	case "always":
		o.Overwrite = restore.Always
	case "if-newer":
		o.Overwrite = restore.IfNewer
	case "never":
		o.Overwrite = restore.Never
	}
	if c.Delete {
		o.Delete = func(dir string) bool {
			return complete(a.Roots, dir) && (dir != "" || len(wanted.paths) == 0)
		}
	}
	return o
}

// restore runs the restore and says what it did.
func (c *restoreCmd) restore(ctx context.Context, g *globals, v *session, a *repository.Archive, wanted *picked) error {
	progress, begun := new(restore.Progress), time.Now()
	stop := g.term.follow(g.cli.Quiet, func() string {
		return fmt.Sprintf("%s  %s of %s, %s of %s", time.Since(begun).Round(time.Second),
			count(progress.Files.Load(), "file"), count(a.Files, "file"), size(progress.Bytes.Load()), size(a.Size)) +
			remaining(progress.Bytes.Load(), a.Size, time.Since(begun))
	})
	meta := v.NewMetaReader()
	o := c.options(v, a, wanted)
	o.Progress, o.ReadMax = progress, v.location.transfers().read
	o.Warn = func(path string, err error) { g.term.warn("warning: %v", pathError(path, err)) }
	if c.List || g.verbose(everyFile) {
		o.List = func(s restore.Status, path string) { g.listed(byte(s), path, "") }
	}
	s, err := restore.Run(ctx, restore.Source{Chunks: v, Meta: meta.Fetch(ctx), Keys: v.Keys}, a.Root(), o)
	stop()
	if err != nil {
		return err
	}
	lacks := g.tellLacks(s.Lacks)
	if err := c.report(g, a, s, time.Since(begun)); err != nil {
		return err
	}
	if s.Mismatched > 0 {
		return fmt.Errorf("%s read back otherwise than written, see above: the archive is whole, the disk at %s is not to be trusted; restore to another one",
			count(s.Mismatched, "file"), c.Target)
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

	DryRun     bool   `json:"dry_run,omitempty"`
	Kept       uint64 `json:"kept"`
	Left       uint64 `json:"left"`
	Deleted    uint64 `json:"deleted"`
	Verified   bool   `json:"verified,omitempty"`
	Mismatched uint64 `json:"mismatched"`
}

func (c *restoreCmd) json(a *repository.Archive, s restore.Summary, elapsed time.Duration) restoreJSON {
	return restoreJSON{
		Archive: a.ID.String(), Target: c.Target, Files: s.Files, Dirs: s.Dirs, Others: s.Others, Bytes: s.Bytes,
		Failed: s.Failed, Damaged: s.Damaged, Warnings: s.Warnings, Seconds: elapsed.Seconds(),
		DryRun: c.DryRun, Kept: s.Kept, Left: s.Left, Deleted: s.Deleted,
		Verified: c.Verify && !c.DryRun, Mismatched: s.Mismatched,
	}
}

// report says what was done.
func (c *restoreCmd) report(g *globals, a *repository.Archive, s restore.Summary, elapsed time.Duration) error {
	if g.cli.JSON {
		return g.summary(c.json(a, s, elapsed))
	}
	if g.cli.Quiet {
		return nil
	}
	did := "restored"
	if c.DryRun {
		did = "would restore"
	}
	_, err := fmt.Fprintf(g.term.out, "%s %s to %s\n  %s, %s, %s%s\n  took %s\n", did, a.Name, name(c.Target),
		count(s.Files, "file"), count(s.Dirs, "directory"), size(s.Bytes), c.extra(s), took(elapsed))
	if err == nil && s.Failed > 0 {
		_, err = fmt.Fprintf(g.term.out, "  %s could not be restored: see above\n", count(s.Failed, "entry"))
	}
	return err
}

// extra says what was done besides restoring.
func (c *restoreCmd) extra(s restore.Summary) string {
	var b strings.Builder
	if s.Kept > 0 {
		fmt.Fprintf(&b, "; %s there already", count(s.Kept, "file"))
	}
	if s.Left > 0 {
		fmt.Fprintf(&b, "; %s left alone", count(s.Left, "entry"))
	}
	if s.Deleted > 0 {
		fmt.Fprintf(&b, "; %s removed", count(s.Deleted, "entry"))
	}
	if c.Verify && !c.DryRun && s.Mismatched == 0 {
		b.WriteString("; read back, all as it should be")
	}
	return b.String()
}
