package pattern_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
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
		{"*.o", "/src/.o", pattern.Other, true},
		{"*.o", "/src/a.c", pattern.Other, false},
		{"*.o", "/src/a.o/b", pattern.Other, false}, // the walk never gets there
		{"a.o", "/src/a.o", pattern.Other, true},
		{"a.o", "/src/aa.o", pattern.Other, false},
		{"build/", "/src/build", pattern.Directory, true},
		{"build/", "/src/build", pattern.Other, false},
		{"src/*.log", "/home/me/src/a.log", pattern.Other, true},
		{"src/*.log", "/home/me/src/sub/a.log", pattern.Other, false},
		{"src/a.log", "/home/me/src/a.log", pattern.Other, true},
		{"src/a.log", "/src/a.log", pattern.Other, true},
		{"src/a.log", "/home/me/osrc/a.log", pattern.Other, false},
		{"/home/*/tmp", "/home/me/tmp", pattern.Directory, true},
		{"/home/*/tmp", "/mnt/home/me/tmp", pattern.Directory, false},
		{"/home/me", "/home/me", pattern.Directory, true},
		{"/home/me", "/mnt/home/me", pattern.Directory, false},
		{"/top", "/home/top", pattern.Other, false},
		{"**/cache/**", "/a/cache/b/c", pattern.Other, true},
		{"/a/**", "/a/b", pattern.Other, true},
		{"/a/**", "/a", pattern.Directory, false},
		{"*.o\n!keep.o", "/src/keep.o", pattern.Other, false},
		{"*.o\n!keep.o\nkeep.*", "/src/keep.o", pattern.Other, true},
		{"# a comment\n\n*.tmp  ", "x.tmp", pattern.Other, true},
		{`a\ `, "a ", pattern.Other, true},
		{`a\  `, "a ", pattern.Other, true},
		{`\#a`, "#a", pattern.Other, true},
		{`\!a`, "!a", pattern.Other, true},
		{`\*`, "*", pattern.Other, true},
		{`\*`, "a", pattern.Other, false},
		{"{a,b}", "a", pattern.Other, false},
		{"{a,b}*", "{a,b}c", pattern.Other, true},
		{"a\xffb", "/x/a\xffb", pattern.Other, true},
		{"a?b", "/x/a\xffb", pattern.Other, true},
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
	for _, p := range []string{"", "/", "!", "[a", "./a", "a/../b", ".."} {
		var l pattern.List
		if err := l.Add(p); err == nil {
			t.Errorf("pattern %q: got no error", p)
		}
	}
}

// TestBadLine: what can be understood of a list is taken.
func TestBadLine(t *testing.T) {
	t.Parallel()
	var l pattern.List
	err := l.Read(strings.NewReader("a\n[b\nc\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("got error %v, want one that names line 2", err)
	}
	if !l.Match("a", pattern.Other) || !l.Match("c", pattern.Other) {
		t.Error("the lines around a bad one were not taken")
	}
}

// TestGit: in a file of the tree, patterns mean what they mean to git.
func TestGit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	paths := []string{"a", "b", "a.o", "aXb", "doc/a", "doc/sub/a", "doc/a.txt", "x/doc/a", "x/y/z/a",
		"{a,b}", "sp ", "#h", "!n", "x/a.o", "foo/bar/baz", "foo/baz", "fooz", "x/foo/baz", "[b]", "-r", "a\\b"}
	for _, patterns := range []string{
		"a", "/a", "doc/a", "*.o", "**/a", "doc/**", "foo/**/baz", "**/doc/**", "x/**/a", "foo*", "*/a", "a?b",
		"[ab]", "[!a]", "[^a]", "{a,b}", "sp\\ ", "\\#h", "\\!n", "*\n!a.o", "*.o\n!/a.o", "/*\n!/doc", "foo/*",
		"doc/*.txt", "**", "*", "a/", "fo[a-z]/baz", "[[]b]", "-r", "/x/y/", "**foo/baz",
	} {
		var l pattern.List
		if err := l.ReadInside(strings.NewReader(patterns)); err != nil {
			t.Fatalf("read %q: %v", patterns, err)
		}
		ignored := gitIgnores(t, dir, patterns, paths)
		for _, path := range paths {
			if got := leavesOut(&l, path); got != ignored[path] {
				t.Errorf("%q on %q: got %v, git says %v", patterns, path, got, ignored[path])
			}
		}
	}
}

// leavesOut reports whether a walk that leaves out what l means misses path.
func leavesOut(l *pattern.List, path string) bool {
	for i := range len(path) {
		if path[i] == '/' && l.Match(path[:i], pattern.Directory) {
			return true
		}
	}
	return l.Match(path, pattern.Other)
}

// gitIgnores asks git which of paths it ignores.
func gitIgnores(t *testing.T, dir, patterns string, paths []string) map[string]bool {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(patterns), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "-C", dir, "check-ignore", "--no-index", "--verbose", "--non-matching", "-z", "--stdin")
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("git check-ignore: %v", err)
	}
	ignored := map[string]bool{}
	fields := strings.Split(out.String(), "\x00") // source, line, pattern, path
	for ; len(fields) > 4; fields = fields[4:] {
		ignored[fields[3]] = fields[2] != "" && !strings.HasPrefix(fields[2], "!")
	}
	return ignored
}

func BenchmarkMatch(b *testing.B) {
	var l pattern.List
	for _, p := range []string{"*.o", "node_modules/", "/proc/*", "/sys/*", ".cache", "src/*.log", "*~", "/home/*/tmp"} {
		if err := l.Add(p); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		l.Match("/usr/share/doc/some-package/changelog.Debian.gz", pattern.Other)
	}
}
