package walk

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		want []Root
		err  string // part of the error
	}{
		{name: "nothing"},
		{name: "absolute", args: []string{"/no/such"}, want: []Root{{"/no/such", "no/such"}}},
		{name: "cleaned", args: []string{"//no///such/"}, want: []Root{{"/no/such", "no/such"}}},
		{name: "relative", args: []string{"b"}, want: []Root{{"/no/cwd/b", "no/cwd/b"}}},
		{name: "dot", args: []string{"."}, want: []Root{{"/no/cwd", "no/cwd"}}},
		{name: "dot slash is no prefix", args: []string{"./b"}, want: []Root{{"/no/cwd/b", "no/cwd/b"}}},
		{name: "dots", args: []string{"../b"}, want: []Root{{"/no/b", "no/b"}}},
		{name: "stripped", args: []string{"/no/./b/c"}, want: []Root{{"/no/b/c", "b/c"}}},
		{name: "stripped at the first", args: []string{"/no/./b/./c"}, want: []Root{{"/no/b/c", "b/c"}}},
		{name: "stripped relative", args: []string{"a/./b"}, want: []Root{{"/no/cwd/a/b", "b"}}},
		{name: "stripped whole", args: []string{"/no/a/./"}, want: []Root{{"/no/a", ""}}},
		{name: "stripped and out", args: []string{"/no/a/./../b"}, err: "lies outside of /no/a"},
		{name: "everything", args: []string{"/"}, want: []Root{{"/", ""}}},
		{name: "everything and more", args: []string{"/no/a", "/"}, want: []Root{{"/", ""}}},
		{name: "twice", args: []string{"/no/a", "/no/a/"}, want: []Root{{"/no/a", "no/a"}}},
		{name: "nested", args: []string{"/no/a/b/c", "/no/a", "/no/a/b"}, want: []Root{{"/no/a", "no/a"}}},
		{name: "not nested", args: []string{"/no/a.b", "/no/a-b", "/no/a"},
			want: []Root{{"/no/a", "no/a"}, {"/no/a-b", "no/a-b"}, {"/no/a.b", "no/a.b"}}},
		{name: "slash is lowest", args: []string{"/no/a-b", "/no/a/b"},
			want: []Root{{"/no/a/b", "no/a/b"}, {"/no/a-b", "no/a-b"}}},
		{name: "one path, two places", args: []string{"/no/x/./a", "/no/y/./a"}, err: `"/no/x/a" and "/no/y/a"`},
		{name: "one inside the other", args: []string{"/no/x/./a", "/no/y/./a/b"}, err: `"/no/x/a" and "/no/y/a/b"`},
		{name: "beside a stripped root", args: []string{"/no/x/./", "/no/y"}, err: `"/no/x" and "/no/y"`},
		{name: "same place, two paths", args: []string{"/no/./a", "/no/a"},
			want: []Root{{"/no/a", "a"}, {"/no/a", "no/a"}}},
		{name: "not text", args: []string{"/no/\xff\n"}, want: []Root{{"/no/\xff\n", "no/\xff\n"}}},
		{name: "leading dash", args: []string{"-rf"}, want: []Root{{"/no/cwd/-rf", "no/cwd/-rf"}}},
		{name: "empty", args: []string{""}, err: "empty"},
		{name: "zero byte", args: []string{"a\x00b"}, err: "zero byte"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Plan(test.args, "/no/cwd")
			switch {
			case test.err == "" && err != nil:
				t.Fatal(err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Fatalf("got error %v, want one with %q", err, test.err)
			case test.err == "" && !slices.Equal(got, test.want):
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A root that dropping would lose, or that is not where it seems to be.
func TestPlanLinks(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(top, "real/sub/deep"), 0o755))
	must(t, os.Symlink("real/sub", filepath.Join(top, "link")))
	for _, args := range [][]string{
		{top, top + "/link/deep"},
		{top + "/link", top + "/link/deep"},
		{top + "/./link", top + "/./link/deep"},
		{top + "/link/../sub"},
	} {
		if roots, err := Plan(args, "/"); err == nil {
			t.Errorf("Plan(%q): got %q, want an error", args, roots)
		}
	}
	for _, args := range [][]string{
		{top, top + "/real/sub"},
		{top, top + "/link"},
		{top + "/link/./", top + "/link/./deep"},
		{top + "/real/../real/sub"},
		{top + "/link/deep"},
	} {
		if _, err := Plan(args, "/"); err != nil {
			t.Errorf("Plan(%q): %v", args, err)
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
