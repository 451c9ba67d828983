package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"cairn/pipeline/check"
)

// errDamaged ends a check that found damage.
var errDamaged = errors.New("the repository is damaged")

// checkCmd checks the repository.
type checkCmd struct {
	ReadData bool `help:"Read all file data too, not only what says where it is."`
}

// Help implements kong's longer help.
func (checkCmd) Help() string {
	return `Reads the tree of every archive, and looks whether all that it names is stored
and every pack is there in its full length. With --read-data every byte is read,
decrypted and compared with the hash that names it, which takes as long as
reading the whole repository.

What is damaged, and which files that affects, is named. Nothing is changed in
the repository; backups from this machine store again what the damaged packs
held, where it is still to be had.

Examples:

    cairn check
    cairn check --read-data`
}

// Run implements the verb.
func (c *checkCmd) Run(ctx context.Context, g *globals) (err error) {
	// The cache must not vouch for what is checked: this run has its own.
	cache, err := os.MkdirTemp("", "cairn-check-")
	if err != nil {
		return fmt.Errorf("make a temporary index: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cache)) }()
	v, err := g.openWithCache(ctx, cache)
	if err != nil {
		return err
	}
	defer v.close(&err)

	o := check.Options{
		Progress: new(check.Progress),
		Problem:  func(err error) { g.term.warn("%v", err) },
		Warn:     func(err error) { v.warn(g.term, err) },
	}
	if c.ReadData {
		o.Depth = check.ReadData
	}
	begun := time.Now()
	stop := g.term.follow(g.cli.Quiet, func() string {
		p := o.Progress
		return fmt.Sprintf("%s  packs %d of %d, archives %d of %d, %s",
			time.Since(begun).Round(time.Second), p.Packs.Load(), p.PacksTotal.Load(),
			p.Archives.Load(), p.ArchivesTotal.Load(), size(p.Bytes.Load()))
	})
	s, err := check.Run(ctx, v.Repository, o)
	stop()
	if err != nil {
		return err
	}
	// From now on these packs vouch for nothing here: what they held is stored
	// again by the next backup that comes across it.
	if err := v.Distrust(s.Bad...); err != nil {
		return err
	}
	return c.report(g, v, s, time.Since(begun))
}

type checkJSON struct {
	Packs        uint64  `json:"packs"`
	Archives     uint64  `json:"archives"`
	Entries      uint64  `json:"entries"`
	BytesRead    uint64  `json:"bytes_read"`
	Unreferenced uint64  `json:"unreferenced_packs"`
	Problems     uint64  `json:"problems"`
	Seconds      float64 `json:"seconds"`
}

func (c *checkCmd) report(g *globals, v *session, s check.Summary, elapsed time.Duration) error {
	var err error
	switch {
	case g.cli.JSON:
		err = g.summary(checkJSON{s.Packs, s.Archives, s.Entries, s.Bytes, s.Unreferenced, s.Problems, elapsed.Seconds()})
	case !g.cli.Quiet:
		read := ""
		if c.ReadData {
			read = fmt.Sprintf(" (%s, read whole)", size(s.Bytes))
		}
		_, err = fmt.Fprintf(g.term.out, "checked %s, %s, %s%s in %s\n",
			count(s.Archives, "archive"), count(s.Entries, "entry"), count(s.Packs, "pack"), read, took(elapsed))
		if err == nil && s.Unreferenced > 0 {
			_, err = fmt.Fprintf(g.term.out, "  %s more that no archive needs: of a backup under way, or left by an interrupted one for the next to take over; no damage\n", count(s.Unreferenced, "pack"))
		}
		if err == nil && s.Problems == 0 && v.warnings() == 0 {
			_, err = fmt.Fprintln(g.term.out, "  no damage found")
		}
	}
	if err != nil {
		return err
	}
	if s.Problems > 0 {
		return fmt.Errorf("%w: %s, see above; archives that are not named can be restored whole, and the next backup stores again what is missing and still on this machine", errDamaged, count(s.Problems, "problem"))
	}
	return ended(v.warnings())
}
