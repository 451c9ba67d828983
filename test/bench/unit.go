package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cairn/backend/local"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"
)

// units compares chunk units.
type units struct {
	image string
	file  size
	units string
}

// edit is a file before and after it was changed.
type edit struct {
	name          string
	before, after string // paths
	edits         int64
	bytes         int64 // that all edits wrote
}

func (u *units) flags(f *flag.FlagSet) {
	u.file = 1 << 30
	f.StringVar(&u.image, "image", "", "a disk image: a `file`, which is not changed")
	f.Var(&u.file, "file", "`bytes` of an incompressible file (default 1G)")
	f.StringVar(&u.units, "units", "64K,128K,256K,384K,512K,1M", "a `list` of chunk units")
}

func (u *units) run(ctx context.Context, work string, out io.Writer) error {
	edits, err := u.edits(ctx, work)
	if err != nil {
		return err
	}
	var b strings.Builder
	header(&b, "content", "unit", "wall s", "processor s", "stored MB", "chunks", "mean KiB",
		"growth MB", "growth / changed", "growth KiB / edit", "index MB / TB")
	for _, e := range edits {
		if err := (&corpus{paths: []string{e.before, e.after}}).warm(ctx); err != nil {
			return err
		}
		for text := range strings.SplitSeq(u.units, ",") {
			var unit size
			if err := unit.Set(text); err != nil {
				return err
			}
			m, err := measureUnit(ctx, filepath.Join(work, e.name+"-"+text), e, uint32(unit))
			if err != nil {
				return fmt.Errorf("%s, unit %s: %w", e.name, text, err)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", e.name, text, m.row(e))
		}
	}
	b.WriteString("\nwall, processor and stored: the first backup; index: its cache, extrapolated to 10^12 bytes of new content;\n" +
		"1 MB = 10^6 bytes.\n")
	_, err = io.WriteString(out, b.String())
	return err
}

// edits makes the content that is backed up.
func (u *units) edits(ctx context.Context, work string) ([]edit, error) {
	var edits []edit
	if u.image != "" {
		e, err := editImage(ctx, work, u.image)
		if err != nil {
			return nil, err
		}
		edits = append(edits, e)
	}
	if u.file > 0 {
		e := edit{name: "file", before: filepath.Join(work, "file"), after: filepath.Join(work, "file-shifted"),
			edits: insertions, bytes: insertions * insertedBytes}
		err := errors.Join(writeNoise(e.before, int64(u.file), 0), writeNoise(e.after, int64(u.file), insertions))
		if err != nil {
			return nil, err
		}
		edits = append(edits, e)
	}
	return edits, nil
}

func editImage(ctx context.Context, work, image string) (edit, error) {
	before, err := filepath.Abs(image)
	if err != nil {
		return edit{}, err
	}
	x, err := measureExtent(before)
	if err != nil {
		return edit{}, err
	}
	chosen := regions(x.bytes)
	e := edit{name: "image", before: before, after: filepath.Join(work, "image-overwritten"),
		edits: int64(len(chosen)), bytes: int64(len(chosen)) * region}
	if err := copyFile(ctx, before, e.after); err != nil {
		return edit{}, err
	}
	return e, overwrite(e.after, chosen, noise{0})
}

// unitCost is what a chunk unit costs with one content.
type unitCost struct {
	first, second backup.Summary
	cpu           time.Duration // of the first backup
	cache         int64         // bytes of the index cache after it
}

func measureUnit(ctx context.Context, dir string, e edit, unit uint32) (c unitCost, err error) {
	repo, err := newRepository(ctx, dir, unit)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, repo.Close(), repo.Backend().Close()) }()
	before, err := selfCPU()
	if err != nil {
		return c, err
	}
	if c.first, err = backUp(ctx, repo, e.before); err != nil {
		return c, err
	}
	after, err := selfCPU()
	if err != nil {
		return c, err
	}
	c.cpu = after - before
	cache, err := measureExtent(cacheDir(dir))
	if err != nil {
		return c, err
	}
	c.cache = cache.bytes
	c.second, err = backUp(ctx, repo, e.after)
	return c, err
}

func cacheDir(dir string) string { return filepath.Join(dir, "cache") }

// newRepository makes a repository with a chunk unit below dir, and opens it.
func newRepository(ctx context.Context, dir string, unit uint32) (*repository.Repository, error) {
	path := filepath.Join(dir, "repo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := local.Create(path); err != nil {
		return nil, err
	}
	s, err := local.Open(path, local.Options{})
	if err != nil {
		return nil, err
	}
	var key []byte
	store := repository.Store{Backend: s, Register: s}
	_, err = repository.Init(ctx, store, repository.InitOptions{
		KDF: crypt.NoKDF(), Label: "benchmark", Created: time.Now(), ChunkUnit: unit,
		KeyFile: func(_ objects.RepositoryID, text []byte) error { key = text; return nil },
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	repo, err := repository.Open(ctx, store, repository.Options{
		Unlock: repository.Unlocker{KeyFile: key}, CacheDir: cacheDir(dir), StateDir: filepath.Join(dir, "state"),
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return repo, nil
}

// backUp stores the file at path, as if it were the same file every time. A
// warning is an error here.
func backUp(ctx context.Context, repo *repository.Repository, path string) (backup.Summary, error) {
	var warning error
	_, s, err := backup.Run(ctx, ctx, repo, backup.Options{
		Roots:   []walk.Root{{Source: path, Path: "content"}},
		Archive: record.Archive{Name: filepath.Base(path), Version: "benchmark"},
		Now:     time.Now,
		Warn:    func(_ string, err error) { warning = err },
	})
	return s, errors.Join(err, warning)
}

// row returns the cells of the table that c fills.
func (c *unitCost) row(e edit) string {
	chunks, raw, growth := float64(c.first.NewChunks), float64(c.first.NewBytes), float64(c.second.Stored)
	return fmt.Sprintf("%.2f | %.2f | %.2f | %.0f | %.1f | %.3f | %.1f | %.1f | %.1f",
		c.first.Took.Seconds(), c.cpu.Seconds(), mega(int64(c.first.Stored)), chunks, raw/chunks/1024,
		growth/1e6, growth/float64(e.bytes), growth/float64(e.edits)/1024, float64(c.cache)/raw*1e6)
}
