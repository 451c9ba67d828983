package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/objects/crypt"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/repository"
	"cairn/pipeline/selection"
	"cairn/pipeline/walk"
)

// backupCmd makes an archive.
type backupCmd struct {
	Paths  []string `arg:"" name:"path" help:"What to back up."`
	Init   bool     `help:"Create the repository if there is none yet."`
	DryRun bool     `short:"n" help:"Only say what would be done."`

	exclusion
}

// Help implements kong's longer help.
func (backupCmd) Help() string {
	return `Examples:

    cairn backup --init ~/Documents
    cairn -r /mnt/backup/cairn backup /etc /home --exclude '*.tmp'
    cairn backup / --one-file-system --exclude-caches --exclude /var/tmp/

Files that have not changed since the last backup of the same paths are not
read again. Only what the repository does not have yet is stored.`
}

// Run implements the verb.
func (c *backupCmd) Run(ctx context.Context, g *globals) (err error) {
	roots, err := plan(c.Paths)
	if err != nil {
		return err
	}
	rules, err := c.rules()
	if err != nil {
		return err
	}
	v, err := g.openOrCreate(ctx, c.Init)
	if err != nil {
		return err
	}
	defer v.close(&err)

	run := newBackupRun(g, v, roots)
	run.options.DryRun = c.DryRun
	run.leaveOut(rules)
	run.options.Walk.OneFileSystem = c.OneFileSystem
	a, s, err := run.run(ctx)
	if err != nil {
		return err
	}
	if err := run.report(a, s); err != nil {
		return err
	}
	switch {
	case s.Interrupted && c.DryRun:
		return errInterrupted
	case s.Interrupted:
		return errCheckpoint
	}
	return ended(s.Warnings + v.warnings())
}

// ended is how a verb ends that did its work.
func ended(warnings uint64) error {
	if warnings > 0 {
		return errWarnings
	}
	return nil
}

func plan(paths []string) ([]walk.Root, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	roots, err := walk.Plan(paths, cwd)
	if err != nil {
		return nil, usage(err)
	}
	for _, root := range roots {
		_, err := os.Lstat(root.Source)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("nothing to back up: %s does not exist", name(root.Source))
		}
		if err != nil {
			return nil, fmt.Errorf("nothing to back up: %w", err)
		}
	}
	return roots, nil
}

// openOrCreate opens the repository. If there is none, it is created when the
// user asked for that, or when no repository was named and a person is there
// to read where it is.
func (g *globals) openOrCreate(ctx context.Context, create bool) (*session, error) {
	v, err := g.open(ctx)
	if !errors.Is(err, repository.ErrNotFound) && !errors.Is(err, repository.ErrIncomplete) {
		return v, err
	}
	embedded := g.cli.Repo == ""
	switch {
	case create, embedded && g.term.live:
	case embedded:
		return nil, fmt.Errorf("no repository is named, and %w under the home directory: "+
			"set CAIRN_REPOSITORY or use --repo, or create one there with --init", repository.ErrNotFound)
	default:
		return nil, err
	}
	loc, err := g.location()
	if err != nil {
		return nil, err
	}
	s, err := g.findSecret(ctx)
	if err != nil {
		return nil, err
	}
	if embedded && s.keyFile == "" && s.passphrase == nil {
		p, err := findPlaces()
		if err != nil {
			return nil, err
		}
		s.keyFile = p.defaultKey()
	}
	if err := g.create(ctx, loc, s, crypt.DefaultKDF()); err != nil {
		return nil, err
	}
	if embedded && s.keyFile != "" {
		g.term.warn("repository and key are on the same machine as your files: copy both to another disk, or name a repository there with --repo")
	}
	return g.open(ctx)
}

// backupRun is one backup as a person sees it.
type backupRun struct {
	g        *globals
	options  backup.Options
	v        *session
	progress *backup.Progress
	begun    time.Time
}

