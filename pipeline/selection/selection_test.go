package selection_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cairn/pipeline/pattern"
	"cairn/pipeline/selection"
	"cairn/pipeline/walk"
)

// kept walks dir, made of files with these contents, and returns the names of
// what the rules keep, and what they said was left out.
func kept(t *testing.T, o selection.Options, files map[string]string) (kept, told []string) {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	o.Told = func(path string, why selection.Why) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, strings.TrimPrefix(path, dir+"/")+" "+string(why))
	}
	for item, err := range walk.Walk(t.Context(), []walk.Root{{Source: dir}}, walk.Options{Rules: selection.New(o)}) {
		if err != nil || item.Err != nil {
			t.Fatal(err, item)
		}
		if item.Stat.Type == walk.File {
			kept = append(kept, item.Path)
		}
	}
	slices.Sort(told)
	return kept, told
}

func patternList(t *testing.T, list ...string) *pattern.List {
	t.Helper()
	l := new(pattern.List)
	for _, p := range list {
		if err := l.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestNothing(t *testing.T) {
	t.Parallel()
	if rules := selection.New(selection.Options{Patterns: new(pattern.List)}); rules != nil {
		t.Errorf("got rules %v for nothing", rules)
	}
}

// TestTold: everything that is left out is told, directories once.
func TestTold(t *testing.T) {
	t.Parallel()
	got, told := kept(t,
		selection.Options{Patterns: patternList(t, "*.o", "build/"), Tags: []string{"tag"}, LargerThan: 3},
		map[string]string{"a.o": "", "a.c": "", "build/x": "", "d/tag": "", "d/x": "", "d/sub/y": "", "large": "1234", "small": "123"})
	if want := []string{"a.c", "d/tag", "small"}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	if want := []string{"a.o pattern", "build pattern", "d/sub tag", "d/x tag", "large size"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// TestOrder: a pattern of the command line decides before any file of the
// tree, and a file further down before one further up.
func TestOrder(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"ignore": "*.a\n*.b\n*.c\n", "d/ignore": "!*.b\n!*.c\n", "d/e/ignore": "*.c\n",
		"1.a": "", "1.b": "", "d/2.a": "", "d/2.b": "", "d/2.c": "", "d/e/3.b": "", "d/e/3.c": "",
	}
	for _, c := range []struct{ patterns, want []string }{
		{nil, []string{"d/2.b", "d/2.c", "d/e/3.b", "d/e/ignore", "d/ignore", "ignore"}},
		{[]string{"*.b", "!*.a"}, []string{"1.a", "d/2.a", "d/2.c", "d/e/ignore", "d/ignore", "ignore"}},
	} {
		got, _ := kept(t, selection.Options{Patterns: patternList(t, c.patterns...), IgnoreFiles: []string{"ignore"}}, files)
		if !slices.Equal(got, c.want) {
			t.Errorf("with %q: kept %q, want %q", c.patterns, got, c.want)
		}
	}
}

// TestUnreadableList: a file of patterns that cannot be read is a warning, and
// a directory of its name is none.
func TestUnreadableList(t *testing.T) {
	t.Parallel()
	var warned []string
	o := selection.Options{IgnoreFiles: []string{"ignore"}, Warn: func(path string, err error) {
		warned = append(warned, filepath.Base(filepath.Dir(path))+": "+err.Error())
	}}
	got, _ := kept(t, o, map[string]string{"d/ignore": strings.Repeat("#", 1<<20+1), "e/ignore/x": "", "e/y": ""})
	if want := []string{"d/ignore", "e/ignore/x", "e/y"}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	if len(warned) != 1 || !strings.HasPrefix(warned[0], "d: ") || !strings.Contains(warned[0], "too long") {
		t.Errorf("warned %q", warned)
	}
}
