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
// the slash; a backslash takes the next character literally; braces stand for
// themselves.
//
// In a list that lies in a directory, as .gitignore does (ReadInside), the root is
// that directory, and a slash inside a pattern ties it to it like one in front.
package pattern

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
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
	how     comparison
	negated bool
	dirOnly bool
	plain   bool // glob is one component: matched against the last one of a path
}

// comparison is how a glob is matched: most need no more than a comparison of
// strings.
type comparison uint8

const (
	wild   comparison = iota
	equal             // the path is glob
	ending            // the path ends in glob
)

// place says where a list of patterns stands.
type place uint8

const (
	outside place = iota // a command line, or a file named there
	inside               // a file in the tree
)

var (
	errEmpty   = errors.New("is empty")
	errBracket = errors.New("a bracket is not closed")
	errDots    = errors.New("no path has a component . or .. : begin with / or with a name")
)

// Add appends one pattern.
func (l *List) Add(pattern string) error { return l.add(pattern, outside) }

func (l *List) add(pattern string, from place) error {
	c, err := compile(pattern, from)
	if err != nil {
		return fmt.Errorf("pattern %q: %w", pattern, err)
	}
	l.patterns = append(l.patterns, c)
	return nil
}

func compile(pattern string, from place) (compiled, error) {
	c := compiled{glob: pattern}
	c.glob, c.negated = strings.CutPrefix(c.glob, "!")
	c.glob, c.dirOnly = strings.CutSuffix(c.glob, "/")
	var anchored bool
	c.glob, anchored = strings.CutPrefix(c.glob, "/")
	c.plain = !anchored && !strings.Contains(c.glob, "/")
	anchored = anchored || from == inside && !c.plain
	components := strings.Split(c.glob, "/")
	switch {
	case c.glob == "":
		return c, errEmpty
	case slices.Contains(components, ".") || slices.Contains(components, ".."):
		return c, errDots
	}
	switch {
	case !strings.ContainsAny(c.glob, `*?[\`):
		c.how = equal
		if !anchored && !c.plain {
			c.how = ending
		}
		return c, nil
	case c.plain && c.glob[0] == '*' && !strings.ContainsAny(c.glob[1:], `*?[\`):
		c.glob, c.how = c.glob[1:], ending
		return c, nil
	}
	c.glob = literalBraces(c.glob)
	if strings.HasSuffix(c.glob, "/**") {
		c.glob += "/*" // what is inside, not the directory itself
	}
	if !anchored && !c.plain {
		c.glob = "**/" + c.glob
	}
	if !doublestar.ValidatePattern(c.glob) {
		return c, errBracket
	}
	return c, nil
}

// literalBraces takes from braces the meaning that the library gives them.
func literalBraces(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		switch {
		case glob[i] == '\\' && i+1 < len(glob):
			b.WriteByte('\\')
			i++
		case glob[i] == '{' || glob[i] == '}':
			b.WriteByte('\\')
		}
		b.WriteByte(glob[i])
	}
	return b.String()
}

// Read appends the patterns of r, one a line. Empty lines and those that begin
// with # are passed over, and spaces at the end of a line that no backslash
// protects. A line that is no pattern is reported, and the rest taken.
func (l *List) Read(r io.Reader) error { return l.read(r, outside) }

// ReadInside is Read for a file of the tree, such as .gitignore: paths begin at
// its directory.
func (l *List) ReadInside(r io.Reader) error { return l.read(r, inside) }

func (l *List) read(r io.Reader, from place) error {
	var problems []error
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := trim(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := l.add(line, from); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", n, err))
		}
	}
	return errors.Join(append(problems, lines.Err())...)
}

// trim cuts the white space off the end of a line, except after a backslash.
func trim(line string) string {
	short := strings.TrimRight(line, " \t\r")
	if backslashes := len(short) - len(strings.TrimRight(short, `\`)); backslashes%2 == 1 && len(short) < len(line) {
		return line[:len(short)+1]
	}
	return short
}

// Empty reports whether l matches nothing.
func (l *List) Empty() bool { return len(l.patterns) == 0 }

// Kind says what a path names.
type Kind uint8

const (
	Other Kind = iota
	Directory
)

// Verdict is what a list says about a path.
type Verdict uint8

const (
	Silent Verdict = iota // no pattern matches
	Meant                 // the last one that matches does
	Spared                // the last one that matches begins with !
)

// Match reports whether path is meant: absolute, or relative to where the
// patterns' leading slash stands.
func (l *List) Match(path string, kind Kind) bool { return l.Decide(path, kind) == Meant }

// Decide is Match for someone who asks another list if this one is silent.
func (l *List) Decide(path string, kind Kind) Verdict {
	path = strings.TrimPrefix(path, "/")
	base := path[strings.LastIndexByte(path, '/')+1:]
	for i := len(l.patterns) - 1; i >= 0; i-- {
		c := &l.patterns[i]
		if c.dirOnly && kind != Directory || !c.matches(path, base) {
			continue
		}
		if c.negated {
			return Spared
		}
		return Meant
	}
	return Silent
}

func (c *compiled) matches(path, base string) bool {
	subject := path
	if c.plain {
		subject = base
	}
	switch c.how {
	case equal:
		return subject == c.glob
	case ending:
		before, ok := strings.CutSuffix(subject, c.glob)
		return ok && (c.plain || before == "" || before[len(before)-1] == '/')
	}
	return doublestar.MatchUnvalidated(c.glob, subject)
}
