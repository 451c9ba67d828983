package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// lsCmd lists what is in an archive.
type lsCmd struct {
	Archive string `arg:"" help:"The archive: latest, a name, or the beginning of an id."`
	Below   string `arg:"" optional:"" name:"path" help:"Only this file or directory and what is below it."`
	Long    bool   `short:"l" help:"Also show type, mode, owner, size and time, and below them ACLs, flags and the names of extended attributes."`
	Depth   int    `placeholder:"N" help:"Go no further down than N levels below the path; 1 is what is in it."`
	Sort    string `enum:"path,name,size,time" default:"path" placeholder:"BY" help:"path, name, size (largest first), or time (newest first); all but path keep the whole list in memory."`

	narrowing
}

// Help implements kong's longer help.
func (lsCmd) Help() string {
	return `Examples:

    cairn ls latest
    cairn ls -l latest /etc --depth 1
    cairn ls -l latest --sort size | head`
}

// Run implements the verb.
func (c *lsCmd) Run(ctx context.Context, g *globals) (err error) {
	v, a, err := g.openArchive(ctx, c.Archive, c.narrowing)
	if err != nil {
		return err
	}
	defer v.close(&err)
	reader := archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx))
	out := bufio.NewWriter(g.term.out)
	below, err := findPath(reader, &a, c.Below)
	if err != nil {
		return err
	}
	for e, err := range c.sorted(c.within(ctx, reader, below)) {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		if err := c.print(g, out, e); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return ended(v.warnings())
}

// within yields below, unless it is empty, and what lies under it as deep as
// asked for. An entry is valid until the next one.
func (c *lsCmd) within(ctx context.Context, reader *archive.Reader, below string) iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) {
		for e, err := range reader.From(below) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			rest := e.Path
			if below != "" {
				under, ok := strings.CutPrefix(e.Path, below)
				if !ok || under != "" && under[0] != '/' {
					return
				}
				rest = strings.TrimPrefix(under, "/")
			}
			if c.Depth > 0 && rest != "" && strings.Count(rest, "/") >= c.Depth {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// sorted yields entries in the order that was asked for.
func (c *lsCmd) sorted(entries iter.Seq2[*archive.Entry, error]) iter.Seq2[*archive.Entry, error] {
	if c.Sort == "path" {
		return entries
	}
	return func(yield func(*archive.Entry, error) bool) {
		var all []*archive.Entry
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			all = append(all, e.Clone())
		}
		slices.SortStableFunc(all, c.compare)
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (c *lsCmd) compare(a, b *archive.Entry) int {
	switch c.Sort {
	case "size":
		return cmp.Compare(b.Size, a.Size)
	case "time":
		return b.ModTime.Time().Compare(a.ModTime.Time())
	}
	return cmp.Compare(path.Base(a.Path), path.Base(b.Path))
}

// findPath returns the path in the archive that a person means: one of the
// archive, one as it was on its host, or one below the working directory. The
// empty path means everything.
func findPath(reader *archive.Reader, a *repository.Archive, typed string) (string, error) {
	candidates := []string{archivePath(typed, a.Roots)}
	if absolute, err := filepath.Abs(typed); err == nil && !path.IsAbs(typed) {
		candidates = append(candidates, archivePath(absolute, a.Roots))
	}
	for _, candidate := range candidates {
		if candidate == "" {
			return "", nil
		}
		_, err := reader.Lookup(candidate)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, archive.ErrNotFound) {
			return "", err
		}
	}
	return "", fmt.Errorf("archive %s has no %s: cairn ls %s shows what it has", a.Name, name(typed), a.ID.Short())
}

// archivePath returns typed as a path of the archive.
func archivePath(typed string, roots []record.Root) string {
	if typed == "" {
		return ""
	}
	clean := path.Clean(typed)
	if path.IsAbs(clean) {
		for _, root := range roots {
			if rest, ok := strings.CutPrefix(clean, root.Source); ok && (rest == "" || rest[0] == '/') {
				return strings.TrimPrefix(root.Path+rest, "/")
			}
		}
	}
	return strings.Trim(clean, "/")
}

func (c *lsCmd) print(g *globals, out *bufio.Writer, e *archive.Entry) error {
	if g.cli.JSON {
		return writeJSON(out, entryToJSON(e))
	}
	shown := e.Path
	if g.term.outIsTTY {
		shown = name(e.Path)
	}
	if !c.Long {
		_, err := fmt.Fprintln(out, shown)
		return err
	}
	if e.Type == archive.Symlink {
		shown += " -> " + e.Target
	}
	more := " "
	if hasACL(e) {
		more = "+"
	}
	_, err := fmt.Fprintf(out, "%s%s %-8s %-8s %12d %s %s\n", modeString(e), more, owner(e.Owner.User, e.Owner.UID),
		owner(e.Owner.Group, e.Owner.GID), e.Size, e.ModTime.Time().Local().Format("2006-01-02 15:04:05"), shown)
	for _, a := range shownAttributes(e) {
		text := a.text
		if g.term.outIsTTY {
			text = name(text)
		}
		if err == nil {
			_, err = fmt.Fprintf(out, "    %s %s\n", a.name, text)
		}
	}
	return err
}

func owner(named string, id uint32) string {
	if named == "" {
		return fmt.Sprint(id)
	}
	return named
}

// modeString returns type and permissions as ls -l prints them.
func modeString(e *archive.Entry) string {
	kind := map[archive.Type]byte{archive.File: '-', archive.Dir: 'd', archive.Symlink: 'l',
		archive.CharDevice: 'c', archive.BlockDevice: 'b', archive.Fifo: 'p'}[e.Type]
	bits := []byte(fs.FileMode(e.Mode & 0o777).String())
	bits[0] = kind
	for _, special := range []struct {
		bit  uint16
		at   int
		with byte
		bare byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if e.Mode&special.bit == 0 {
			continue
		}
		if bits[special.at] == 'x' {
			bits[special.at] = special.with
		} else {
			bits[special.at] = special.bare
		}
	}
	return string(bits)
}
