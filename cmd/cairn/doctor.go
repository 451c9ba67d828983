package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"cairn/backend/probe"
	"cairn/pipeline/repository"
)

// doctorCmd tries out what a store can do.
type doctorCmd struct{}

// Help implements kong's longer help.
func (doctorCmd) Help() string {
	return `Tries out what cairn relies on in the place of a repository: that what was
written is there at once, that of several who write the same at the same time one
wins, and so on; and how far away the place is. It needs no key, changes nothing,
and removes what it writes (4 MiB and some small objects). In a bucket it works
before there is a repository, too:

    cairn doctor
    cairn -r s3://my-bucket/cairn doctor

The exit code is 0 if all is well, 1 if something could be better, and 2 if the
place cannot keep a repository.`
}

// examinee is a store to examine, and what only its kind knows.
type examinee struct {
	probe.Subject
	flushing func(ctx context.Context) (finding, error) // nil: every store of this kind does
}

// finding is one line of what doctor says.
type finding struct {
	Property probe.Property `json:"property"`
	Result   verdict        `json:"result"`
	Seen     string         `json:"seen"`
}

// verdict is how good something is.
type verdict string

// The verdicts. A store with something bad cannot keep a repository.
const (
	good verdict = "ok"
	weak verdict = "weak"
	bad  verdict = "bad"
)

// What else there is to find besides what package probe tries.
const (
	flushing probe.Property = "flush"
	clocks   probe.Property = "clock"
)

// doctorJSON is what doctor found, in a line.
type doctorJSON struct {
	Repository string    `json:"repository"`
	Findings   []finding `json:"findings"`
	Latency    float64   `json:"latency_seconds"`
	Up         float64   `json:"upload_bytes_per_second"`
	Down       float64   `json:"download_bytes_per_second"`
	Clock      float64   `json:"clock_ahead_seconds"`
	Verdict    string    `json:"verdict"` // of the register: cas, create-only, none
}

// errUnfit ends a doctor who found something bad.
var errUnfit = errors.New("this place cannot keep a repository as it is")

// probeName returns a name for something that a probe makes.
func probeName() string { return "probe-" + rand.Text() }

// Run implements the verb.
func (c *doctorCmd) Run(ctx context.Context, g *globals) error {
	loc, err := g.location()
	if err != nil {
		return err
	}
	e, err := examineePlace(ctx, loc)
	if err != nil {
		return err
	}
	defer g.term.clear()
	e.Now = time.Now
	e.Begins = func(p probe.Property) {
		if g.term.live && !g.cli.Quiet {
			g.term.status("trying: " + string(p))
		}
	}
	report, err := probe.Examine(ctx, e.Subject)
	var findings []finding
	if err == nil {
		findings, err = e.findings(ctx, report)
	}
	if err := errors.Join(err, e.Store.Close()); err != nil {
		return fmt.Errorf("examine %s: %w", loc, err)
	}
	g.term.clear()
	if err := g.sayFindings(loc, findings, report); err != nil {
		return err
	}
	return judged(findings)
}

// examineePlace opens what is at loc.
func examineePlace(ctx context.Context, loc location) (examinee, error) {
	is, err := loc.find(ctx)
	_, bucket := loc.(*bucket)
	switch {
	case err != nil:
		return examinee{}, fmt.Errorf("examine %s: %w", loc, err)
	case is == foreign:
		return examinee{}, fmt.Errorf("examine %s: it holds something else; name the place of a repository", loc)
	case is == noBucket:
		return examinee{}, fmt.Errorf("examine %s: there is no such bucket: look at the name, or make it with: cairn init --create-bucket", loc)
	case is == nothing && !bucket:
		return examinee{}, fmt.Errorf("%w at %s", repository.ErrNotFound, loc)
	}
	e, err := loc.examine(ctx)
	if err != nil {
		return e, fmt.Errorf("examine %s: %w", loc, err)
	}
	return e, nil
}

// judged is how the run ends.
func judged(findings []finding) error {
	worst := good
	for _, f := range findings {
		if f.Result == bad || worst == good {
			worst = f.Result
		}
	}
	switch worst {
	case bad:
		return errUnfit
	case weak:
		return errWarnings
	}
	return nil
}

