package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cairn/backend/local"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
)

// Whoever has the key can write archives that no cairn writes. What these say is
// put into the bytes of a tree behind the writer's back: the same length, so that
// everything else stays right.
var forgeries = map[string]struct {
	entries  []archive.Entry
	from, to string
}{
	"up":         {entries: named("q1/escaped"), from: "q1", to: ".."},
	"up further": {entries: named("a/q1/escaped"), from: "q1", to: ".."},
	"here":       {entries: named("q/escaped"), from: "q", to: "."},
	"absolute":   {entries: named("Zescaped"), from: "Zescaped", to: "/escaped"},
	"two in one": {entries: named("oneZescaped"), from: "oneZescaped", to: "one/escaped"},
	"empty":      {entries: named("top/Zescaped"), from: "Zescaped", to: "/escaped"},
	"zero byte":  {entries: named("escapedZ"), from: "escapedZ", to: "escaped\x00"},
	"twice":      {entries: append(named("k1"), named("m1")...), from: "m1", to: "k1"},
	"order":      {entries: append(named("k1"), named("m1")...), from: "m1", to: "j1"},
	"in a link": {
		entries: append([]archive.Entry{{Path: "door", Type: archive.Symlink, Target: "../outside"}}, named("doorZescaped")...),
		from:    "Zescaped", to: "/escaped",
	},
	"in a file": {entries: append(named("door"), named("doorZescaped")...), from: "Zescaped", to: "/escaped"},
}

// named returns a file with a path, and the directories above it.
func named(path string) (list []archive.Entry) {
	for i := range path {
		if path[i] == '/' {
			list = append(list, archive.Entry{Path: path[:i], Type: archive.Dir, Mode: 0o755})
		}
	}
	return append(list, archive.Entry{
		Path: path, Type: archive.File, Mode: 0o4777, Size: 4, Content: archive.InlineContent([]byte("evil")),
	})
}

// TestHostileArchive holds that such an archive is damaged to everybody who reads
// it, and leads nobody out of the directory that he was given.
func TestHostileArchive(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.want(done, "init")
	for name, f := range forgeries {
		b.forge(name, f.entries, func(node []byte) []byte {
			if !bytes.Contains(node, []byte(f.from)) {
				t.Errorf("%s: there is no %q to be replaced", name, f.from)
			}
			return bytes.ReplaceAll(node, []byte(f.from), []byte(f.to))
		})
		t.Run(name, func(t *testing.T) { b.readsNothing(t, name) })
	}
	b.want(damaged, "check")
}

// forge makes an archive whose nodes are changed after they were written.
func (b *box) forge(name string, entries []archive.Entry, change func([]byte) []byte) {
	b.t.Helper()
	ctx := b.t.Context()
	key, err := os.ReadFile(filepath.Join(b.dir, "key"))
	must(b.t, err)
	store, err := local.Open(b.repo, local.Options{})
	must(b.t, err)
	r, err := repository.Open(ctx, repository.Store{Backend: store, Register: store}, repository.Options{
		Unlock: repository.Unlocker{KeyFile: key}, CacheDir: b.t.TempDir(), StateDir: b.t.TempDir(),
	})
	must(b.t, err)
	w, ctx, err := r.Begin(ctx, ctx)
	must(b.t, err)
	p, packing := packer.New(ctx, packer.Options{
		Keys: r.Keys, Store: store, Index: r.Index, FrameSize: 1 << 20, Target: 8 << 20, Uploads: 1, Level: pack.Fastest,
		Entropy: func() []byte { return []byte(name) },
		Before:  func(ctx context.Context) error { return w.Ensure(ctx, ctx) },
	})
	framer, err := p.NewFramer(objects.Meta)
	must(b.t, err)
	tree := archive.NewWriter(r.Keys.TreeSeed(), func(node []byte) (objects.ID, error) { return framer.Put(packing, change(node)) })
	for i := range entries {
		must(b.t, tree.Add(&entries[i]))
	}
	root, err := tree.Finish()
	must(b.t, err, framer.Flush(packing))
	packs, err := p.Close()
	must(b.t, err)
	w.Add(packs)
	a := record.Archive{
		Kind: record.Full, Name: name, Host: "mallory", Series: name, Tree: root.ID, Level: root.Level,
		Entries: root.Entries, Files: root.Files, Dirs: root.Dirs, Size: root.Size, Start: time.Now(), End: time.Now(),
	}
	must(b.t, w.Commit(ctx, &record.Commit{Made: time.Now(), Archives: []record.Archive{a}}), w.End(ctx), r.Close(), store.Close())
}

// readsNothing wants every command that reads files to find damage, and nothing
// to come out of it that was not asked for.
func (b *box) readsNothing(t *testing.T, name string) {
	dir := t.TempDir()
	target, outside := filepath.Join(dir, "in", "target"), filepath.Join(dir, "in", "outside")
	must(t, os.MkdirAll(target, 0o755), os.Mkdir(outside, 0o755))
	safe := func(what string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "*", "*", "*escaped*"))
		must(t, err)
		for _, place := range []string{"/escaped", filepath.Join(dir, "escaped"), filepath.Join(dir, "in", "escaped")} {
			if _, err := os.Lstat(place); err == nil {
				found = append(found, place)
			}
		}
		if len(found) > 0 {
			t.Fatalf("%s: there is %q", what, found)
		}
	}
	b.want(damaged, "restore", "latest", "--series", name, "--target", target)
	safe("restore")
	b.want(damaged, "ls", "latest", "--series", name)

	out := filepath.Join(dir, "out.tar")
	b.want(damaged, "export-tar", "latest", "--series", name, out)
	for _, tar := range []string{"tar", "busybox tar"} {
		if _, err := exec.LookPath(strings.Fields(tar)[0]); err != nil {
			t.Logf("%s is not here", tar)
			continue
		}
		unpacked := shell(t, target, tar+" -xf "+out+" 2>&1 || true; "+tar+" -tf "+out)
		if strings.Contains(unpacked, "escaped") {
			t.Errorf("the tar file has it: %s", unpacked)
		}
		safe(tar)
	}
	if os.Geteuid() == 0 {
		mnt := filepath.Join(dir, "mnt")
		must(t, os.Mkdir(mnt, 0o755))
		b.want(done, "mount", "latest", "--series", name, mnt)
		defer func() { _ = unix.Unmount(mnt, unix.MNT_DETACH) }()
		seen := shell(t, dir, "find mnt 2>&1 || true; cat mnt/*/escaped mnt/door/escaped mnt/escaped 2>/dev/null || true")
		if !strings.Contains(seen, "Input/output error") || strings.Contains(seen, "escaped") || strings.Contains(seen, "evil") {
			t.Errorf("mounted: got %s", seen)
		}
		b.want(done, "umount", mnt)
	}
}
