package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cairn/objects/record"
	"cairn/pipeline/tarball"
)

// importTarCmd makes an archive of a tar file.
type importTarCmd struct {
	File string `arg:"" help:"The tar file; - for standard input. It may be compressed with gzip, zstd or bzip2."`

	naming
}

// Help implements kong's longer help.
func (importTarCmd) Help() string {
	return `Examples:

    cairn import-tar home-2019.tar.gz --name home --time 2019-12-31
    borg export-tar --tar-format=PAX REPO::monday - | cairn import-tar - --name home
    xz -dc old.tar.xz | cairn import-tar - --name old

All formats of tar are read, with extended attributes, ACLs, holes and hard
links. What a restore could not put below its target is left out, with a warning.`
}

// Run implements the verb.
func (c *importTarCmd) Run(ctx context.Context, g *globals) (err error) {
	names, err := c.names()
	if err != nil {
		return err
	}
	in := os.Stdin
	if c.File != "-" {
		if in, err = os.Open(c.File); err != nil {
			return err
		}
		defer in.Close()
	}
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	_, zone := names.time.Zone()
	x := tarball.Import{
		Now: time.Now, PackTarget: v.location.transfers().pack, Progress: new(tarball.Progress),
		Archive: record.Archive{
			Name: names.archive(v), Host: names.host, User: names.user, Start: names.start,
			Series: cmp.Or(names.series, c.series()), Comment: names.comment, Tags: names.tags,
			Version: version(), Zone: int32(zone),
		},
		Warn: func(path string, err error) { g.term.warn("warning: %s: %v", name(path), err) },
	}
	a, err := c.run(ctx, g, v, x, in)
	if err != nil {
		return c.explain(err)
	}
	if err := c.report(g, v, a); err != nil {
		return err
	}
	return ended(a.Warnings + v.warnings())
}

func (c *importTarCmd) run(ctx context.Context, g *globals, v *session, x tarball.Import, in io.Reader) (record.Archive, error) {
	begun, p := time.Now(), x.Progress
	defer g.term.follow(g.cli.Quiet, func() string {
		line := fmt.Sprintf("%s  %s, %s", time.Since(begun).Round(time.Second), count(p.Members.Load(), "member"), size(p.Bytes.Load()))
		if current := p.Current.Load(); current != nil {
			line += "  " + name(*current)
		}
		return line
	})()
	return x.Run(ctx, v.Repository, in)
}

// series names a series after the file.
func (c *importTarCmd) series() string {
	if c.File == "-" {
		return "stdin"
	}
	return filepath.Base(c.File)
}

// explain says which file it is about, and what to do.
func (c *importTarCmd) explain(err error) error {
	from := name(c.File)
	if c.File == "-" {
		from = "standard input"
	}
	switch {
	case errors.Is(err, tarball.ErrCompression):
		return fmt.Errorf("%s: %w: pipe it through a program that does, and import -", from, err)
	case errors.Is(err, tarball.ErrNotTar), errors.Is(err, tarball.ErrEmpty), errors.Is(err, tarball.ErrBroken):
		return fmt.Errorf("%s %w; no archive was made", from, err)
	}
	return fmt.Errorf("import %s: %w", from, err)
}

type importTarJSON struct {
	Archive  archiveJSON `json:"archive"`
	File     string      `json:"file"`
	Warnings uint64      `json:"warnings"`
	Seconds  float64     `json:"seconds"`
}

// report prints what the archive has.
func (c *importTarCmd) report(g *globals, v *session, a record.Archive) error {
	elapsed := a.End.Sub(a.Start)
	if g.cli.JSON {
		full := toJSON(&a)
		full.ID = a.ID(v.Keys.NewHasher()).String()
		return g.summary(importTarJSON{full, c.File, a.Warnings, elapsed.Seconds()})
	}
	if g.cli.Quiet {
		return nil
	}
	_, err := fmt.Fprintf(g.term.out, "archive %s\n  %s, %s\n  new data %s, stored %s\n  took %s\n", a.Name,
		count(a.Files, "file"), size(a.Size), size(a.NewData), size(a.NewStored), took(elapsed))
	if err == nil && a.Warnings > 0 {
		_, err = fmt.Fprintf(g.term.out, "  %s: see above\n", count(a.Warnings, "warning"))
	}
	return err
}
