package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/compact"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
	"cairn/pipeline/selection"
	"cairn/pipeline/walk"
)

// backupCmd makes an archive.
type backupCmd struct {
	Paths              []string `arg:"" optional:"" name:"path" help:"What to back up; - for standard input."`
	Init               bool     `help:"Create the repository if there is none yet."`
	DryRun             bool     `short:"n" help:"Only say what would be done."`
	List               bool     `help:"List everything with a letter: A added, M modified, U unchanged, C changed while it was read, E could not be read, x left out."`
	SkipIfUnchanged    bool     `help:"Make no archive if it would say what the one before says."`
	Compression        string   `enum:"none,fastest,default,better,auto" default:"auto" placeholder:"LEVEL" help:"none, fastest, default, better, or auto: fastest, where it looks as if it paid (default: ${default})."`
	CheckpointInterval wait     `default:"5m" placeholder:"TIME" help:"How often to commit what has been reached, so that a backup that is cut short loses nothing (default: ${default})."`

	sources
	naming
	changes
	keeping
	exclusion
}

// changes say what counts as a change of a file.
type changes struct {
	IgnoreInode bool `help:"A file is unchanged whatever its inode: for network file systems that make them up."`
	IgnoreCtime bool `help:"A file is unchanged whatever the time of change of its inode, which chmod, chown and restores set."`
	Force       bool `help:"Read all files, changed or not."`
}

// Help implements kong's longer help.
func (backupCmd) Help() string {
	return `Examples:

    cairn backup --init ~/Documents
    cairn -r /mnt/backup/cairn backup /etc /home --exclude '*.tmp'
    cairn backup / --one-file-system --exclude-caches --exclude /var/tmp/
    cairn backup --stdin-name db.sql --stdin-command -- pg_dump db
    cairn backup --read-special /dev/vg/snapshot

Files that have not changed since the last backup of the same paths are not
read again. Only what the repository does not have yet is stored.`
}

