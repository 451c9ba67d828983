package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"cairn/locking"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// rebuildHeadCmd makes the head of a repository anew that has lost it.
type rebuildHeadCmd struct {
	Yes bool `short:"y" help:"Do not ask."`
}

// Help implements kong's longer help.
func (rebuildHeadCmd) Help() string {
	return `The head of a repository is one small object that says which commit is the newest.
If it is lost or damaged nothing can be found any more, though everything is still
there. This puts it together again from the commits. It asks first, and says what
cannot be brought back.

If there is a copy of the repository, put its head back instead only if the copy
is as new as the rest.

Examples:

    cairn rebuild-head`
}

// Run implements the verb.
func (c *rebuildHeadCmd) Run(ctx context.Context, g *globals) (err error) {
	v, secret, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.store.Backend.Close()) }()
	o, noKey, err := v.options(ctx, g, secret)
	if err := errors.Join(err, noKey); err != nil {
		return err
	}
	if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
		return err
	}
	lost, err := repository.OpenLost(ctx, v.store, o)
	if errors.Is(err, locking.ErrHeadWhole) {
		fmt.Fprintln(g.term.out, "the head of the repository is whole: nothing was changed")
		return nil
	}
	if err != nil {
		return fmt.Errorf("repository %s: %w", v.location, err)
	}
	defer func() { err = errors.Join(err, lost.Close()) }()
	c.describe(g, lost)
	if !c.Yes {
		yes, err := g.term.confirm(ctx, "Rebuild the head from this?")
		if err != nil {
			return err
		}
		if !yes {
			return errors.New("nothing was changed")
		}
	}
	if err := lost.Rebuild(ctx, time.Now()); err != nil {
		return err
	}
	fmt.Fprintln(g.term.out, "the head was rebuilt; run cairn check to see that everything is there")
	return ended(v.warnings())
}

// describe says what would be brought back and what not.
func (c *rebuildHeadCmd) describe(g *globals, l *repository.Lost) {
	w := g.term.out
	begun := l.Tip == (locking.Mark{})
	switch {
	case begun && len(l.Beside) == 0:
		fmt.Fprintln(w, "no commit is left: the archives are lost, unless there is another copy of commits/ to put back")
		fmt.Fprintln(w, "packs are kept: the next backup takes them over and stores only what they do not hold")
		return
	case begun:
		fmt.Fprintln(w, "no commit is left that leads to all archives: those are lost that are not named here,")
		fmt.Fprintln(w, "unless there is another copy of commits/ to put back")
	default:
		fmt.Fprintf(w, "newest commit: generation %d of %s, with %s\n",
			l.Tip.Generation, l.Made.Local().Format("2006-01-02 15:04:05"), count(uint64(l.State.Archives.Len()), "archive"))
	}
	if l.Adopted > 0 {
		fmt.Fprintf(w, "%s found that no commit is left to name, and used\n", count(uint64(l.Adopted), "pack"))
	}
	list := func(what string, archives []record.Archive) {
		for _, a := range archives {
			fmt.Fprintf(w, "%s: %s of %s\n", what, name(a.Name), a.Start.Local().Format("2006-01-02 15:04:05"))
		}
	}
	list("recovered from a commit beside it", l.Kept)
	list("lost, because parts are gone", l.Gone)
	for _, err := range l.Damaged {
		g.term.warn("%v", err)
	}
	if begun {
		fmt.Fprintln(w, "whoever has seen the repository before has to run cairn with --accept-rollback once")
		return
	}
	fmt.Fprintln(w, "commits newer than that are not there; if there were any, what they added is lost,")
	fmt.Fprintln(w, "and whoever has seen them has to run cairn with --accept-rollback once")
}
