package index

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cairn/objects"
)

// manyRuns makes an index of n runs, which no Commit would leave, and returns
// what each of its files holds.
func manyRuns(t *testing.T, n int) (x *Index, held map[string]map[objects.ID]Place) {
	t.Helper()
	m := newMaker(71)
	x = mustOpen(t, t.TempDir(), defaults())
	held = make(map[string]map[objects.ID]Place)
	for i := range n {
		p, h := m.pack(m.ids(100 + i%3))
		mustAdd(t, x, p, h)
		r, err := x.write([]source{x.sortedDraft()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		held[r.path] = places(p, h)
		x.mu.Lock()
		x.setRuns(append(x.committed, r), nil)
		x.releaseDraft()
		x.mu.Unlock()
	}
	return x, held
}

// A chunk is found in whichever run it is, be they more than are asked at the
// same time.
func TestManyRuns(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, together - 1, together, together + 1, 3*together + 1} {
		x, held := manyRuns(t, n)
		m := newMaker(72)
		for range 1000 {
			if id := m.id(); !x.Claim(id) {
				t.Fatalf("%d runs: an unknown chunk counts as known", n)
			}
		}
		marks, err := x.NewMarks()
		if err != nil {
			t.Fatal(err)
		}
		wantHasAll(t, x, held)
		for _, want := range held {
			wantPlaces(t, x, want)
			for id := range want {
				if fresh, known, err := marks.Mark(id); !fresh || !known || err != nil {
					t.Fatalf("%d runs: mark: got %v, %v, %v, want true, true", n, fresh, known, err)
				}
			}
		}
	}
}

// wantHasAll asks for everything at once, and for that and one unknown chunk, in
// many places.
func wantHasAll(t *testing.T, x *Index, held map[string]map[objects.ID]Place) {
	t.Helper()
	var ids []objects.ID
	for _, places := range held {
		ids = slices.AppendSeq(ids, maps.Keys(places))
	}
	for n := range 3 * idsTogether {
		if all, err := x.HasAll(ids[:n]); !all || err != nil {
			t.Fatalf("has all of %d: got %v, %v, want true", n, all, err)
		}
		for i := range n {
			was := ids[i]
			ids[i][31] ^= 1 // only the last bit tells it from one that is there
			if all, err := x.HasAll(ids[:n]); all || err != nil {
				t.Fatalf("has all of %d, number %d unknown: got %v, %v, want false", n, i, all, err)
			}
			ids[i] = was
		}
	}
	if all, err := x.HasAll(ids); !all || err != nil {
		t.Fatalf("has all: got %v, %v, want true", all, err)
	}
}

// Whatever happens to one run, the others are searched, and what only it has is
// ErrDamaged.
func TestOneOfManyRunsDamaged(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"cut short": func(path string) error { return os.Truncate(path, pageSize) },
		"all rotten": func(path string) error {
			p, err := os.ReadFile(path)
			for at := pageSize; at < len(p); at += pageSize {
				err = errors.Join(err, patch(path, int64(at), p[at]+1))
			}
			return err
		},
	} {
		x, held := manyRuns(t, together+2)
		marks, err := x.NewMarks()
		if err != nil {
			t.Fatal(err)
		}
		bad := x.runs[together/2].path
		if err := spoil(bad); err != nil {
			t.Fatal(err)
		}
		whole := make(map[objects.ID]Place)
		for path, places := range held {
			if path != bad {
				maps.Copy(whole, places)
			}
		}
		ids := slices.Collect(maps.Keys(whole))
		if all, err := x.HasAll(ids); !all || err != nil {
			t.Errorf("%s: has all that is whole: got %v, %v, want true", name, all, err)
		}
		ids = slices.AppendSeq(ids, maps.Keys(held[bad]))
		if all, err := x.HasAll(ids); all || !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: has all: got %v, %v, want ErrDamaged", name, all, err)
		}
		wantPlaces(t, x, whole)
		if n := damagedLookups(t, x, held[bad]); n != len(held[bad]) {
			t.Errorf("%s: got %d damaged lookups of %d", name, n, len(held[bad]))
		}
		for id := range held[bad] {
			if _, known, err := marks.Mark(id); known || !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: mark: got %v, %v, want ErrDamaged", name, known, err)
			}
		}
		for id := range whole {
			if _, known, err := marks.Mark(id); !known || err != nil {
				t.Fatalf("%s: mark of another run: got %v, %v, want true", name, known, err)
			}
		}
	}
}

// A whole cache whose run is of another version is emptied, as an older program
// left it or a newer one, and can be built again.
func TestOtherVersionIsEmptied(t *testing.T) {
	t.Parallel()
	for version := range uint16(runVersion + 2) {
		dir := t.TempDir()
		state, want := built(t, dir, 500)
		path := runFile(t, dir)
		p, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h, ok := decodeHeader(p[:pageSize])
		if !ok {
			t.Fatal("a header that was written is none")
		}
		p[8] = byte(version)
		seal(p[:pageSize], h.salt, 0)
		m := manifest{state: state, runs: []runName{{salt: h.salt, check: sum(p[:pageSize], h.salt, 0)}}}
		if err := errors.Join(
			os.WriteFile(path, p, 0o600),
			os.WriteFile(filepath.Join(dir, manifestFile), m.encode(repository), 0o600),
		); err != nil {
			t.Fatal(err)
		}
		x := mustOpen(t, dir, small)
		if version == runVersion {
			wantPlaces(t, x, want)
			continue
		}
		wantFound(t, x, dir, Damaged)
		wantNone(t, x, want)
	}
}
