package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// peers compares tools.
type peers struct {
	trees  list
	image  string
	random size
	tiny   int
	runs   int
	names  string

	bucket  *bucket // where repositories are; nil: on disk
	tools   []*tool
	corpora []*corpus
	samples map[cell][]sample
}

// cell is what is measured several times.
type cell struct {
	corpus string // empty for what needs none
	phase  phase
	tool   string
}

// sample is one run.
type sample struct {
	usage
	repo   extent // after the run
	growth int64  // of the repository, bytes
}

func (p *peers) flags(f *flag.FlagSet) {
	f.Var(&p.trees, "tree", "a `directory` to back up; several make one corpus")
	f.StringVar(&p.image, "image", "", "a disk image to back up: a `file`, which is not changed")
	f.Var(&p.random, "random", "`bytes` of an incompressible file")
	f.IntVar(&p.tiny, "tiny", 0, "`number` of files of up to 4 KiB of text")
	f.IntVar(&p.runs, "runs", 3, "`number` of runs, of which the median counts")
	f.StringVar(&p.names, "tools", "cairn,restic,borg", "a `list` from cairn, cairn-passphrase, restic, borg, borg-zstd, floor (cp and find)")
}

func (p *peers) run(ctx context.Context, work string, out io.Writer) error {
	if p.runs < 1 {
		return errors.New("--runs must be at least 1")
	}
	if err := p.findTools(ctx, work, out); err != nil {
		return err
	}
	if err := p.makeCorpora(ctx, filepath.Join(work, "corpora")); err != nil {
		return err
	}
	p.announce()
	p.samples = map[cell][]sample{}
	for round := range p.runs {
		dir := filepath.Join(work, fmt.Sprintf("round-%d", round))
		if err := p.startUp(ctx, filepath.Join(dir, "start-up"), round); err != nil {
			return err
		}
		for _, c := range p.corpora {
			if err := p.round(ctx, filepath.Join(dir, c.name), c, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return p.report(ctx, place(filepath.Join(work, "versions")), out)
}

func (p *peers) findTools(ctx context.Context, work string, out io.Writer) error {
	program := filepath.Join(work, "cairn")
	if err := buildCairn(ctx, program); err != nil {
		return err
	}
	tools, missing, err := choose(known(program), p.names)
	if err != nil {
		return err
	}
	p.tools = tools
	if len(missing) > 0 {
		_, err = fmt.Fprintf(out, "Not installed, left out: %s.\n\n", strings.Join(missing, ", "))
	}
	return err
}

// makeCorpora makes what is to be backed up.
func (p *peers) makeCorpora(ctx context.Context, dir string) error {
	var err error
	if len(p.trees) > 0 {
		err = p.findTrees()
	}
	if p.image != "" {
		err = errors.Join(err, p.makeCorpus(dir, "image", func(c *corpus) error {
			c.original, c.disk = p.image, filepath.Join(c.paths[0], "disk")
			return copyFile(ctx, c.original, c.disk)
		}))
	}
	if p.random > 0 {
		err = errors.Join(err, p.makeCorpus(dir, "random", func(c *corpus) error {
			return writeNoise(filepath.Join(c.paths[0], "noise"), int64(p.random), 0)
		}))
	}
	if p.tiny > 0 {
		err = errors.Join(err, p.makeCorpus(dir, "tiny", func(c *corpus) error {
			return writeTiny(ctx, c.paths[0], p.tiny)
		}))
	}
	return err
}

// findTrees makes a corpus of what is there.
func (p *peers) findTrees() error {
	c := &corpus{name: "tree"}
	for _, tree := range p.trees {
		path, err := filepath.Abs(tree)
		if err != nil {
			return err
		}
		c.paths = append(c.paths, path)
	}
	p.corpora = append(p.corpora, c)
	return c.measure()
}

// makeCorpus makes a corpus in a directory of its own, which fill fills.
func (p *peers) makeCorpus(dir, name string, fill func(c *corpus) error) error {
	c := &corpus{name: name, paths: []string{filepath.Join(dir, name)}}
	if err := os.MkdirAll(c.paths[0], 0o700); err != nil {
		return err
	}
	if err := fill(c); err != nil {
		return err
	}
	if err := touch(c.paths[0]); err != nil {
		return err
	}
	p.corpora = append(p.corpora, c)
	return c.measure()
}

// announce says how much room is needed at most.
func (p *peers) announce() {
	total := int64(0)
	for _, c := range p.corpora {
		total += 2 * c.bytes * int64(p.runs*len(p.tools))
	}
	fmt.Fprintf(os.Stderr, "up to %.1f GB will be written\n", mega(total)/1000)
}

// turns returns the tools in another order for every round.
func (p *peers) turns(round int) []*tool {
	i := round % max(1, len(p.tools))
	return slices.Concat(p.tools[i:], p.tools[:i])
}

// startUp measures what a tool takes to do nothing.
func (p *peers) startUp(ctx context.Context, dir string, round int) error {
	for _, t := range p.turns(round) {
		at := place(filepath.Join(dir, t.name))
		if err := at.make(); err != nil {
			return err
		}
		for _, phase := range []phase{version, initial, empty} {
			if err := p.sample(ctx, "", job{tool: t, at: at, phase: phase}); err != nil {
				return err
			}
		}
	}
	return nil
}

// round runs every phase with every tool, all of them from a new repository.
func (p *peers) round(ctx context.Context, dir string, c *corpus, round int) error {
	if err := c.warm(ctx); err != nil {
		return err
	}
	jobs, err := p.prepare(ctx, dir, c, round)
	if err != nil {
		return err
	}
	latest := first
	for _, phase := range c.phases() {
		if phase == changed {
			if err := c.overwrite(noise{uint64(round)}); err != nil {
				return err
			}
		}
		for _, j := range jobs {
			j.phase, j.latest = phase, latest
			if err := p.sample(ctx, c.name, j); err != nil {
				return err
			}
		}
		latest = phase
	}
	for _, j := range jobs {
		if err := c.verify(j); err != nil {
			return err
		}
	}
	return c.putBack()
}

// prepare makes an empty repository for every tool.
func (p *peers) prepare(ctx context.Context, dir string, c *corpus, round int) ([]job, error) {
	if len(p.tools) == 0 {
		return nil, errors.New("no tool is left to measure")
	}
	var jobs []job
	for _, t := range p.turns(round) {
		j := job{tool: t, at: place(filepath.Join(dir, t.name)), bucket: p.bucket, phase: initial, paths: c.paths}
		if err := j.at.make(); err != nil {
			return nil, err
		}
		if _, err := measure(ctx, j.command(ctx), t.warning); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// sample runs j and keeps what it took.
func (p *peers) sample(ctx context.Context, corpus string, j job) error {
	before, err := j.repoExtent(ctx)
	if err != nil {
		return err
	}
	s := sample{}
	if s.usage, err = measure(ctx, j.command(ctx), j.tool.warning); err != nil {
		return err
	}
	if s.repo, err = j.repoExtent(ctx); err != nil {
		return err
	}
	s.growth = s.repo.bytes - before.bytes
	where := cell{corpus, j.phase, j.tool.name}
	p.samples[where] = append(p.samples[where], s)
	fmt.Fprintf(os.Stderr, "%s %s %s: %v, processor %v\n", corpus, j.phase, j.tool.name,
		s.wall.Round(time.Millisecond), s.cpu.Round(time.Millisecond))
	return nil
}
