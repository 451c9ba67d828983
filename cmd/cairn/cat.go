package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cairn/objects/archive"
	"cairn/pipeline/content"
)

// catCmd prints a file of an archive.
type catCmd struct {
	Archive string `arg:"" help:"The archive: latest, a name, or the beginning of an id."`
	File    string `arg:"" name:"path" help:"The file: its path in the archive, or where it was."`

	narrowing
}

// Help implements kong's longer help.
func (catCmd) Help() string {
	return `Examples:

    cairn cat latest etc/fstab
    cairn cat latest var/backups/db.sql.zst | zstd -d | less

What is printed has been compared with what was stored. If the file is damaged
it ends before the damage, and the exit code says so.`
}

// Run implements the verb.
func (c *catCmd) Run(ctx context.Context, g *globals) (err error) {
	v, a, err := g.openArchive(ctx, c.Archive, c.narrowing)
	if err != nil {
		return err
	}
	defer v.close(&err)
	lists := archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx))
	path, err := findPath(lists, &a, c.File)
	if err != nil {
		return err
	}
	e, err := findFile(lists, path)
	if err != nil {
		return err
	}
	r := content.New(v, v.Keys, content.Options{})
	defer r.Close()
	if err := r.WriteTo(ctx, output{g.term.out}, e, lists); err != nil {
		return fmt.Errorf("%s: %w", name(path), err)
	}
	return ended(v.warnings())
}

// findFile returns the entry of a file whose content is whole.
func findFile(r *archive.Reader, path string) (*archive.Entry, error) {
	if path == "" {
		return nil, errors.New("this is the whole archive, not a file: cairn ls shows what is in it")
	}
	e, err := r.Lookup(path)
	switch {
	case err != nil:
		return nil, err
	case e.Type == archive.Symlink:
		return nil, fmt.Errorf("%s is a symlink to %s: name that file", name(path), name(e.Target))
	case e.Type == archive.Dir:
		return nil, fmt.Errorf("%s is a directory: cairn ls shows what is in it, cairn export-tar writes all of it", name(path))
	case e.Type != archive.File:
		return nil, fmt.Errorf("%s is a %s, which has no content", name(path), e.Type)
	case e.Partial:
		return nil, fmt.Errorf("%s was cut short by an interruption of the backup: restore brings back what there is of it", name(path))
	}
	return e, nil
}

// errOutput is what hits standard output, which is no part of a repository: that
// its disk is full says nothing of the one that holds the backups.
var errOutput = errors.New("write to standard output")

// output marks the errors of a writer as errOutput.
type output struct{ w io.Writer }

func (o output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errOutput, err)
	}
	return n, err
}
