package walk

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// dig makes a chain of directories below top, each with one file that comes
// after the directory.
func dig(t *testing.T, top string, levels int, name string) {
	t.Helper()
	fd, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	for range levels {
		file, err := unix.Openat(fd, "z", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		must(t, err)
		must(t, unix.Close(file))
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd))
}

// A path ten times longer than the kernel takes, with few descriptors: on the
// way back up every directory has to be opened again.
func TestDeep(t *testing.T) {
	t.Parallel()
	const levels = 2000
	top := t.TempDir()
	dig(t, top, levels, strings.Repeat("d", 20))
	options := Options{Workers: 3, OpenDirs: 16}.withDefaults()
	w := newWalk(options)
	dirs, files, most := 0, 0, 0
	w.run(t.Context(), []Root{{top, ""}}, func(item *Item, err error) bool {
		must(t, err)
		must(t, item.Err)
		switch item.Stat.Type {
		case Directory:
			dirs++
		case File:
			files++
			f, _, err := item.Open()
			must(t, err)
			must(t, f.Close())
		}
		w.descriptors.mu.Lock()
		most = max(most, w.descriptors.open)
		w.descriptors.mu.Unlock()
		return true
	})
	if dirs != levels || files != levels {
		t.Errorf("got %d directories and %d files, want %d and %d", dirs, files, levels, levels)
	}
	// A worker uses two descriptors at a time.
	if limit := options.OpenDirs + 2*(options.Workers+1); most > limit {
		t.Errorf("%d directories open, want at most %d", most, limit)
	}
	if w.descriptors.open != 0 {
		t.Errorf("%d directories open after the walk", w.descriptors.open)
	}
}

// Archives hold no path above 65535 bytes: what is below is reported, once.
func TestTooDeep(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dig(t, top, 400, strings.Repeat("d", 200))
	failed := 0
	for item, err := range Walk(t.Context(), []Root{{top, ""}}, Options{}) {
		must(t, err)
		if item.Err != nil {
			failed++
		} else if len(item.Path) > maxPath {
			t.Fatalf("got a path of %d bytes", len(item.Path))
		}
	}
	if failed != 1 {
		t.Errorf("%d items failed, want 1", failed)
	}
}

// widen makes a directory of n names: links, which are quickly made, and some
// directories.
func widen(t *testing.T, top string, n int) {
	t.Helper()
	fd, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	var file string
	for i := range n {
		name := fmt.Sprintf("%06d", i)
		switch {
		case i%100 == 0:
			must(t, unix.Mkdirat(fd, name, 0o755))
		case i%10_000 == 1:
			file = name
			must(t, os.WriteFile(top+"/"+name, nil, 0o644))
		default:
			must(t, unix.Linkat(fd, file, fd, name, 0))
		}
	}
}

func TestWide(t *testing.T) {
	t.Parallel()
	entries := 200_000
	if testing.Short() {
		entries = 5_000
	}
	top := t.TempDir()
	widen(t, top, entries)
	w := newWalk(Options{Workers: 3, LookAhead: 1 << 20}.withDefaults())
	next, most := 0, 0
	w.run(t.Context(), []Root{{top, ""}}, func(item *Item, err error) bool {
		must(t, err)
		must(t, item.Err)
		if want := fmt.Sprintf("%06d", next); item.Path != want {
			t.Fatalf("got %s, want %s", item.Path, want)
		}
		next++
		w.ahead.mu.Lock()
		most = max(most, w.ahead.items)
		w.ahead.mu.Unlock()
		return true
	})
	if next != entries {
		t.Errorf("got %d entries, want %d", next, entries)
	}
	block := blockItems * (itemSize + len(top) + 16)
	if limit := 1<<20 + 5*block; most > limit {
		t.Errorf("%d bytes ahead, want at most %d", most, limit)
	}
	if w.ahead.items != 0 || w.ahead.names != 0 || len(w.ahead.queue) != 0 {
		t.Errorf("left over: %d bytes of items, %d of names, %d blocks", w.ahead.items, w.ahead.names, len(w.ahead.queue))
	}
}

func TestNamesGivenTwice(t *testing.T) {
	t.Parallel()
	var n names
	for _, name := range []string{"b", ".", "a\x00", "aaaaaaaab", "a", "..", "b", "aaaaaaaa", "aaaaaaaab", ""} {
		n.add([]byte(name), File, 0)
	}
	n.sort()
	var got [][]byte
	for i := range n.entries {
		got = append(got, n.name(&n.entries[i]))
	}
	if text := bytes.Join(got, []byte("|")); string(text) != "|a|a\x00|aaaaaaaa|aaaaaaaab|b" {
		t.Errorf("got %q", text)
	}
}

func TestRootIsFile(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/file"
	must(t, os.WriteFile(path, []byte("x"), 0o644))
	items := collect(t, Options{}, path)
	last := items[len(items)-1]
	if last.Source != path || last.Stat.Type != File || last.Stat.Size != 1 {
		t.Errorf("got %+v", last)
	}
}
