package check_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/backup"
	"cairn/pipeline/check"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"
)

const many = 8000 // files with names so long that the tree takes several frames

// addMany adds an archive of many files, each with a chunk of its own.
func (b *bench) addMany() {
	b.t.Helper()
	src := b.t.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 150)
	for i := range many {
		name := fmt.Sprintf("%06d-%s", i, strings.Repeat("long", 50))
		_, _ = random.Read(content) // never fails
		must(b.t, os.WriteFile(filepath.Join(src, name), content, 0o600))
	}
	repo := b.open()
	defer repo.Close()
	_, _, err := backup.Run(b.t.Context(), b.t.Context(), repo, backup.Options{
		Roots: []walk.Root{{Source: src}}, Now: time.Now, Archive: record.Archive{Name: "many"},
	})
	must(b.t, err)
}

// largest returns the largest pack of a kind, and its header.
func (b *bench) largest(kind objects.Kind) (best record.Pack, header *pack.Header) {
	b.t.Helper()
	repo := b.open()
	defer repo.Close()
	for p := range repo.State().Packs.All() {
		if p.Kind != kind {
			continue
		}
		h, err := repo.Header(b.t.Context(), p)
		must(b.t, err)
		if header == nil || p.Length > best.Length {
			best, header = p, h
		}
	}
	return best, header
}

func (b *bench) archive(name string) repository.Archive {
	b.t.Helper()
	repo := b.open()
	defer repo.Close()
	a, err := repo.Find(name)
	must(b.t, err)
	return a
}

// TestRanges holds that what lies behind a damaged part of a tree is checked
// too: every range that is lost is told, and nothing else.
func TestRanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addMany()
	p, h := b.largest(objects.Meta)
	if len(h.Frames) < 2 {
		t.Fatalf("the tree has %d frames: nothing to see here", len(h.Frames))
	}
	stored, err := b.store.Get(t.Context(), packer.Key(p.ID), backend.Range{})
	must(t, err)
	root := b.archive("many").Tree
	for _, f := range h.Frames {
		nodes := h.FrameChunks(f)
		if len(nodes) > 1 && !slices.ContainsFunc(nodes, func(n pack.Chunk) bool { return n.ID == root }) {
			stored[f.Off+f.Stored/2] ^= 1
			break
		}
	}
	b.replace(packer.Key(p.ID), stored)
	s, problems, err := b.check(check.Structure)
	must(t, err)
	if s.Entries < many/10 || s.Entries > many*9/10 {
		t.Errorf("got %d entries, want some of %d", s.Entries, many)
	}
	if len(problems) < 2 {
		t.Errorf("got %q, want a range for each node that is lost", problems)
	}
	for _, problem := range problems {
		if !strings.Contains(problem, "archive many: read entries from ") {
			t.Errorf("got %s", problem)
		}
	}
}

// TestManyLost holds that a lost pack of many files is told within bounds, and
// counted in full.
func TestManyLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.addMany()
	p, _ := b.largest(objects.Data)
	b.replace(packer.Key(p.ID), nil)
	repo := b.open()
	defer repo.Close()
	var problems []string
	s, err := check.Run(t.Context(), repo, check.Options{Problem: func(err error) { problems = append(problems, err.Error()) }})
	must(t, err)
	last := problems[len(problems)-1]
	if s.Problems < many || len(problems) > 1100 || !strings.Contains(last, "archive many: 7000 more") {
		t.Errorf("got %d problems and told %d, the last %s", s.Problems, len(problems), last)
	}
}

// TestSlots holds that the slots of passphrases are looked at: one that has lost
// a copy is a warning, one that has lost both a problem.
func TestSlots(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := []byte("only its name says whether it is whole")
	key := backend.Key("keys/" + crypt.SlotName(body).String())
	must(t, b.store.Put(t.Context(), key))
	for _, c := range []struct {
		what               string
		stored             []byte
		problems, warnings int
	}{
		{"whole", objects.Twice(body), 0, 0},
		{"half", append([]byte("0nly"), objects.Twice(body)[4:]...), 0, 1},
		{"gone", []byte("no slot at all, but long enough to be one"), 1, 0},
	} {
		b.replace(key, c.stored)
		repo := b.open()
		var problems, warnings int
		_, err := check.Run(t.Context(), repo, check.Options{
			Problem: func(error) { problems++ }, Warn: func(error) { warnings++ },
		})
		must(t, err)
		must(t, repo.Close())
		if problems != c.problems || warnings != c.warnings {
			t.Errorf("%s: got %d problems and %d warnings, want %d and %d", c.what, problems, warnings, c.problems, c.warnings)
		}
	}
}
