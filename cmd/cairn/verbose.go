package main

// verbosity is how often --verbose was given.
type verbosity int

const details verbosity = 1 // what a run goes by, and figures

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
		state.Generation, count(uint64(len(state.Archives)), "archive"), count(uint64(len(state.Packs)), "pack"))
}
