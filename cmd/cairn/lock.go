package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"cairn/locking"
)

// lockCmd is about who writes to the repository, and who waits to.
type lockCmd struct {
	Show  lockShowCmd  `cmd:"" default:"withargs" help:"Show who writes to the repository, and who waits to."`
	Break lockBreakCmd `cmd:"" help:"Take the lock from a run that does not come back."`
}

type lockShowCmd struct {
	Watch wait `default:"0" placeholder:"TIME" help:"Look for so long before saying for how long each has been silent."`
}

// Help implements kong's longer help.
func (lockShowCmd) Help() string {
	return `A run that writes gives a sign of life every 100 seconds. One that has been silent
for the time under STALE AFTER is taken over by whoever waits; one on the same
host whose process is gone is taken over at once. So a lock that a crash has left
needs no care.

Clocks of different hosts are never compared: SILENT counts from when this
command began to look. Use --watch to look for a while.

Examples:

    cairn lock show
    cairn lock show --watch 5m`
}

type standingJSON struct {
	Place     int       `json:"place"` // in the queue; 0: holds the lock
	ID        string    `json:"id"`
	Host      string    `json:"host"`
	User      string    `json:"user"`
	Command   string    `json:"command"`
	Mode      string    `json:"mode"`
	Since     time.Time `json:"since"`
	PID       uint64    `json:"pid,omitempty"`
	Process   string    `json:"process"` // "alive", "dead", or "unknown"
	Silent    float64   `json:"silent_seconds"`
	StaleWhen float64   `json:"stale_after_seconds"`
}

// Run implements the verb.
func (c *lockShowCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	table, err := c.look(ctx, v.Repository.Watch())
	if err != nil {
		return err
	}
	if err := g.printTable(table); err != nil {
		return err
	}
	return ended(v.warnings())
}

// lookEvery is how often --watch looks.
const lookEvery = time.Second

// look reads the table, for as long as --watch says.
func (c *lockShowCmd) look(ctx context.Context, w *locking.Watch) (locking.Table, error) {
	begun := time.Now()
	for {
		table, err := w.Look(ctx)
		left := time.Duration(c.Watch) - time.Since(begun)
		if err != nil || left <= 0 {
			return table, err
		}
		select {
		case <-time.After(min(left, lookEvery)):
		case <-ctx.Done():
			return table, context.Cause(ctx)
		}
	}
}

func (g *globals) printTable(table locking.Table) error {
	if g.cli.JSON {
		return g.printTableJSON(table)
	}
	if len(table.Holders)+len(table.Queue) == 0 {
		fmt.Fprintln(g.term.out, "nobody writes to the repository")
		return nil
	}
	w := tabwriter.NewWriter(g.term.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PLACE\tWHO\tMODE\tSINCE\tPROCESS\tSILENT\tSTALE AFTER\tCOMMAND")
	for _, s := range table.Holders {
		printStanding(w, "holds", s)
	}
	for i, s := range table.Queue {
		printStanding(w, strconv.Itoa(i+1), s)
	}
	return w.Flush()
}

func printStanding(w io.Writer, place string, s locking.Standing) {
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", place, who(s.User, s.Host), s.Mode,
		s.Since.Local().Format("2006-01-02 15:04:05"), process(s), took(s.Silent), took(s.Takeover), name(s.Command))
}

// who returns user@host as it may be shown.
func who(user, host string) string { return name(user + "@" + host) }

// process returns what is known of a run's process.
func process(s locking.Standing) string {
	switch s.Process {
	case locking.Alive:
		return "alive"
	case locking.Dead:
		return "dead"
	}
	return "unknown"
}

func (g *globals) printTableJSON(table locking.Table) error {
	for i, s := range append(table.Holders, table.Queue...) {
		err := g.summary(standingJSON{
			Place: max(0, i+1-len(table.Holders)), ID: fmt.Sprintf("%x", s.ID), Host: s.Host, User: s.User,
			Command: s.Command, Mode: s.Mode.String(), Since: s.Since, PID: s.PID, Process: process(s),
			Silent: s.Silent.Seconds(), StaleWhen: s.Takeover.Seconds(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type lockBreakCmd struct {
	All bool `help:"Empty the queue as well."`
	Yes bool `short:"y" help:"Do not ask."`
}

// Help implements kong's longer help.
func (lockBreakCmd) Help() string {
	return `This is hardly ever needed: a run that is gone is taken over by itself by the next
one that waits (see cairn lock show).

It does no harm either. A backup that is alive after all loses nothing: it
notices that its turn is over, waits for another one and goes on. Only
cairn with-lock ends, and with it the command that it runs.

Examples:

    cairn lock break
    cairn lock break --yes`
}

// Run implements the verb.
func (c *lockBreakCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	table, err := v.Repository.Watch().Look(ctx)
	if err != nil {
		return err
	}
	var victims []victim
	for _, s := range table.Holders {
		victims = append(victims, victim{s, "Break the lock of %s?", "broken"})
	}
	for _, s := range table.Queue {
		if c.All {
			victims = append(victims, victim{s, "Take %s out of the queue?", "out of the queue"})
		}
	}
	if len(victims) == 0 {
		fmt.Fprintln(g.term.out, "nobody writes to the repository")
		return ended(v.warnings())
	}
	for _, victim := range victims {
		if err := c.take(ctx, g, v, victim); err != nil {
			return err
		}
	}
	return ended(v.warnings())
}

// victim is a run that holds the lock or only waits, and what is said of it.
type victim struct {
	locking.Standing
	question, done string
}

// take takes one run out, if the user agrees.
func (c *lockBreakCmd) take(ctx context.Context, g *globals, v *session, s victim) error {
	whose := fmt.Sprintf("%s (%s), since %s", who(s.User, s.Host), name(s.Command), s.Since.Local().Format("2006-01-02 15:04:05"))
	if s.Process == locking.Alive {
		whose += ", whose process is alive"
	}
	if !c.Yes {
		yes, err := g.term.confirm(ctx, fmt.Sprintf(s.question, whose))
		if err != nil {
			return err
		}
		if !yes {
			return errors.New("nothing was changed")
		}
	}
	broken, err := v.Break(ctx, s.Participant)
	if err != nil {
		return err
	}
	if !broken {
		whose += ": it was given up meanwhile"
	}
	fmt.Fprintln(g.term.out, s.done+":", whose)
	return nil
}
