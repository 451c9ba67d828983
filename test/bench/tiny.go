package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// series shows what many backups do to the time that the next one takes, and
// to the number of objects: backups of tiny files, one of which changes before
// each. A machine is not equally fast all the time, so what the next one takes
// is in the end also measured in turns with a new repository.
type series struct {
	peers
	store string

	jobs  []job
	young peers // the same tools, with new repositories
	stock []inventory
}

// inventory is what a repository consists of at one moment.
type inventory struct {
	tool, when string
	kinds      map[string]extent
}

const (
	windowRuns = 50 // backups of which the median counts, where there are enough
	steadyRuns = 20 // at one moment of the series
)

func (s *series) flags(f *flag.FlagSet) {
	f.IntVar(&s.runs, "runs", 1000, "`number` of backups, one file changing before each")
	f.IntVar(&s.tiny, "files", 100, "`number` of files of up to 4 KiB of text")
	f.StringVar(&s.names, "tools", "cairn,restic,borg", "a `list` from cairn, cairn-passphrase, restic, borg, borg-zstd")
	f.StringVar(&s.store, "store", "local", "`place` of the repositories: local, or minio, which borg cannot use")
}

func (s *series) run(ctx context.Context, work string, out io.Writer) error {
	if s.runs < 3 || s.tiny < 1 {
		return errors.New("--runs must be at least 3, and --files 1")
	}
	if s.store != "local" && s.store != "minio" {
		return errors.New("--store must be local or minio")
	}
	if err := s.setUp(ctx, work, out); err != nil {
		return err
	}
	if err := s.measureSeries(ctx); err != nil {
		return err
	}
	if err := s.count(ctx, fmt.Sprintf("after %d runs", s.runs)); err != nil {
		return err
	}
	if err := s.measureAges(ctx, filepath.Join(work, "new")); err != nil {
		return err
	}
	// Some keep for a while what they have replaced, in case somebody still
	// reads it: without that they are what they become in the long run.
	if err := s.round(ctx, s.jobs, compacted, 0); err != nil {
		return err
	}
	if err := s.count(ctx, "in the end"); err != nil {
		return err
	}
	return s.report(ctx, place(filepath.Join(work, "versions")), out)
}

// setUp makes the files, and an empty repository for every tool.
func (s *series) setUp(ctx context.Context, work string, out io.Writer) error {
	if err := s.findTools(ctx, work, out); err != nil {
		return err
	}
	if s.store == "minio" {
		if err := s.useBucket(ctx, out); err != nil {
			return err
		}
	}
	if err := s.makeCorpora(ctx, filepath.Join(work, "corpora")); err != nil {
		return err
	}
	var err error
	s.jobs, err = s.prepare(ctx, filepath.Join(work, "repositories"), s.corpora[0], 0)
	return err
}

// useBucket puts all repositories into a bucket. Tools that cannot have them
// there are left out.
func (s *series) useBucket(ctx context.Context, out io.Writer) error {
	var able []*tool
	for _, t := range s.tools {
		if t.s3 != "" {
			able = append(able, t)
		} else if _, err := fmt.Fprintf(out, "No repositories in buckets, left out: %s.\n\n", t.name); err != nil {
			return err
		}
	}
	s.tools = able
	var err error
	s.bucket, err = newBucket(ctx)
	return err
}

func (s *series) measureSeries(ctx context.Context) error {
	s.samples = map[cell][]sample{}
	for run := range steadyRuns {
		if err := s.round(ctx, s.jobs, empty, run); err != nil {
			return err
		}
	}
	for run := range s.runs {
		if err := s.change(run); err != nil {
			return err
		}
		if err := s.round(ctx, s.jobs, s.phase(run), run); err != nil {
			return err
		}
	}
	return nil
}

// count keeps what all repositories consist of.
func (s *series) count(ctx context.Context, when string) error {
	for _, j := range s.jobs {
		kinds, err := j.contents(ctx)
		if err != nil {
			return err
		}
		s.stock = append(s.stock, inventory{j.tool.name, when, kinds})
	}
	return nil
}

// measureAges measures the next backups beside those of new repositories.
func (s *series) measureAges(ctx context.Context, dir string) error {
	s.young = s.peers
	s.young.tools = nil
	for _, t := range s.tools {
		t := *t
		t.name += "-new"
		s.young.tools = append(s.young.tools, &t)
	}
	jobs, err := s.young.prepare(ctx, dir, s.corpora[0], 0)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		j.phase = first
		if _, err := measure(ctx, j.command(ctx), j.tool.warning); err != nil {
			return err
		}
	}
	jobs = slices.Concat(s.jobs, jobs)
	for run := range steadyRuns {
		if err := s.change(s.runs + run); err != nil {
			return err
		}
		for _, phase := range []phase{changed, unchanged} {
			if err := s.round(ctx, jobs, phase, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// change writes one file anew, another one than for the run before.
func (s *series) change(run int) error {
	return noise{uint64(run)}.writeFile(tinyPath(s.corpora[0].paths[0], run%s.tiny), tinyMax)
}

// round runs one phase of all jobs, in another order each time.
func (s *series) round(ctx context.Context, jobs []job, phase phase, run int) error {
	for i := range jobs {
		j := jobs[(i+run)%len(jobs)]
		j.phase, j.archive = phase, fmt.Sprintf("%s %d", phase, run)
		if err := s.sample(ctx, s.corpora[0].name, j); err != nil {
			return err
		}
	}
	return nil
}

// span is some of the runs, counted from 0, without the last.
type span struct{ from, to int }

func (w span) phase() phase { return phase(fmt.Sprintf("runs %d to %d", w.from+1, w.to)) }

// windows returns the runs that are reported: at the beginning, in the middle
// and at the end.
func (s *series) windows() []span {
	n := min(windowRuns, s.runs/3)
	middle := (s.runs - n) / 2
	return []span{{0, n}, {middle, middle + n}, {s.runs - n, s.runs}}
}

// phase returns the phase that run belongs to.
func (s *series) phase(run int) phase {
	for _, w := range s.windows() {
		if w.from <= run && run < w.to {
			return w.phase()
		}
	}
	return "between"
}

func (s *series) report(ctx context.Context, at place, out io.Writer) error {
	var b strings.Builder
	if err := s.versions(ctx, at, &b); err != nil {
		return err
	}
	phases := []phase{empty}
	for _, w := range s.windows() {
		phases = append(phases, w.phase())
	}
	c, all := s.corpora[0], s.peers
	all.tools = slices.Concat(s.tools, s.young.tools)
	all.table(&b, fmt.Sprintf("%d backups of %.1f MB in %d files, store: %s; medians", s.runs, mega(c.bytes), c.files, s.store),
		c.name, append(phases, changed, unchanged, compacted)...)
	b.WriteString("\nWhat the repositories consist of\n\n")
	header(&b, "tool and when", "kind", "objects", "MB")
	for _, i := range s.stock {
		for _, kind := range slices.Sorted(maps.Keys(i.kinds)) {
			fmt.Fprintf(&b, "| %s %s | %s | %d | %.3f |\n", i.tool, i.when, kind, i.kinds[kind].files, mega(i.kinds[kind].bytes))
		}
	}
	fmt.Fprintf(&b, "\nlist: of the empty repository, which is what opening one takes; runs: one file changes before each;\n"+
		"changed, unchanged: after all of them, in turns with a new repository; N = %d where a row does not say it;\n"+
		"compact: at last, N = 1, whatever else may still need what is removed; in the end: after that; processor: without that of servers; other columns as of bench peers.\n", steadyRuns)
	_, err := io.WriteString(out, b.String())
	return err
}
