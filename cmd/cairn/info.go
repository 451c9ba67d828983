package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"cairn/objects"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// infoCmd describes the repository or an archive.
type infoCmd struct {
	Archive string `arg:"" optional:"" help:"An archive: latest, a name, or the beginning of an id."`

	narrowing
}

// Help implements kong's longer help.
func (infoCmd) Help() string {
	return `Examples:

    cairn info
    cairn info latest --host mail`
}

// Run implements the verb.
func (c *infoCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	if c.Archive == "" {
		err = repositoryInfo(g, v)
	} else {
		err = c.archive(g, v)
	}
	if err != nil {
		return err
	}
	return ended(v.warnings())
}

func (c *infoCmd) archive(g *globals, v *session) error {
	a, err := repository.FindAmong(c.keep(v.Archives()), c.Archive)
	if err != nil {
		return err
	}
	return archiveInfo(g, &a)
}

type infoJSON struct {
	Repository string    `json:"repository"`
	ID         string    `json:"id"`
	Created    time.Time `json:"created"`
	Cipher     string    `json:"cipher"`
	Generation uint64    `json:"generation"`
	Archives   int       `json:"archives"`
	Packs      int       `json:"packs"`
	Size       uint64    `json:"size"`
	DataBytes  uint64    `json:"data_bytes"`
	MetaBytes  uint64    `json:"metadata_bytes"`
	ChunkUnit  uint32    `json:"chunk_unit"`
	Cache      string    `json:"cache"`
}

func repositoryInfo(g *globals, v *session) error {
	state := v.State()
	j := infoJSON{
		Repository: v.location.String(), ID: v.Config.Repository.String(), Created: v.Config.Created,
		Cipher: v.Config.AEAD.String(), Generation: state.Generation,
		Archives: state.Archives.Len(), Packs: state.Packs.Len(), ChunkUnit: v.Config.ChunkUnit,
		Cache: v.places.cache,
	}
	for a := range state.Archives.All() {
		j.Size += a.Size
	}
	for p := range state.Packs.All() {
		if p.Kind == objects.Meta {
			j.MetaBytes += p.Length
		} else {
			j.DataBytes += p.Length
		}
	}
	if g.cli.JSON {
		return g.summary(j)
	}
	w := tabwriter.NewWriter(g.term.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "repository\t%s\n", name(j.Repository))
	fmt.Fprintf(w, "id\t%s\n", j.ID)
	fmt.Fprintf(w, "created\t%s\n", j.Created.Local().Format("2006-01-02 15:04:05"))
	fmt.Fprintf(w, "cipher\t%s\n", j.Cipher)
	fmt.Fprintf(w, "archives\t%d, of %s together\n", j.Archives, size(j.Size))
	fmt.Fprintf(w, "commits\t%d\n", j.Generation)
	fmt.Fprintf(w, "stored\t%s in %d packs (%s of it metadata)\n", size(j.DataBytes+j.MetaBytes), j.Packs, size(j.MetaBytes))
	fmt.Fprintf(w, "chunks\t%s on average\n", size(uint64(j.ChunkUnit)))
	fmt.Fprintf(w, "cache\t%s\n", name(j.Cache))
	return w.Flush()
}

func archiveInfo(g *globals, a *repository.Archive) error {
	if g.cli.JSON {
		return g.summary(toJSONWithID(a))
	}
	w := tabwriter.NewWriter(g.term.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "archive\t%s\n", name(a.Name))
	fmt.Fprintf(w, "id\t%s\n", a.ID)
	fmt.Fprintf(w, "made by\t%s@%s with cairn %s\n", a.User, a.Host, a.Version)
	fmt.Fprintf(w, "started\t%s\n", a.Start.Local().Format("2006-01-02 15:04:05"))
	fmt.Fprintf(w, "took\t%s\n", took(a.End.Sub(a.Start)))
	for _, root := range a.Roots {
		fmt.Fprintf(w, "path\t%s\n", name(root.Source))
	}
	fmt.Fprintf(w, "series\t%s\n", name(a.Series))
	if len(a.Tags) > 0 {
		fmt.Fprintf(w, "tags\t%s\n", tags(a))
	}
	if a.Comment != "" {
		fmt.Fprintf(w, "comment\t%s\n", name(a.Comment))
	}
	if a.Kind == record.Checkpoint {
		fmt.Fprintln(w, "ends early\tthe run was interrupted: this is what it had reached")
	}
	fmt.Fprintf(w, "holds\t%s, %s, %s\n", count(a.Files, "file"), count(a.Dirs, "directory"), size(a.Size))
	fmt.Fprintf(w, "added\t%s of new data, stored in %s\n", size(a.NewData), size(a.NewStored))
	if a.Warnings > 0 {
		fmt.Fprintf(w, "warnings\t%d\n", a.Warnings)
	}
	return w.Flush()
}