// Run implements the verb.
func (c *backupCmd) Run(ctx context.Context, g *globals) (err error) {
	from, err := c.find(ctx, c.Paths)
	if err != nil {
		return err
	}
	rules, err := c.rules()
	if err != nil {
		return err
	}
	names, err := c.names()
	if err != nil {
		return err
	}
	v, err := g.openOrCreate(ctx, c.Init)
	if err != nil {
		return err
	}
	defer v.close(&err)

	run := newBackupRun(g, v, from, names)
	c.options(&run.options)
	if c.List || g.verbose(everyFile) {
		run.list(&rules)
	}
	run.leaveOut(rules)
	a, s, err := run.run(ctx)
	if err != nil {
		return err
	}
	run.figures(s)
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

// options sets what the flags say.
func (c *backupCmd) options(o *backup.Options) {
	o.DryRun, o.SkipUnchanged = c.DryRun, c.SkipIfUnchanged
	o.CheckpointEvery = time.Duration(c.CheckpointInterval)
	o.ReadAll, o.IgnoreInode, o.IgnoreChangeTime = c.Force, c.IgnoreInode, c.IgnoreCtime
	o.AccessTimes, o.BirthTimes, o.Labels = c.Atime, c.Btime, c.keeping.labels()
	o.ReadSpecial, o.Fixed = c.ReadSpecial, c.sizes()
	o.Walk.OneFileSystem = c.OneFileSystem
	switch c.Compression {
	case "none":
		o.Try = packer.None
	case "fastest":
		o.Try = packer.All
	case "default":
		o.Try, o.Level = packer.All, pack.Default
	case "better":
		o.Try, o.Level = packer.All, pack.Better
	}
}

// ended is how a verb ends that did its work.
func ended(warnings uint64) error {
	if warnings > 0 {
		return errWarnings
	}
	return nil
}

// planRoots returns the roots that paths name, there or not.
func planRoots(paths []string) ([]walk.Root, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	roots, err := walk.Plan(paths, cwd)
	if err != nil {
		return nil, usage(err)
	}
	return roots, nil
}

// plan returns the roots that paths name, all of which are there.
func plan(paths []string) ([]walk.Root, error) {
	roots, err := planRoots(paths)
	if err != nil {
		return nil, err
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
	if err := g.create(ctx, loc, s, crypt.DefaultKDF(), making{}); err != nil {
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
	expected uint64 // bytes: what the last archive of the same paths holds; 0: there is none
}

func newBackupRun(g *globals, v *session, from source, names names) *backupRun {
	r := &backupRun{g: g, v: v, progress: new(backup.Progress), begun: time.Now()}
	_, zone := names.time.Zone()
	r.options = backup.Options{
		Roots: from.roots, Stream: from.stream, Now: time.Now, Progress: r.progress, PackTarget: v.location.transfers().pack,
		Walk: walk.Options{Skip: v.own()},
		Archive: record.Archive{
			Name: names.archive(v), Host: names.host, User: names.user, Start: names.start,
			Series: cmp.Or(names.series, from.series), Roots: from.recorded, Comment: names.comment, Tags: names.tags,
			Version: version(), Zone: int32(zone),
		},
		Warn: func(path string, err error) { g.term.warn("warning: %v", pathError(path, err)) },
		Note: func(path string) {
			if !g.cli.Quiet {
				g.term.warn("left out %s: it belongs to cairn itself", name(path))
			}
		},
		Earlier: g.compared,
	}
	for a := range v.State().Archives.Backward() {
		if a.Kind == record.Full && a.Host == r.options.Archive.Host && a.Series == r.options.Archive.Series {
			r.expected = a.Size
			break
		}
	}
	return r
}

// list makes the run print what becomes of everything, as it goes.
func (r *backupRun) list(rules *selection.Options) {
	r.options.List = func(s backup.Status, why backup.Difference, path string) {
		r.g.listed(byte(s), path, why.String())
	}
	rules.Told = func(path string, why selection.Why) { r.g.listed('x', path, string(why)) }
}

// leaveOut makes the run leave out what is selected.
func (r *backupRun) leaveOut(what selection.Options) {
	what.Warn = func(path string, err error) {
		r.progress.Warnings.Add(1)
		r.options.Warn(path, err)
	}
	r.options.Walk.Rules = selection.New(what)
}

// own returns what must never be in a backup: the repository itself, its
// cache and state, and the key that opens it.
func (v *session) own() []walk.FileID {
	var ids []walk.FileID
	for _, path := range v.ownPaths() {
		if id, ok := walk.Identify(path); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// ownPaths returns the paths of what is cairn's own, there or not.
func (v *session) ownPaths() []string {
	return []string{v.location.directory(), v.places.cache, v.places.state, v.keyFile, v.places.defaultKey(), v.passphraseFile}
}

// run makes the archive. The first signal ends it early with a checkpoint.
func (r *backupRun) run(ctx context.Context) (record.Archive, backup.Summary, error) {
	defer r.g.term.follow(r.g.cli.Quiet, r.line)()
	// The checkpoint is written after the signal, so not under its context.
	a, s, err := backup.Run(context.WithoutCancel(ctx), ctx, r.v.Repository, r.options)
	if err == nil && !r.options.DryRun {
		r.join(ctx)
	}
	return a, s, err
}

// join keeps packs few: see compact.Join. The archive is made, whatever becomes
// of it.
func (r *backupRun) join(ctx context.Context) {
	_, err := compact.Join(context.WithoutCancel(ctx), ctx, r.v.Repository, compact.Options{
		Now: time.Now, PackTarget: r.options.PackTarget,
	})
	if err != nil {
		r.g.term.warn("warning: the archive is made; small packs were left as they are: %v", err)
	}
}

// line is what is shown while the backup runs.
func (r *backupRun) line() string {
	p := r.progress
	elapsed := time.Since(r.begun)
	line := fmt.Sprintf("%s  %s, %s", elapsed.Round(time.Second), count(p.Files.Load(), "file"), size(p.Bytes.Load()))
	if seconds := elapsed.Seconds(); seconds > 1 {
		line += fmt.Sprintf(", read %s/s", humanize.IBytes(uint64(float64(p.Read.Load())/seconds)))
	}
	line += remaining(p.Bytes.Load(), r.expected, elapsed)
	if path := p.Current.Load(); path != nil {
		line += "  " + name(*path)
	}
	return line
}

// report prints what the backup did.
func (r *backupRun) report(a record.Archive, s backup.Summary) error {
	if s.Skipped && !r.g.cli.JSON {
		return r.skipped(a)
	}
	if r.g.cli.JSON {
		return r.g.summary(backupResult(a, s, r.options.DryRun, r.v))
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
		size(s.NewBytes), size(s.Stored), count(s.Packs, "pack"), tookWaiting(s))
	if err == nil && s.Warnings > 0 {
		_, err = fmt.Fprintf(t.out, "  %s: see above\n", count(s.Warnings, "warning"))
	}
	return err
}

// tookWaiting says how long the backup took, and how much of that it had to wait.
func tookWaiting(s backup.Summary) string {
	if s.Waited < time.Second {
		return took(s.Took)
	}
	return fmt.Sprintf("%s, %s of it waiting for others who wrote", took(s.Took), took(s.Waited))
}

// skipped says that no archive was made.
func (r *backupRun) skipped(a record.Archive) error {
	if r.g.cli.Quiet {
		return nil
	}
	_, err := fmt.Fprintf(r.g.term.out, "nothing has changed since %s: no archive was made\n", name(a.Name))
	return err
}
