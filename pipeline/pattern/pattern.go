// Package pattern reads lists of patterns that say which paths are meant, in
// the manner of gitignore.
//
//	*.o          anything of that name, at any depth
//	build/       directories of that name only
//	src/*.log    these two components, at any depth
//	/home/*/tmp  a path from the root on
//	**           any number of components
//	!keep.o      not this, whatever an earlier pattern says
//
// The last pattern that matches a path decides. *, ? and [a-z] do not match
// the slash; a backslash takes the next character literally.
package pattern

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// List is a list of patterns. The zero List matches nothing. It is safe for
// concurrent use once nothing is added any more.
type List struct {
	patterns []compiled
}

type compiled struct {
	glob    string // matched against a path without its leading slash
	negated bool
	dirOnly bool
	plain   bool // glob is one component: matched against the last one of a path
}

// Add appends one pattern.
func (l *List) Add(pattern string) error {
	c := compiled{glob: pattern}
	c.glob, c.negated = strings.CutPrefix(c.glob, "!")
	c.glob, c.dirOnly = strings.CutSuffix(c.glob, "/")
	anchored := strings.HasPrefix(c.glob, "/")
	c.glob = strings.TrimPrefix(c.glob, "/")
	c.plain = !anchored && !strings.Contains(c.glob, "/")
	if !anchored && !c.plain {
		c.glob = "**/" + c.glob
	}
	if c.glob == "" {
		return fmt.Errorf("pattern %q: is empty", pattern)
	}
	if !doublestar.ValidatePattern(c.glob) {
		return fmt.Errorf("pattern %q: %w", pattern, errors.New("a bracket or brace is not closed"))
	}
	l.patterns = append(l.patterns, c)
	return nil
}

// Read appends the patterns of r, one a line. Empty lines and those that
// begin with # are passed over.
func (l *List) Read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \t\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := l.Add(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// Empty reports whether l matches nothing.
func (l *List) Empty() bool { return len(l.patterns) == 0 }

// Kind says what a path names.
type Kind uint8

const (
	Other Kind = iota
	Directory
)

// Match reports whether path is meant: absolute, or relative to where the
// patterns' leading slash stands.
func (l *List) Match(path string, kind Kind) bool {
	path = strings.TrimPrefix(path, "/")
	base := path[strings.LastIndexByte(path, '/')+1:]
	matched := false
	for i := range l.patterns {
		c := &l.patterns[i]
		if c.dirOnly && kind != Directory || c.negated != matched {
			continue // it does not apply, or would change nothing
		}
		subject := path
		if c.plain {
			subject = base
		}
		if doublestar.MatchUnvalidated(c.glob, subject) {
			matched = !c.negated
		}
	}
	return matched
}
