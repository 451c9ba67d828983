package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/mount"
	"cairn/pipeline/repository"
)

// mountCmd shows archives as directories.
type mountCmd struct {
	Where      []string `arg:"" name:"archive> <dir" help:"The archive (latest, a name, or the beginning of an id), and an empty directory. The directory alone: all archives, as HOST/SERIES/TIME."`
	Foreground bool     `short:"f" help:"Stay until the directory is unmounted; an interrupt unmounts it."`
	AllowOther bool     `help:"Let other users in, as far as the modes and owners of the files do."`

	narrowing

	Detached bool `hidden:"" env:"CAIRN_MOUNT_DETACHED"` // the process in the background, before it is
}

// Help implements kong's longer help.
func (mountCmd) Help() string {
	return `Examples:

    cairn mount latest /mnt/backup
    cairn mount /mnt/backups --host mail
    cairn umount /mnt/backups

What is shown cannot be changed, and is read when it is looked at. A mount of
all archives shows new ones a few seconds after they are made. Cairn goes to the
background when the directory is ready. Who is not root needs fusermount3, which
is in the package fuse3.`
}

// Run implements the verb.
func (c *mountCmd) Run(ctx context.Context, g *globals) (err error) {
	dir, ref, err := c.places()
	if err != nil {
		return err
	}
	if !c.Foreground && !c.Detached {
		return background(ctx, g)
	}
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	o := mount.Options{AllowOther: c.AllowOther, Now: time.Now, Warn: func(err error) { v.warn(g.term, err) }}
	if err := v.Sync(ctx); err != nil {
		return err
	}
	if ref != "" {
		a, err := repository.FindAmong(c.keep(v.Archives()), ref)
		if err != nil {
			return err
		}
		g.goesBy("archive", &a)
		only := mountable(&a)
		o.Only = &only
	}
	m, err := mount.New(ctx, dir, newMountSource(v, &c.narrowing), o)
	if err != nil {
		return err
	}
	return m.Wait(ctx, func() error { return c.ready(g, v, dir) })
}

// places returns the directory, which must be there, and the archive.
func (c *mountCmd) places() (dir, ref string, err error) {
	switch len(c.Where) {
	case 1:
		dir = c.Where[0]
	case 2:
		ref, dir = c.Where[0], c.Where[1]
	default:
		return "", "", usage(errors.New("mount takes a directory, or an archive and a directory"))
	}
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("mount at %s: there is no such directory: make it first", name(dir))
	}
	if err == nil && !info.IsDir() {
		return "", "", fmt.Errorf("mount at %s: it is not a directory", name(dir))
	}
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	return dir, ref, err
}

// ready says that the directory can be used.
func (c *mountCmd) ready(g *globals, v *session, dir string) error {
	if !g.cli.Quiet {
		how := "cairn umount " + name(dir) + " ends it"
		if !c.Detached {
			how += ", and so does an interrupt"
		}
		if _, err := fmt.Fprintf(g.term.out, "mounted at %s\n  %s\n", name(dir), how); err != nil {
			return err
		}
	}
	if c.Detached {
		return detach(g, filepath.Join(v.places.state, v.Config.Repository.String(), "mount.log"))
	}
	return nil
}

func mountable(a *repository.Archive) mount.Archive {
	return mount.Archive{ID: a.ID, Archive: a.Archive, Root: a.Root()}
}

// newMountSource returns what a mount reads from, of the archives that n leaves.
func newMountSource(v *session, n *narrowing) mount.Source {
	var first sync.Once
	return mount.Source{
		Chunks: v, Keys: v.Keys,
		Meta: func(ctx context.Context) archive.Get { return v.NewMetaReader().Fetch(ctx) },
		Archives: func(ctx context.Context) (list []mount.Archive, err error) {
			fresh := false
			first.Do(func() { fresh = true }) // it was opened a moment ago
			if !fresh {
				if err := v.Refresh(ctx); err != nil {
					return nil, err
				}
				if err := v.Sync(ctx); err != nil {
					return nil, err
				}
			}
			for _, a := range n.keep(v.Archives()) {
				if a.Kind == record.Full {
					list = append(list, mountable(&a))
				}
			}
			return list, nil
		},
	}
}

// umountCmd ends a mount.
type umountCmd struct {
	Dir string `arg:"" type:"path" help:"The directory."`
}

// Help implements kong's longer help.
func (umountCmd) Help() string {
	return `Examples:

    cairn umount /mnt/cairn`
}

// Run implements the verb.
func (c *umountCmd) Run() error {
	if err := mount.Unmount(c.Dir); err != nil {
		if errors.Is(err, mount.ErrBusy) {
			return fmt.Errorf("%w: leave the directory, close its files, and try again (fuser -vm %s shows who it is)", err, name(c.Dir))
		}
		return err
	}
	return nil
}