// findings puts a report into words.
func (e *examinee) findings(ctx context.Context, r *probe.Report) ([]finding, error) {
	var all []finding
	for _, f := range r.Findings {
		line := finding{Property: f.Property, Result: good, Seen: sawGood(f.Property, r)}
		if f.Err != nil {
			line.Result, line.Seen = bad, sawBad(f)
			switch {
			case f.Property == probe.Checksum:
				line.Result = weak // what is read is verified all the same
			case f.Property == probe.Delete && r.Left:
				line.Seen += fmt.Sprintf("; objects are left whose names begin with %s", r.Key)
			}
		}
		all = append(all, line)
	}
	if e.flushing != nil {
		f, err := e.flushing(ctx)
		if err != nil {
			return nil, err
		}
		f.Property = flushing
		all = append(all, f)
	}
	if r.Within > 0 {
		all = append(all, sawClock(r))
	}
	return all, nil
}

// sawGood says what is known of a property that holds.
func sawGood(p probe.Property, r *probe.Report) string {
	switch p {
	case probe.Reach:
		return fmt.Sprintf("a small request takes %s", short(r.Latency))
	case probe.Write:
		return fmt.Sprintf("one object of 4 MiB, at %s/s", size(uint64(r.Up)))
	case probe.Read:
		return fmt.Sprintf("the same bytes come back at once, at %s/s", size(uint64(r.Down)))
	case probe.Part:
		return "bytes from the middle of an object can be read alone"
	case probe.List:
		return "what was written is listed at once"
	case probe.Once:
		return "of several that create an object at the same time one does"
	case probe.Delete:
		return "what was deleted is gone at once"
	case probe.Checksum:
		return "what changes on its way to the store is refused by it"
	case probe.Swap:
		if r.Verdict == probe.CreateOnly {
			return "of several that write at the same time one does, by new objects only (create-only)"
		}
		return "of several that write at the same time one does (cas)"
	}
	return ""
}

// sawBad says what is wrong, and what that means.
func sawBad(f probe.Finding) string {
	_, says, broken := strings.Cut(f.Err.Error(), probe.ErrBroken.Error()+": ")
	if !broken {
		return f.Err.Error()
	}
	switch f.Property {
	case probe.Once:
		says += ": two cairns would overwrite each other's objects"
	case probe.Swap:
		says += ": of two cairns that write at the same time one would undo the other's commit; in a bucket, init --single-writer goes on with only one"
	case probe.Read, probe.List:
		says += ": a backup that follows another would not see it"
	}
	return says
}

// clockTolerated is how wrong a clock may be: stores refuse requests when it is a
// quarter of an hour.
const clockTolerated = 5 * time.Minute

func sawClock(r *probe.Report) finding {
	f := finding{Property: clocks, Result: good}
	ahead := r.Clock.Round(time.Second)
	switch {
	case r.Clock.Abs() <= r.Within/2+time.Second: // stores tell whole seconds
		f.Seen = "the store's is this machine's"
	case r.Clock > 0:
		f.Seen = fmt.Sprintf("the store's is %s ahead of this machine's", ahead)
	default:
		f.Seen = fmt.Sprintf("the store's is %s behind this machine's", -ahead)
	}
	if r.Clock.Abs() > clockTolerated {
		f.Result = weak
		f.Seen += ": set the one that is wrong, as with: timedatectl set-ntp true"
	}
	return f
}

// short returns a short duration for people.
func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return took(d)
}

func (g *globals) sayFindings(loc location, findings []finding, r *probe.Report) error {
	if g.cli.JSON {
		return g.term.json(doctorJSON{
			Repository: loc.String(), Findings: findings, Latency: r.Latency.Seconds(), Up: r.Up, Down: r.Down,
			Clock: r.Clock.Seconds(), Verdict: r.Verdict.String(),
		})
	}
	w := tabwriter.NewWriter(g.term.out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		result := string(f.Result)
		if f.Result == bad {
			result = strings.ToUpper(result)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Property, result, f.Seen)
	}
	return w.Flush()
}
