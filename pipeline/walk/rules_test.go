package walk

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// excludeFunc are rules that know names only.
type excludeFunc func(path, source string, kind Type) bool

func (f excludeFunc) Exclude(path, source string, kind Type) bool { return f(path, source, kind) }
func (excludeFunc) Omit(string, *Stat) bool                       { return false }
func (f excludeFunc) Enter(*Listing) Rules                        { return f }

// tagRules leave out what is below directories with a file "tag" whose content
// is "yes", and everything with the mode 0700.
type tagRules struct {
	t      *testing.T
	tagged bool
}

func (r tagRules) Exclude(_, source string, _ Type) bool {
	return r.tagged && filepath.Base(source) != "tag"
}

func (r tagRules) Omit(_ string, stat *Stat) bool { return stat.Mode == 0o700 }

func (r tagRules) Enter(d *Listing) Rules {
	if !d.Has("tag") {
		return tagRules{r.t, false}
	}
	content, err := d.Read("tag", 3)
	if err != nil && !errors.Is(err, ErrReplaced) && !errors.Is(err, errTooLong) {
		r.t.Errorf("read tag: %v", err)
	}
	return tagRules{r.t, string(content) == "yes"}
}

func TestRules(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	for path, content := range map[string]string{
		"cache/tag": "yes", "cache/x": "", "cache/zz-long-name": "", "cache/sub/y": "", "plain/tag": "no", "plain/x": "",
		"long/tag": "yes, very much", "long/x": "", "other/tags": "yes", "other/tag2": "yes", "other/ta": "", "other/x": "",
		"closed/x": "", "open/closed": "", "open/x": "",
	} {
		must(t, os.MkdirAll(filepath.Dir(top+"/"+path), 0o755))
		must(t, os.WriteFile(top+"/"+path, []byte(content), 0o644))
	}
	must(t, os.MkdirAll(top+"/odd/tag/below", 0o755), os.Chmod(top+"/closed", 0o700), os.Chmod(top+"/open/closed", 0o700))
	for i := range 1500 { // several blocks
		must(t, os.WriteFile(top+"/cache/"+strings.Repeat("n", 1+i%40)+string(rune('a'+i%26))+"-"+strings.Repeat("x", i/26), nil, 0o644))
	}
	want := []string{"cache", "cache/tag", "long", "long/tag", "long/x", "odd", "odd/tag", "odd/tag/below",
		"open", "open/x", "other", "other/ta", "other/tag2", "other/tags", "other/x", "plain", "plain/tag", "plain/x"}
	if got := below(collect(t, Options{Rules: tagRules{t: t}}, top), top); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRulesOfRoots: what was asked for by name is not left out, and what is in
// it is looked at by the rules.
func TestRulesOfRoots(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.Mkdir(top+"/d", 0o700), os.WriteFile(top+"/d/tag", []byte("yes"), 0o600), os.WriteFile(top+"/d/x", nil, 0o600),
		os.WriteFile(top+"/f", nil, 0o700))
	var mu sync.Mutex
	asked := map[string]bool{}
	rules := excludeFunc(func(_, source string, _ Type) bool {
		mu.Lock()
		defer mu.Unlock()
		asked[filepath.Base(source)] = true
		return true
	})
	if got, want := below(collect(t, Options{Rules: tagRules{t: t}}, top+"/d", top+"/f"), top), []string{"d", "d/tag", "f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := below(collect(t, Options{Rules: rules}, top+"/d", top+"/f"), top), []string{"d", "f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if asked["d"] || asked["f"] || !asked["x"] {
		t.Errorf("asked about %v", asked)
	}
}
