package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// narrowing says which archives are meant where there are several.
type narrowing struct {
	Host   string   `placeholder:"HOST" help:"Only archives of this host."`
	Series string   `placeholder:"SERIES" help:"Only archives of this series: what --name was, or else the paths."`
	Path   []string `placeholder:"PATH" sep:"none" help:"Only archives of this path; given several times, of all of them."`
	Tag    []string `placeholder:"TAG" help:"Only archives with this tag; given several times, with all of them."`
	Since  moment   `placeholder:"TIME" help:"Only archives from this time on: 2026-01-31, \"2026-01-31 22:00\", or 36h, 7d, 4w ago."`
	Until  moment   `placeholder:"TIME" help:"Only archives up to this time; a day counts whole."`
}

// keep returns those of the archives that are meant, in their order.
func (n *narrowing) keep(all []repository.Archive) []repository.Archive {
	return slices.DeleteFunc(slices.Clone(all), func(a repository.Archive) bool { return !n.match(&a) })
}

func (n *narrowing) match(a *repository.Archive) bool {
	for _, path := range n.Path {
		if absolute, err := filepath.Abs(path); err == nil {
			path = absolute
		}
		if !slices.ContainsFunc(a.Roots, func(root record.Root) bool { return root.Source == path }) {
			return false
		}
	}
	for _, tag := range n.Tag {
		if !slices.Contains(a.Tags, tag) {
			return false
		}
	}
	return (n.Host == "" || n.Host == a.Host) &&
		(n.Series == "" || n.Series == a.Series) &&
		(n.Since.first.IsZero() || !a.Start.Before(n.Since.first)) &&
		(n.Until.after.IsZero() || a.Start.Before(n.Until.after))
}

// A moment is a point in time as people write it: a whole second, or a whole
// day.
type moment struct {
	first, after time.Time // its first instant, and the first one behind it
}

// UnmarshalText reads a time, a day, or how long ago it was.
func (m *moment) UnmarshalText(text []byte) error {
	typed := string(text)
	if d, ok := ago(typed); ok {
		m.first = time.Now().Add(-d)
		m.after = m.first.Add(time.Second)
		return nil
	}
	t, err := parseTime(typed)
	if err != nil {
		return fmt.Errorf("%w, nor a while ago such as 36h, 7d or 4w", err)
	}
	m.first, m.after = t, t.Add(time.Second)
	if _, err := time.Parse(time.DateOnly, typed); err == nil {
		m.after = t.AddDate(0, 0, 1)
	}
	return nil
}

// ago reads a duration in days or weeks, or as Go writes it.
func ago(typed string) (time.Duration, bool) {
	if m := regexp.MustCompile(`^(\d{1,5})([dw])$`).FindStringSubmatch(typed); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits only
		if m[2] == "w" {
			n *= 7
		}
		return time.Duration(n) * 24 * time.Hour, true
	}
	d, err := time.ParseDuration(typed)
	return d, err == nil && d > 0
}
