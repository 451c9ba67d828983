package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cairn/locking"
	"cairn/pipeline/compact"
)

// errCompacting ends a compaction that a signal stopped between two commits.
var errCompacting = errors.New("interrupted")

// compactCmd frees what no archive needs.
type compactCmd struct {
	DryRun    bool    `short:"n" help:"Only say what would be freed."`
	MaxUnused percent `default:"5" placeholder:"PERCENT" help:"How much of the repository may stay unused rather than be rewritten; 0 frees all, 100 rewrites nothing (default: ${default})."`
	Now       bool    `help:"Delete at once what no archive needs, instead of a day later."`
}

// percent is a share that a person types: 5, 2.5, or 5%.
type percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *percent) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("%q is no share from 0 to 100 percent", text)
	}
	*p = percent(n)
	return nil
}

// Help implements kong's longer help.
func (compactCmd) Help() string {
	return `Finds out what no archive needs any more, above all since archives were deleted,
and frees the room it takes; others may back up and restore meanwhile.

Packs that nothing needs are deleted. Packs that are needed in part are rewritten,
the emptiest first: all of which a fourth is unused, and more until no more than
5 % of the repository is. --max-unused is another share than 5 %, of which five
times as much may be unused of any one pack.

What is freed stays in the store for a day, because a backup or restore that is
under way may still count on it. The next run after that deletes it.

--now deletes it at once. That is refused while anybody writes to the repository
or waits for it. A backup that has not got that far yet, or that was interrupted
by a sleeping machine, may then have to read files again; a restore or check
under way looks again for what was moved. Nothing that is needed is deleted.

Examples:

    cairn compact --dry-run
    cairn compact
    cairn compact --max-unused 0    # as small as can be`
}

// Run implements the verb.
func (c *compactCmd) Run(ctx context.Context, g *globals) (err error) {
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	way := v.location.transfers()
	o := compact.Options{
		MaxUnused: float64(c.MaxUnused), DryRun: c.DryRun, SweepNow: c.Now, Now: time.Now,
		PackTarget: way.pack, ReadMax: way.read / 4, Uploads: way.puts,
		Warn:     func(err error) { v.warn(g.term, err) },
		Progress: new(compact.Progress),
	}
	if c.MaxUnused == 0 {
		o.MaxUnused = -1
	}
	begun := time.Now()
	stop := g.term.follow(g.cli.Quiet, func() string { return compactLine(o.Progress, time.Since(begun)) })
	// The batch under way is committed after the first signal, so not under its
	// context.
	s, err := compact.Run(context.WithoutCancel(ctx), ctx, v.Repository, o)
	stop()
	if err != nil {
		return err
	}
	if err := c.report(g, s, time.Since(begun)); err != nil {
		return err
	}
	if s.Interrupted {
		return errCompacting
	}
	return ended(v.warnings())
}

// compactLine is what is shown while compacting.
func compactLine(p *compact.Progress, elapsed time.Duration) string {
	line := elapsed.Round(time.Second).String() + "  "
	if n, total := p.Swept.Load(), p.SweptTotal.Load(); n < total {
		return line + fmt.Sprintf("deleting what was given up: pack %d of %d", n, total)
	}
	if total := p.PacksTotal.Load(); total > 0 {
		read, needed := p.Read.Load(), p.ReadTotal.Load()
		return line + fmt.Sprintf("packs %d of %d, moving what is needed of them: read %s of %s, written %s%s",
			p.Packs.Load(), total, size(read), size(max(read, needed)), size(p.Written.Load()), remaining(read, needed, elapsed))
	}
	return line + fmt.Sprintf("looking what is needed: archive %d of %d", p.Archives.Load(), p.ArchivesTotal.Load())
}

