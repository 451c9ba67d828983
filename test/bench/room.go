package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// room compares how tools free the room of what was deleted: of several
// archives, between any two of which a quarter of the files was rewritten, the
// older half is deleted.
type room struct {
	peers
	bytes    size
	archives int
}

const (
	roomFile  = 1 << 20 // bytes of each file, which do not compress
	roomShare = 4       // one in so many files is rewritten between two archives
)

func (r *room) flags(f *flag.FlagSet) {
	r.bytes = 2 << 30
	f.Var(&r.bytes, "bytes", "`bytes` that an archive holds (default 2G)")
	f.IntVar(&r.archives, "archives", 4, "`number` of archives, the older half of which is deleted")
	f.IntVar(&r.runs, "runs", 3, "`number` of runs, of which the median counts")
	f.StringVar(&r.names, "tools", "cairn,restic,borg", "a `list` from cairn, restic, borg")
}

func (r *room) run(ctx context.Context, work string, out io.Writer) error {
	if r.runs < 1 || r.archives < 2 {
		return errors.New("--runs must be at least 1, and --archives 2")
	}
	if err := r.findTools(ctx, work, out); err != nil {
		return err
	}
	c := &corpus{name: "room", paths: []string{filepath.Join(work, "files")}}
	r.samples = map[cell][]sample{}
	for round := range r.runs {
		dir := filepath.Join(work, fmt.Sprintf("round-%d", round))
		if err := r.round(ctx, dir, c, round); err != nil {
			return err
		}
	}
	var b strings.Builder
	if err := r.versions(ctx, place(filepath.Join(work, "versions")), &b); err != nil {
		return err
	}
	r.table(&b, fmt.Sprintf("%d archives of %.0f MB, %d of them deleted; medians of %d", r.archives, mega(int64(r.bytes)), r.archives/2, r.runs),
		c.name, deleted, compacted)
	b.WriteString("\ngrowth: of the repository, below zero where it shrinks; other columns as of bench peers.\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// round fills a new repository of every tool and makes room in it.
func (r *room) round(ctx context.Context, dir string, c *corpus, round int) error {
	if err := os.MkdirAll(c.paths[0], 0o700); err != nil {
		return err
	}
	jobs, err := r.prepare(ctx, dir, c, round)
	if err != nil {
		return err
	}
	for n := range r.archives {
		if err := r.rewrite(c.paths[0], round, n); err != nil {
			return err
		}
		for _, j := range jobs {
			j.phase, j.archive = first, fmt.Sprint(first, n)
			if _, err := measure(ctx, j.command(ctx), j.tool.warning); err != nil {
				return err
			}
		}
	}
	for _, phase := range []phase{deleted, compacted} {
		for _, j := range jobs {
			j.phase, j.keep = phase, r.archives-r.archives/2
			if err := j.findOld(ctx); err != nil {
				return err
			}
			if err := r.sample(ctx, c.name, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewrite makes all files, or before a later archive every so-manieth anew.
func (r *room) rewrite(dir string, round, archive int) error {
	for i := range int(r.bytes) / roomFile {
		if archive > 0 && i%roomShare != archive%roomShare {
			continue
		}
		content := noise{uint64(round+1)<<40 | uint64(archive)<<32 | uint64(i)}
		if err := content.writeFile(filepath.Join(dir, fmt.Sprint(i)), roomFile); err != nil {
			return err
		}
	}
	return nil
}

// findOld finds the archives that are to be deleted, for a tool that has to be
// told their ids.
func (j *job) findOld(ctx context.Context) error {
	j.old = nil
	if j.phase != deleted || j.tool.ids == "" {
		return nil
	}
	cmd := j.command(ctx)
	cmd.Args = append(cmd.Args[:1], strings.Fields(j.tool.ids)...)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var a struct{ ID string }
		if err := d.Decode(&a); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		j.old = append(j.old, a.ID)
	}
	j.old = j.old[:len(j.old)-j.keep]
	return nil
}
