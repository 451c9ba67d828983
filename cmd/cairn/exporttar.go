package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cairn/objects/archive"
	"cairn/pipeline/content"
	"cairn/pipeline/repository"
	"cairn/pipeline/tarball"
)

// exportTarCmd writes an archive as a tar file.
type exportTarCmd struct {
	Archive string   `arg:"" help:"The archive: latest, a name, or the beginning of an id."`
	File    string   `arg:"" help:"The tar file; - for standard output. With .gz, .tgz, .zst or .tzst at its end it is compressed."`
	Paths   []string `arg:"" optional:"" name:"path" help:"Only these files and directories."`
	Strip   int      `name:"strip-components" placeholder:"N" help:"Leave out so many leading components of the names."`

	narrowing
}

// Help implements kong's longer help.
func (exportTarCmd) Help() string {
	return `Examples:

    cairn export-tar latest /tmp/home.tar.zst home/ada
    cairn export-tar latest - | tar -d -C /
    cairn export-tar latest - | ssh host tar -x --xattrs --acls -C /srv

The file is in the pax format, with extended attributes, ACLs, holes and hard
links as GNU tar knows them. Equal archives make equal files.`
}

// Run implements the verb.
func (c *exportTarCmd) Run(ctx context.Context, g *globals) (err error) {
	if c.Strip < 0 {
		return usage(errors.New("--strip-components: a number of components is not negative"))
	}
	if c.File == "-" && g.term.outIsTTY {
		return usage(errors.New("a tar file is not for a terminal to show: name a file, or send it through a pipe"))
	}
	if _, err := tarball.Compress(io.Discard, c.File); err != nil {
		return usage(fmt.Errorf("%w: write to - and pipe it through a program that does", err))
	}
	v, a, err := g.openArchive(ctx, c.Archive, c.narrowing)
	if err != nil {
		return err
	}
	defer v.close(&err)
	wanted, err := findTrees(archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx)), &a, c.Paths)
	if err != nil {
		return err
	}
	begun := time.Now()
	var s tarball.Summary
	err = c.create(g, func(w io.Writer) (err error) {
		s, err = c.write(ctx, g, v, &a, wanted, w)
		return err
	})
	if err != nil {
		return err
	}
	if c.File != "-" {
		if err := c.report(g, &a, s, time.Since(begun)); err != nil {
			return err
		}
	}
	if s.Damaged > 0 {
		return fmt.Errorf("%w: %s could not be had whole, see above; all else is in the tar file, and older archives may still have them",
			errDamaged, count(s.Damaged, "entry"))
	}
	return ended(s.Warnings + v.warnings())
}

// write writes the tar file to w.
func (c *exportTarCmd) write(ctx context.Context, g *globals, v *session, a *repository.Archive, wanted trees, w io.Writer) (tarball.Summary, error) {
	r := content.New(v, v.Keys, content.Options{})
	defer r.Close()
	reader := func() *archive.Reader { return archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx)) }
	lists := reader()
	x := tarball.Export{
		Strip: c.Strip, Select: wanted.has,
		Warn: func(path string, err error) { g.term.warn("warning: %v", pathError(path, err)) },
	}
	return x.Write(ctx, w, r, lists.All(), lists, reader())
}

// create gives write the place where the tar file goes. The file has its name
// when it is complete.
func (c *exportTarCmd) create(g *globals, write func(io.Writer) error) (err error) {
	to := io.Writer(output{g.term.out})
	if c.File != "-" {
		f, finish, err := createFile(c.File)
		if err != nil {
			return err
		}
		defer func() { err = finish(err) }()
		to = f
	}
	buffered := bufio.NewWriterSize(to, 1<<20)
	w, err := tarball.Compress(buffered, c.File)
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// createFile makes a file that gets its name when finish is called without an
// error, and is removed when it is called with one. A device or a pipe that is
// there is written to as it is.
func createFile(path string) (f *os.File, finish func(error) error, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return f, func(err error) error { return errors.Join(err, f.Close()) }, err
	}
	f, err = os.CreateTemp(filepath.Dir(path), ".cairn-*")
	if err != nil {
		return nil, nil, fmt.Errorf("create %s: %w", path, err)
	}
	return f, func(err error) error {
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			return errors.Join(err, os.Remove(f.Name()))
		}
		return nil
	}, nil
}

type exportTarJSON struct {
	Archive  string  `json:"archive"`
	File     string  `json:"file"`
	Members  uint64  `json:"members"`
	Bytes    uint64  `json:"bytes"`
	Damaged  uint64  `json:"damaged"`
	Warnings uint64  `json:"warnings"`
	Seconds  float64 `json:"seconds"`
}

func (c *exportTarCmd) report(g *globals, a *repository.Archive, s tarball.Summary, elapsed time.Duration) error {
	if g.cli.JSON {
		return g.summary(exportTarJSON{a.ID.String(), c.File, s.Members, s.Bytes, s.Damaged, s.Warnings, elapsed.Seconds()})
	}
	if g.cli.Quiet {
		return nil
	}
	_, err := fmt.Fprintf(g.term.out, "wrote %s to %s\n  %s, %s\n  took %s\n", a.Name, name(c.File),
		count(s.Members, "member"), size(s.Bytes), took(elapsed))
	return err
}

// trees are paths in an archive, and all that is below them; none means all.
type trees []string

// findTrees makes sure that the archive has what is asked for.
func findTrees(r *archive.Reader, a *repository.Archive, paths []string) (trees, error) {
	var list trees
	for _, typed := range paths {
		path, err := findPath(r, a, typed)
		if err != nil {
			return nil, err
		}
		if path == "" {
			return nil, nil // the whole archive
		}
		list = append(list, path)
	}
	return list, nil
}

// has reports whether path is in one of them.
func (t trees) has(path string, _ archive.Type) bool {
	return len(t) == 0 || slices.ContainsFunc(t, func(tree string) bool {
		return path == tree || strings.HasPrefix(path, tree+"/")
	})
}
