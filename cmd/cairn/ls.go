package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// lsCmd lists what is in an archive.
type lsCmd struct {
	Archive string `arg:"" help:"The archive: latest, a name, or the beginning of an id."`
	Path    string `arg:"" optional:"" help:"Only this file or directory and what is below it."`
	Long    bool   `short:"l" help:"Also show type, mode, owner, size and time, and below them ACLs, flags and the names of extended attributes."`
}

// Run implements the verb.
func (c *lsCmd) Run(ctx context.Context, g *globals) (err error) {
	v, a, err := g.openArchive(ctx, c.Archive)
	if err != nil {
		return err
	}
	defer v.close(&err)
	reader := archive.NewReader(a.Root(), v.NewMetaReader().Fetch(ctx))
	out := bufio.NewWriter(g.term.out)
	below, err := findPath(reader, &a, c.Path)
	if err != nil {
		return err
	}
	for e, err := range reader.From(below) {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		if below != "" && e.Path != below && !strings.HasPrefix(e.Path, below+"/") {
			break
		}
		if err := c.print(g, out, e); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return ended(v.warnings())
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
