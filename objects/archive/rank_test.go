package archive

import (
	"errors"
	"reflect"
	"testing"

	"cairn/objects"
)

func TestRankStandsForEntry(t *testing.T) {
	t.Parallel()
	entries := usr(5000)
	s := newStore()
	r := NewReader(write(t, entries, s.put), s.get)
	for rank, want := range entries {
		if rank%17 > 0 && rank != len(entries)-1 {
			continue
		}
		got, err := r.At(uint64(rank))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("At(%d): got %q, want %q", rank, got.Path, want.Path)
		}
		if _, found, err := r.Find(want.Path); err != nil || found != uint64(rank) {
			t.Fatalf("Find(%q): got rank %d, %v, want %d", want.Path, found, err, rank)
		}
	}
	for _, rank := range []uint64{uint64(len(entries)), 1 << 63} {
		if _, err := r.At(rank); !errors.Is(err, ErrNotFound) {
			t.Errorf("At(%d) of %d entries: got %v, want ErrNotFound", rank, len(entries), err)
		}
	}
	if _, err := NewReader(write(t, nil, s.put), s.get).At(0); !errors.Is(err, ErrNotFound) {
		t.Errorf("At(0) of an empty archive: got %v, want ErrNotFound", err)
	}
}

func TestListingGoesOnBehindAnyChild(t *testing.T) {
	t.Parallel()
	entries := usr(5000)
	s := newStore()
	r := NewReader(write(t, entries, s.put), s.get)
	for _, dir := range []string{"", "usr", "usr/share", entries[2].Path, entries[3].Path} {
		var paths []string
		var ranks []uint64
		for l := r.List(dir); ; {
			e, rank, err := l.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				break
			}
			if entries[rank].Path != e.Path {
				t.Fatalf("list %q: %q has rank %d, which is that of %q", dir, e.Path, rank, entries[rank].Path)
			}
			paths, ranks = append(paths, e.Path), append(ranks, rank)
		}
		if len(paths) == 0 {
			t.Fatalf("list %q: no children", dir)
		}
		for i, rank := range ranks {
			l := r.List(dir)
			if err := l.After(rank); err != nil {
				t.Fatal(err)
			}
			e, _, err := l.Next()
			switch {
			case err != nil:
				t.Fatal(err)
			case i == len(ranks)-1 && e != nil:
				t.Errorf("list %q after its last child: got %q, want the end", dir, e.Path)
			case i < len(ranks)-1 && (e == nil || e.Path != paths[i+1]):
				t.Errorf("list %q after %q: got %v, want %q", dir, paths[i], e, paths[i+1])
			}
		}
	}
}

func TestExtentsFromAnyByte(t *testing.T) {
	t.Parallel()
	s := newStore()
	w := NewContentWriter(s.put)
	var want []Placed
	off := uint64(0)
	for i := range 5000 {
		x := Extent{Len: uint64(1 + i%7)}
		if x.Hole = i%5 == 0; !x.Hole {
			x.ID = objects.ID{byte(i), byte(i >> 8), 1}
		}
		if err := w.Add(x); err != nil {
			t.Fatal(err)
		}
		want = append(want, Placed{x, off})
		off += x.Len
	}
	c, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(Root{}, s.get)
	for i := 0; i < len(want); i += 97 {
		s.gets = 0
		at := i
		for x, err := range r.ExtentsFrom(&c, want[i].Off+want[i].Len-1) {
			if err != nil {
				t.Fatal(err)
			}
			if x != want[at] {
				t.Fatalf("from extent %d: got %v, want %v", i, x, want[at])
			}
			if at++; at == i+2 {
				break
			}
		}
		if s.gets > 2*int(c.Level) {
			t.Errorf("from extent %d: %d lists were read, want at most %d", i, s.gets, 2*c.Level)
		}
	}
	for x := range r.ExtentsFrom(&c, off) {
		t.Errorf("from the end: got %v, want nothing", x)
	}
}
