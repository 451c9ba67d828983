package record

import (
	"errors"
	"math/rand/v2"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
)

// savedState returns a state with something of everything, and its payload.
func savedState(t testing.TB) *State {
	t.Helper()
	rng, s := rand.New(fixedRandom("saved")), NewState(testKeys(t))
	for gen := range byte(20) {
		if err := s.Apply(objects.ID{gen + 1}, historyCommit(rng, s)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSavedStateComesBack(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	for name, s := range map[string]*State{"empty": NewState(k), "full": savedState(t)} {
		sealed, err := SealState(k, s, fixedRandom("seal"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenState(k, sealed)
		if err != nil || !sameState(got, s) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, s)
		}
		next := historyCommit(rand.New(fixedRandom("next")), s)
		if err := errors.Join(s.Apply(objects.ID{99}, next), got.Apply(objects.ID{99}, next)); err != nil || !sameState(got, s) {
			t.Errorf("%s: what follows differs: %v", name, err)
		}
	}
}

func TestSavedStateOfOthersIsRefused(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	sealed, err := SealState(k, savedState(t), fixedRandom("seal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(otherKeys(t), sealed); !objects.IsCorrupt(err) {
		t.Errorf("of another repository: got %v, want a CorruptError", err)
	}
	rotated, err := SealState(rotatedKeys(t), savedState(t), fixedRandom("seal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(k, rotated); !errors.Is(err, crypt.ErrNoEpoch) {
		t.Errorf("of another epoch: got %v, want %v", err, crypt.ErrNoEpoch)
	}
	for i := range sealed {
		bad := append([]byte(nil), sealed...)
		bad[i] ^= 1
		if _, err := OpenState(k, bad); err == nil {
			t.Errorf("byte %d changed: it was taken", i)
		}
		if _, err := OpenState(k, sealed[:i]); err == nil {
			t.Errorf("cut to %d bytes: it was taken", i)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	k, s := testKeys(f), savedState(f)
	f.Add(appendState(nil, s))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := decodeState(k, p)
		if err != nil {
			return
		}
		again, err := decodeState(k, appendState(nil, s))
		if err != nil || !sameState(again, s) {
			t.Errorf("it does not come back: %v", err)
		}
	})
}
