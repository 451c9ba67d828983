package pattern_test

import (
	"strings"
	"testing"

	"cairn/pipeline/pattern"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns string
		path     string
		kind     pattern.Kind
		want     bool
	}{
		{"*.o", "/src/a.o", pattern.Other, true},
		{"*.o", "/src/a.c", pattern.Other, false},
		{"*.o", "/src/a.o/b", pattern.Other, false}, // the walk never gets there
		{"build/", "/src/build", pattern.Directory, true},
		{"build/", "/src/build", pattern.Other, false},
		{"src/*.log", "/home/me/src/a.log", pattern.Other, true},
		{"src/*.log", "/home/me/src/sub/a.log", pattern.Other, false},
		{"/home/*/tmp", "/home/me/tmp", pattern.Directory, true},
		{"/home/*/tmp", "/mnt/home/me/tmp", pattern.Directory, false},
		{"**/cache/**", "/a/cache/b/c", pattern.Other, true},
		{"*.o\n!keep.o", "/src/keep.o", pattern.Other, false},
		{"*.o\n!keep.o\nkeep.*", "/src/keep.o", pattern.Other, true},
		{"# a comment\n\n*.tmp  ", "x.tmp", pattern.Other, true},
		{`\*`, "*", pattern.Other, true},
		{`\*`, "a", pattern.Other, false},
		{"a\xffb", "/x/a\xffb", pattern.Other, true},
	} {
		var l pattern.List
		if err := l.Read(strings.NewReader(c.patterns)); err != nil {
			t.Fatalf("read %q: %v", c.patterns, err)
		}
		if got := l.Match(c.path, c.kind); got != c.want {
			t.Errorf("%q on %q: got %v, want %v", c.patterns, c.path, got, c.want)
		}
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "/", "!", "[a", "{a,b"} {
		var l pattern.List
		if err := l.Add(p); err == nil {
			t.Errorf("pattern %q: got no error", p)
		}
	}
}
