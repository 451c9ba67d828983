package test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cairn/objects/archive"
)

var everywhere = flag.Bool("everywhere", false, "TestFlippedBit: try every byte of files under 4 KiB, not some")

// perFile is how many places of each file are tried without -everywhere.
const perFile = 12

// TestFlippedBit changes one bit of a repository at a time. Whatever it is:
// what is restored is what was backed up or is not there, what is not there is
// named, and a run that ends well has brought back everything.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs cairn some hundred times")
	}
	d := newDamage(t)
	random := rand.New(rand.NewPCG(1, 2))
	stored := files(t, d.repo)
	for i, name := range slices.Sorted(maps.Keys(stored)) {
		for _, at := range places(random, len(stored[name])) {
			bit := byte(1) << random.IntN(8)
			flipped := bytes.Clone(stored[name])
			flipped[at] ^= bit
			must(t, os.WriteFile(filepath.Join(d.repo, name), flipped, 0o600))
			d.what = fmt.Sprintf("%s, byte %d of %d, bit %#02x", name, at, len(flipped), bit)
			d.try(name, cacheState(i%2))
			must(t, os.WriteFile(filepath.Join(d.repo, name), stored[name], 0o600))
			if t.Failed() {
				return
			}
		}
	}
	if now := files(t, d.repo); !maps.EqualFunc(now, stored, bytes.Equal) {
		t.Error("list, restore or check changed the repository")
	}
}

// TestCutShort does the same with files that end early, are empty, or gone.
func TestCutShort(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs cairn some hundred times")
	}
	d := newDamage(t)
	stored := files(t, d.repo)
	for i, name := range slices.Sorted(maps.Keys(stored)) {
		path, whole := filepath.Join(d.repo, name), stored[name]
		for _, n := range []int{len(whole) - 1, len(whole) / 2, 20, 0} {
			d.what = fmt.Sprintf("%s cut to %d of %d bytes", name, n, len(whole))
			must(t, os.WriteFile(path, whole[:n], 0o600))
			d.try(name, cacheState(i%2))
		}
		d.what = name + " removed"
		must(t, os.Remove(path))
		d.try(name, cacheState(i%2))
		must(t, os.WriteFile(path, whole, 0o600))
		if t.Failed() {
			return
		}
	}
}

// places picks where to damage a file of n bytes: near both ends, where the
// structure is, and in between.
func places(random *rand.Rand, n int) []int {
	if *everywhere && n < 4<<10 {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	at := []int{random.IntN(min(n, 16)), n - 1 - random.IntN(min(n, 16))}
	for len(at) < perFile {
		at = append(at, random.IntN(n))
	}
	return at
}

type cacheState int

const (
	cold cacheState = iota // everything is read from the repository
	warm                   // the cache knows where chunks are
)

// damage is a repository to be damaged and what it should give back.
type damage struct {
	*box
	what string // is damaged
	want []string
}

func newDamage(t *testing.T) *damage {
	b := newBox(t)
	write(t, b.src+"/letter", []byte("Dear reader"))
	write(t, b.src+"/sub/long", bytes.Repeat([]byte("all work and no play "), 100))
	write(t, b.src+"/sub/noise", noise(3, 40_000))
	write(t, b.src+"/large", noise(4, 900_000))
	b.want(done, "init")
	b.want(done, b.backupArgs()...)
	write(t, b.src+"/sub/more", noise(5, 1_000))
	b.want(done, b.backupArgs()...)
	d := &damage{box: b, want: describe(t, b.src, owners)}
	must(t, os.Rename(filepath.Join(b.dir, "home"), filepath.Join(b.dir, "home-warm")))
	return d
}

// noise returns n bytes that do not compress, the same for the same seed.
func noise(seed byte, n int) []byte {
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	return content
}

// try runs what reads the repository, in which name is damaged.
func (d *damage) try(name string, cache cacheState) {
	d.t.Helper()
	home := filepath.Join(d.dir, "home")
	must(d.t, os.RemoveAll(home))
	// Without the newest version of head the repository is an older one, in good
	// order: only who has seen the newer one can tell.
	if cache == warm || strings.HasPrefix(name, "head/") {
		must(d.t, os.CopyFS(home, os.DirFS(filepath.Join(d.dir, "home-warm"))))
	}
	d.tryList()
	d.tryRestore(name)
	d.tryCheck(name)
}

func (d *damage) errorf(r result, format string, args ...any) {
	d.t.Helper()
	d.t.Errorf("%s: %s\nexit code %d\n%s%s", d.what, fmt.Sprintf(format, args...), r.code, r.out, r.err)
}

func (d *damage) tryList() {
	d.t.Helper()
	r := d.run("list")
	switch {
	case r.code == done || r.code == warnings:
		if n := strings.Count(r.out, d.src); n != 2 {
			d.errorf(r, "list shows %d archives, want 2", n)
		}
	case r.err == "":
		d.errorf(r, "list says nothing")
	}
}

func (d *damage) tryRestore(name string) {
	d.t.Helper()
	target := filepath.Join(d.dir, "back")
	must(d.t, os.RemoveAll(target))
	r := d.run("restore", "latest", "--target", target)
	var got []string
	if _, err := os.Stat(target); err == nil {
		got = describe(d.t, target, owners)
	}
	if slices.Equal(got, d.want) {
		return // nobody read what is damaged, or there was a second copy
	}
	if r.code == done {
		d.errorf(r, "restore is content with\n%s", differences(got, d.want))
	}
	have := map[string]bool{}
	for _, line := range got {
		entry, _, _ := strings.Cut(line, " ")
		have[entry] = true
		isDir := strings.Contains(line, " d")
		if _, found := slices.BinarySearch(d.want, line); !found && !isDir {
			d.errorf(r, "restore put in place what was never there: %s", line)
		}
	}
	if r.code != damaged && (r.code != rolledBack || !strings.HasPrefix(name, "head/")) {
		d.errorf(r, "restore of a part ends with %d, want %d", r.code, damaged)
	}
	if !strings.Contains(r.err, "could not be brought back whole") {
		return // it did not begin: there is nothing, and it said why
	}
	for _, line := range d.want {
		entry, _, _ := strings.Cut(line, " ")
		if path := strings.Trim(entry, `"`); !have[entry] && !strings.Contains(r.err, path) && !inLostRange(r.err, path) {
			d.errorf(r, "restore does not say that %s is missing", entry)
		}
	}
}

// lostRange is how it is said that a part of an archive's tree is lost.
var lostRange = regexp.MustCompile(`read entries from "([^"]*)" (?:on|up to "([^"]*)"):`)

// inLostRange reports whether a path lies in a range that text says is lost.
func inLostRange(text, path string) bool {
	for _, m := range lostRange.FindAllStringSubmatch(text, -1) {
		from, to := m[1], m[2]
		if archive.ComparePaths(from, path) <= 0 && (to == "" || archive.ComparePaths(path, to) < 0) {
			return true
		}
	}
	return false
}

func (d *damage) tryCheck(name string) {
	d.t.Helper()
	r := d.run("check", "--read-data")
	switch {
	case r.code == done && strings.HasPrefix(name, "head/"):
		// An older version of head: nobody reads it.
	case r.code == done:
		d.errorf(r, "check found no damage")
	case r.err == "":
		d.errorf(r, "check says nothing")
	case strings.HasPrefix(name, "packs/") && r.code != damaged:
		d.errorf(r, "check of a damaged pack ends with %d, want %d", r.code, damaged)
	}
}