func newBackupRun(g *globals, v *session, roots []walk.Root) *backupRun {
	r := &backupRun{g: g, v: v, progress: new(backup.Progress), begun: time.Now()}
	host, login := identity()
	_, zone := r.begun.Zone()
	r.options = backup.Options{
		Roots: roots, Now: time.Now, Progress: r.progress,
		Walk: walk.Options{Skip: v.own()},
		Archive: record.Archive{
			Name: archiveName(v, host, r.begun), Host: host, User: login,
			Series: seriesOf(roots), Version: version(), Zone: int32(zone),
		},
		Warn: func(path string, err error) { g.term.warn("warning: %v", pathError(path, err)) },
		Note: func(path string) {
			if !g.cli.Quiet {
				g.term.warn("left out %s: it belongs to cairn itself", name(path))
			}
		},
	}
	return r
}

// leaveOut makes the run leave out what is selected.
func (r *backupRun) leaveOut(what selection.Options) {
	what.Warn = func(path string, err error) {
		r.progress.Warnings.Add(1)
		r.options.Warn(path, err)
	}
	r.options.Walk.Rules = selection.New(what)
}

// pathError makes sure that what went wrong with a file names it.
func pathError(path string, err error) error {
	if strings.Contains(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", name(path), err)
}

// archiveName is a name that tells archives apart at a glance, and that no
// archive has yet.
func archiveName(v *session, host string, at time.Time) string {
	taken := map[string]bool{}
	for _, a := range v.Archives() {
		taken[a.Name] = true
	}
	short, _, _ := strings.Cut(host, ".")
	base := short + "-" + at.Format("2006-01-02T15:04:05")
	unique := base
	for n := 2; taken[unique]; n++ {
		unique = fmt.Sprintf("%s-%d", base, n)
	}
	return unique
}

// seriesOf names a source after all of its roots.
func seriesOf(roots []walk.Root) string {
	var list []string
	for _, root := range roots {
		list = append(list, root.Source)
	}
	return strings.Join(list, " ")
}

// own returns what must never be in a backup: the repository itself, its
// cache and state, and the key that opens it.
func (v *session) own() []walk.FileID {
	var ids []walk.FileID
	for _, path := range []string{v.location.directory(), v.places.cache, v.places.state, v.keyFile, v.places.defaultKey(), v.passphraseFile} {
		if id, ok := walk.Identify(path); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// run makes the archive. The first signal ends it early with a checkpoint.
func (r *backupRun) run(ctx context.Context) (record.Archive, backup.Summary, error) {
	defer r.g.term.follow(r.g.cli.Quiet, r.line)()
	// The checkpoint is written after the signal, so not under its context.
	return backup.Run(context.WithoutCancel(ctx), ctx, r.v.Repository, r.options)
}

// line is what is shown while the backup runs.
func (r *backupRun) line() string {
	p := r.progress
	elapsed := time.Since(r.begun)
	line := fmt.Sprintf("%s  %s, %s", elapsed.Round(time.Second), count(p.Files.Load(), "file"), size(p.Bytes.Load()))
	if seconds := elapsed.Seconds(); seconds > 1 {
		line += fmt.Sprintf(", read %s/s", humanize.IBytes(uint64(float64(p.Read.Load())/seconds)))
	}
	if path := p.Current.Load(); path != nil {
		line += "  " + name(*path)
	}
	return line
}

// report prints what the backup did.
func (r *backupRun) report(a record.Archive, s backup.Summary) error {
	if r.g.cli.JSON {
		return r.g.term.json(backupResult(a, s, r.options.DryRun, r.v))
	}
	if r.g.cli.Quiet {
		return nil
	}
	t := r.g.term
	if r.options.DryRun {
		_, err := fmt.Fprintf(t.out, "would store: %s new, %s changed; %s unchanged (%s in all)\n",
			count(s.New, "file"), count(s.Changed, "file"), count(s.Unchanged, "file"), size(s.Bytes))
		return err
	}
	what := "archive"
	if s.Interrupted {
		what = "checkpoint"
	}
	_, err := fmt.Fprintf(t.out, "%s %s\n  %s, %s: %d new, %d changed, %d unchanged\n  new data %s, stored %s in %s\n  took %s\n",
		what, a.Name, count(s.Files, "file"), size(s.Bytes), s.New, s.Changed, s.Unchanged,
		size(s.NewBytes), size(s.Stored), count(s.Packs, "pack"), took(s.Took))
	if err == nil && s.Warnings > 0 {
		_, err = fmt.Fprintf(t.out, "  %s: see above\n", count(s.Warnings, "warning"))
	}
	return err
}
