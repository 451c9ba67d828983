package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/pipeline/content"
)

// damage stands for a node that cannot be read.
var errDamage = &archive.NodeError{From: "door/", Err: errors.New("damaged")}

func link(path string) archive.Entry {
	return archive.Entry{Path: path, Type: archive.Symlink, Target: "../outside", Mode: 0o777}
}

func dir(path string) archive.Entry {
	return archive.Entry{Path: path, Type: archive.Dir, Mode: 0o755}
}

func evil(path string) archive.Entry {
	return archive.Entry{Path: path, Type: archive.File, Size: 4, Mode: 0o644, Content: archive.InlineContent([]byte("evil"))}
}

// hard returns a file that others are names of, too.
func hard(path string) archive.Entry {
	e := evil(path)
	e.HasLink, e.Link = true, archive.Link{1}
	return e
}

// TestNothingBelowLinks holds that a tar file has nothing that would be unpacked
// through a symbolic link, whatever the archive has.
func TestNothingBelowLinks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strip  int
		list   []any // entries, and errors between them
		want   []string
		warned int
	}{
		"whole":                   {0, []any{dir("d"), evil("d/f"), link("door"), evil("doors")}, []string{"d/", "d/f", "door", "doors"}, 0},
		"below a link":            {0, []any{link("door"), evil("door/in"), evil("door/too"), evil("e")}, []string{"door", "e"}, 1},
		"and damage between":      {0, []any{link("door"), errDamage, evil("door/in/deep"), evil("e")}, []string{"door", "e"}, 2},
		"below a file":            {0, []any{evil("a"), evil("a/b")}, []string{"a"}, 1},
		"two that become one":     {1, []any{dir("x"), link("x/door"), dir("y"), dir("y/door"), evil("y/door/in"), evil("y/f")}, []string{"door", "f"}, 1},
		"and the second is bare":  {1, []any{link("x/door"), evil("y/door/in"), evil("y/door/too")}, []string{"door"}, 1},
		"the first of hard links": {1, []any{evil("x/a"), hard("y/a"), hard("y/b")}, []string{"a", "b"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			warned := 0
			x := Export{Strip: c.strip, Warn: func(string, error) { warned++ }}
			if _, err := x.Write(t.Context(), &out, nothingStored(t), sequence(c.list), nil, nil); err != nil {
				t.Fatal(err)
			}
			if got := names(t, out.Bytes()); !slices.Equal(got, c.want) || warned != c.warned {
				t.Errorf("got %q and %d warnings, want %q and %d", got, warned, c.want, c.warned)
			}
			for _, program := range []string{"tar", "busybox tar"} {
				unpack(t, program, out.Bytes())
			}
		})
	}
}

// nothingStored returns a reader for content that is in the entries.
func nothingStored(t *testing.T) *content.Reader {
	t.Helper()
	master, err := crypt.NewMaster(strings.NewReader(strings.Repeat("k", 100)))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypt.Derive(master, objects.RepositoryID{1}, crypt.Preferred())
	if err != nil {
		t.Fatal(err)
	}
	r := content.New(nil, keys, content.Options{})
	t.Cleanup(r.Close)
	return r
}

func sequence(list []any) iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) {
		for _, one := range list {
			entry, ok := one.(archive.Entry)
			err, _ := one.(error)
			if ok && !yield(&entry, nil) || !ok && !yield(nil, err) {
				return
			}
		}
	}
}

// names returns the names of a tar file's members, which have the content that
// evil gives.
func names(t *testing.T, file []byte) (list []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(file)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Name)
		if p, err := io.ReadAll(r); h.Typeflag == tar.TypeReg && (string(p) != "evil" || err != nil) {
			t.Errorf("%s: got %q, %v", h.Name, p, err)
		}
	}
}

// unpack unpacks a tar file beside a directory that must stay empty.
func unpack(t *testing.T, program string, file []byte) {
	t.Helper()
	base := t.TempDir()
	inside, outside := filepath.Join(base, "inside"), filepath.Join(base, "outside")
	if err := errors.Join(os.Mkdir(inside, 0o755), os.Mkdir(outside, 0o755)); err != nil {
		t.Fatal(err)
	}
	words := append(strings.Fields(program), "-xf", "-")
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Stdin = inside, bytes.NewReader(file)
	said, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Logf("%s is not here", program)
		return
	}
	found, err := os.ReadDir(outside)
	if len(found) > 0 || err != nil {
		t.Errorf("%s wrote outside: %v, %v\n%s", program, found, err, said)
	}
}
