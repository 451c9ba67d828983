package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bench runs one command line in its own directory, which must be empty
// afterwards, and returns what it prints.
func bench(t *testing.T, args ...string) string {
	t.Helper()
	work := t.TempDir()
	var out strings.Builder
	args = slices.Insert(args, 1, "--work", work)
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(work)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: got %v, %v, want nothing", left, err)
	}
	return out.String()
}

// wantRows wants every row to be there once, by how it begins.
func wantRows(t *testing.T, table string, rows ...string) {
	t.Helper()
	for _, row := range rows {
		if n := strings.Count(table, "\n| "+row+" | "); n != 1 {
			t.Errorf("rows %q: got %d, want 1, in\n%s", row, n, table)
		}
	}
}

// TestRoom is TestPeers for the other comparison.
func TestRoom(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds cairn")
	}
	got := bench(t, "room", "--tools", "cairn", "--runs", "1", "--bytes", "16M")
	wantRows(t, got, "delete | cairn", "compact | cairn")
}

func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := writeNoise(path, 4<<20, 0); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPeers measures nothing: it shows that the benchmark runs, with the one
// tool that is always there.
func TestPeers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds cairn")
	}
	tree := t.TempDir()
	if err := writeTiny(t.Context(), tree, 20); err != nil {
		t.Fatal(err)
	}
	got := bench(t, "peers", "--tools", "cairn", "--runs", "1", "--tree", tree, "--image", image(t), "--tiny", "150")
	if n := strings.Count(got, "| first | cairn |"); n != 3 {
		t.Errorf("first backups: got %d, want 3, in\n%s", n, got)
	}
	wantRows(t, got, "version | cairn", "list | cairn", "changed | cairn")
}

func TestUnit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("writes some megabytes")
	}
	got := bench(t, "unit", "--image", image(t), "--file", "4M", "--units", "64K,256K")
	wantRows(t, got, "image | 64K", "image | 256K", "file | 64K", "file | 256K")
}

func TestTiny(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds cairn and needs a server")
	}
	for _, store := range []string{"local", "minio"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			got := bench(t, "tiny", "--tools", "cairn", "--store", store, "--runs", "7", "--files", "120")
			wantRows(t, got, "list | cairn", "runs 1 to 2 | cairn", "runs 3 to 4 | cairn", "runs 6 to 7 | cairn", "changed | cairn", "changed | cairn-new",
				"unchanged | cairn", "unchanged | cairn-new", "compact | cairn",
				"cairn after 7 runs | commits | 7", "cairn after 7 runs | packs", "cairn in the end | commits", "cairn in the end | packs")
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"nothing"}, {"unit", "image"}, {"unit", "--file", "1X"}, {"unit", "--file", "1KK"},
		{"tiny", "--runs", "2"}, {"tiny", "--store", "tape"}} {
		if err := run(context.Background(), args, os.Stderr); err == nil {
			t.Errorf("bench %q: got no error", args)
		}
	}
}

// TestOverwrite: the image is what it was once the same regions are put back.
func TestOverwrite(t *testing.T) {
	t.Parallel()
	original := image(t)
	want, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	c := &corpus{paths: []string{t.TempDir()}, original: original}
	c.disk = filepath.Join(c.paths[0], "disk")
	if err := copyFile(t.Context(), original, c.disk); err != nil {
		t.Fatal(err)
	}
	c.bytes = int64(len(want))
	if err := c.overwrite(noise{7}); err != nil {
		t.Fatal(err)
	}
	if got := differing(t, c.disk, want); got != 2 {
		t.Errorf("regions that differ: got %d, want 2 of 64", got)
	}
	if err := c.putBack(); err != nil {
		t.Fatal(err)
	}
	if got := differing(t, c.disk, want); got != 0 {
		t.Errorf("regions that differ after all was put back: got %d, want 0", got)
	}
}

// differing counts the regions of the file at path that are not as in want.
func differing(t *testing.T, path string, want []byte) int {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
	n := 0
	for i := 0; i < len(want); i += region {
		if !slices.Equal(got[i:i+region], want[i:i+region]) {
			n++
		}
	}
	return n
}
