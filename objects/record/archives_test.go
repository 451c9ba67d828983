package record

import (
	"slices"
	"testing"

	"cairn/objects"
)

func TestArchivesAreFound(t *testing.T) {
	t.Parallel()
	s, h := NewState(testKeys(t)), testKeys(t).NewHasher()
	monday, half, tuesday := testArchive("monday"), testArchive("half"), testArchive("tuesday")
	half.Kind = Checkpoint
	c := &Commit{Generation: 1, Archives: []Archive{monday, half, tuesday, half}}
	if err := s.Apply(objects.ID{1}, c); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(objects.ID{2}, &Commit{Generation: 2, Prev: objects.ID{1}, Archives: []Archive{monday}}); err != nil {
		t.Fatal(err)
	}
	names := func(list []Listed) (names []string) {
		for _, a := range list {
			names = append(names, a.Name)
		}
		return names
	}
	l := &s.Archives
	for what, got := range map[string][]Listed{
		"All": slices.Collect(l.All()), "At": {l.At(0), l.At(1), l.At(2)},
	} {
		if got := names(got); l.Len() != 3 || !slices.Equal(got, []string{"monday", "half", "tuesday"}) {
			t.Errorf("%s: got %v, want each once", what, got)
		}
	}
	if got := names(slices.Collect(l.Backward())); !slices.Equal(got, []string{"tuesday", "half", "monday"}) {
		t.Errorf("Backward: got %v", got)
	}
	if got := names(slices.Collect(l.Checkpoints())); !slices.Equal(got, []string{"half"}) {
		t.Errorf("Checkpoints: got %v", got)
	}
	for range l.All() {
		break // stops
	}
	if !l.Has(tuesday.ID(h)) || l.Has(objects.ID{9}) {
		t.Error("Has does not know what is there")
	}
	if !l.Named("half") || l.Named("hal") || l.Named("") {
		t.Error("Named does not know what is there")
	}
}
