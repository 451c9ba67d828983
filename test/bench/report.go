package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report writes the medians of all samples.
func (p *peers) report(ctx context.Context, at place, out io.Writer) error {
	var b strings.Builder
	if err := p.versions(ctx, at, &b); err != nil {
		return err
	}
	p.table(&b, fmt.Sprintf("Start-up, on an empty repository; medians of %d", p.runs), "", version, initial, empty)
	for _, c := range p.corpora {
		p.table(&b, fmt.Sprintf("%s: %.1f MB in %d files", c.name, mega(c.bytes), c.files), c.name, c.phases()...)
	}
	b.WriteString("\nprocessor: user + system; sync: what a sync takes afterwards; private: peak of RssAnon + RssShmem,\n" +
		"resident: of VmRSS, both of the process tree, sampled; 1 MB = 10^6 bytes.\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func (p *peers) versions(ctx context.Context, at place, b *strings.Builder) error {
	if err := at.make(); err != nil {
		return err
	}
	for _, t := range p.tools {
		text, err := (&job{tool: t, at: at, phase: version}).command(ctx).Output()
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		fmt.Fprintf(b, "- %s: %s\n", t.name, line)
	}
	return nil
}

// table writes the medians of one corpus. Ratios are to the first tool, which
// all phases were run with.
func (p *peers) table(b *strings.Builder, title, corpus string, phases ...phase) {
	fmt.Fprintf(b, "\n%s\n\n", title)
	header(b, "", "tool", "wall s", "ratio", "processor s", "sync s", "private MB", "resident MB", "growth MB", "repository MB", "files")
	for _, phase := range phases {
		base := median(p.samples[cell{corpus, phase, p.tools[0].name}], wall)
		for _, t := range p.tools {
			s := p.samples[cell{corpus, phase, t.name}]
			if len(s) == 0 {
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %.3f | %.2f | %.3f | %.3f | %.1f | %.1f | %.3f | %.3f | %d |\n", phase, t.name,
				median(s, wall).Seconds(), float64(median(s, wall))/float64(base),
				median(s, func(s sample) time.Duration { return s.cpu }).Seconds(),
				median(s, func(s sample) time.Duration { return s.sync }).Seconds(),
				mega(median(s, func(s sample) int64 { return s.private })),
				mega(median(s, func(s sample) int64 { return s.resident })),
				mega(median(s, func(s sample) int64 { return s.growth })),
				mega(median(s, func(s sample) int64 { return s.repo.bytes })),
				median(s, func(s sample) int64 { return s.repo.files }))
		}
	}
}

// header writes the first two lines of a table. Columns are numbers, except
// for the first two.
func header(b *strings.Builder, names ...string) {
	fmt.Fprintf(b, "| %s |\n|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---:|", len(names)-2))
}

func wall(s sample) time.Duration { return s.wall }

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }

// median returns the median of one figure of samples, of which there is one at
// least; of an even number the lower one.
func median[T cmp.Ordered](samples []sample, figure func(sample) T) T {
	figures := make([]T, len(samples))
	for i, s := range samples {
		figures[i] = figure(s)
	}
	slices.Sort(figures)
	return figures[(len(figures)-1)/2]
}
