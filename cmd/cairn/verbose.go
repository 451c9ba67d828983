package main

import (
	"fmt"
	"time"

	"cairn/pipeline/backup"
	"cairn/pipeline/repository"
)

// verbosity is how often --verbose was given.
type verbosity int

const (
	details   verbosity = 1 // what a run goes by, and figures
	everyFile verbosity = 2 // likewise what becomes of every file, and why
)

// verbose reports whether as much as level was asked for.
func (g *globals) verbose(level verbosity) bool { return g.cli.Verbose >= level }

// detail tells, with -v, what is good to know and nobody has to.
func (g *globals) detail(format string, args ...any) {
	if g.verbose(details) {
		g.term.warn(format, args...)
	}
}

// opened tells which repository it is, and in what state.
func (g *globals) opened(v *session) {
	state := v.State()
	g.detail("repository %s (%s): commit %d, %s, %s", name(v.location.String()), v.Config.Repository,
		state.Generation, count(uint64(state.Archives.Len()), "archive"), count(uint64(state.Packs.Len()), "pack"))
}

// goesBy tells which archive it is that a run reads, or compares with.
func (g *globals) goesBy(does string, a *repository.Archive) {
	g.detail("%s %s (%s): made at %s by %s, %s, %s", does, name(a.Name), a.ID.Short(),
		a.Start.Local().Format(time.DateTime), who(a.User, a.Host), count(a.Files, "file"), size(a.Size))
}

// compared tells what a backup is compared with.
func (g *globals) compared(with []repository.Archive) {
	for i := range with {
		g.goesBy("comparing with", &with[i])
	}
	if len(with) == 0 {
		g.detail("comparing with nothing: no archive is of this host, series and paths")
	}
}

// figures tells what a backup's result does not.
func (r *backupRun) figures(s backup.Summary) {
	r.g.detail("%s, %s; read %s; %s; %s", count(s.Dirs, "directory"), count(s.Others, "other entry"),
		size(s.Read), count(s.NewChunks, "new chunk"), count(r.progress.Checkpoints.Load(), "checkpoint"))
}

// listed prints what became of one path, and with -vv why, if there is a why. An
// error of the output comes up again with the summary.
func (g *globals) listed(status byte, path, why string) {
	t := g.term
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
	if !g.verbose(everyFile) {
		why = ""
	}
	if g.cli.JSON {
		line := statusJSON{Status: string(rune(status)), Why: why}
		line.Path, line.PathQuoted = text(path)
		_ = writeJSON(t.out, line)
		return
	}
	if t.outIsTTY {
		path = name(path)
	}
	if why != "" {
		path += " (" + why + ")"
	}
	fmt.Fprintf(t.out, "%c %s\n", status, path)
}