type compactJSON struct {
	DryRun         bool    `json:"dry_run,omitempty"`
	Packs          uint64  `json:"packs"`
	Bytes          uint64  `json:"bytes"`
	Condemned      uint64  `json:"condemned_packs"`
	CondemnedBytes uint64  `json:"condemned_bytes"`
	Moved          uint64  `json:"rewritten_packs"`
	New            uint64  `json:"new_packs"`
	NewBytes       uint64  `json:"new_bytes"`
	Swept          uint64  `json:"deleted_packs"`
	SweptBytes     uint64  `json:"deleted_bytes"`
	Later          uint64  `json:"later_packs"`
	LaterBytes     uint64  `json:"later_bytes"`
	Unused         uint64  `json:"unused_bytes"`
	Kept           uint64  `json:"kept_packs"`
	Seconds        float64 `json:"seconds"`
}

// report says what was freed, what will be, and when.
func (c *compactCmd) report(g *globals, s compact.Summary, elapsed time.Duration) error {
	if g.cli.JSON {
		return g.summary(compactJSON{
			DryRun: c.DryRun, Packs: s.Packs, Bytes: s.Bytes,
			Condemned: s.Condemned, CondemnedBytes: s.CondemnedBytes, Moved: s.Moved, New: s.New, NewBytes: s.NewBytes,
			Swept: s.Swept, SweptBytes: s.SweptBytes, Later: s.Later, LaterBytes: s.LaterBytes,
			Unused: s.Unused, Kept: s.Kept, Seconds: elapsed.Seconds(),
		})
	}
	if g.cli.Quiet {
		return nil
	}
	for _, line := range c.lines(s) {
		if _, err := fmt.Fprintln(g.term.out, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(g.term.out, "  took %s\n", took(elapsed))
	return err
}

func (c *compactCmd) lines(s compact.Summary) []string {
	lines := []string{fmt.Sprintf("%s, %s", count(s.Packs, "pack"), size(s.Bytes))}
	say := func(n uint64, did, would string, args ...any) {
		if c.DryRun {
			did = would
		}
		if n > 0 {
			lines = append(lines, fmt.Sprintf("  "+did, args...))
		}
	}
	say(s.Swept, "freed %s: %s deleted", "would free %s at once: %s deleted", size(s.SweptBytes), count(s.Swept, "pack"))
	earlier, earlierBytes := s.Later, s.LaterBytes
	if !c.DryRun && !c.Now {
		earlier, earlierBytes = earlier-s.Condemned, earlierBytes-s.CondemnedBytes
		say(s.Condemned, "gave up %s in %s: deleted by the first compact after %s", "", size(s.CondemnedBytes), count(s.Condemned, "pack"),
			time.Now().Add(locking.Grace).Format("2006-01-02 15:04"))
	}
	if c.DryRun {
		when := "would give up %s in %s, and delete them a day later"
		if c.Now {
			when = "would give up %s in %s, and delete them at once"
		}
		say(s.Condemned, "", when, size(s.CondemnedBytes), count(s.Condemned, "pack"))
	}
	say(s.Moved, "rewrote %[1]s: what is needed of them takes %[2]s", "would rewrite %[1]s of these: what is needed of them, about %[2]s, is moved, so that %[3]s in all are freed",
		count(s.Moved, "pack"), size(s.NewBytes), size(s.CondemnedBytes-min(s.NewBytes, s.CondemnedBytes)))
	say(earlier, "%[1]s in %[2]s wait for a day to pass since they were given up", "%[1]s in %[2]s wait for a day to pass since they were given up",
		size(earlierBytes), count(earlier, "pack"))
	say(s.Kept, "%s stay that were to go: they cannot be read, or are needed again", "", count(s.Kept, "pack"))
	if len(lines) == 1 {
		lines[0] += ": nothing to free"
	}
	const worthSaying = 1 << 20
	say(s.Unused/worthSaying, "%s stay unused, in packs that are needed in part (--max-unused)", "%s would stay unused, in packs that are needed in part (--max-unused)", size(s.Unused))
	return lines
}
