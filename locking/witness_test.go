package locking

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"cairn/objects"
)

func TestWitness(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	w := NewWitness(dir)
	wantMark := func(want Mark) {
		t.Helper()
		if got, err := NewWitness(dir).Mark(); got != want || err != nil {
			t.Fatalf("got %s (%v), want %s", got, err, want)
		}
	}
	wantMark(Mark{})
	older, newer, other := Mark{1, objects.ID{1}}, Mark{2, objects.ID{2}}, Mark{2, objects.ID{3}}
	for _, m := range []Mark{older, newer, newer, older} {
		if err := w.Raise(m); err != nil {
			t.Fatal(err)
		}
	}
	wantMark(newer)
	if err := w.Raise(other); !errors.Is(err, ErrForked) {
		t.Errorf("another commit of the same generation: got %v, want ErrForked", err)
	}
	wantMark(newer)
	if err := w.Accept(older); err != nil {
		t.Fatal(err)
	}
	wantMark(older)
}

func TestWitnessIsRaisedByMany(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group errgroup.Group
	const most = 40
	for i := range uint64(8) {
		group.Go(func() error {
			for g := i; g <= most; g += 1 + i%3 {
				if err := NewWitness(dir).Raise(Mark{Generation: g, Commit: objects.ID{byte(g)}}); err != nil {
					return err
				}
				seen, err := NewWitness(dir).Mark()
				if err != nil || seen.Generation < g {
					return fmt.Errorf("after %d was seen: got %s, %w", g, seen, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, err := NewWitness(dir).Mark(); got.Generation != most || err != nil {
		t.Errorf("got %s (%v), want generation %d", got, err, most)
	}
}

func TestDamagedWitness(t *testing.T) {
	t.Parallel()
	good := formatMark(Mark{7, objects.ID{7}})
	for _, text := range []string{"", "x", good[:len(good)-1], good + "x", "\n" + good, " " + good} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, witnessFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := NewWitness(dir).Mark(); err == nil {
			t.Errorf("%q: got %s, want an error", text, m)
		}
		if err := NewWitness(dir).Raise(Mark{9, objects.ID{}}); err == nil {
			t.Errorf("%q: it was replaced", text)
		}
	}
}

func FuzzWitness(f *testing.F) {
	f.Add([]byte(formatMark(Mark{})))
	f.Add([]byte(formatMark(Mark{1<<64 - 1, objects.ID{1}})))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := parseMark(p)
		if err == nil && formatMark(m) != string(p) {
			t.Errorf("%q is read as %s, which is written otherwise", p, m)
		}
	})
}
