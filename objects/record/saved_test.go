package record

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
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
	if _, err := OpenState(otherKeys(t), bytes.Clone(sealed)); !objects.IsCorrupt(err) {
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
		if _, err := OpenState(k, bytes.Clone(sealed[:i])); err == nil {
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

// manyArchives returns the state of a repository with n archives, each from a
// run that stored two packs.
func manyArchives(t testing.TB, n int) *State {
	t.Helper()
	s, rng := NewState(testKeys(t)), rand.New(fixedRandom("many"))
	for gen := range uint64(n) {
		c := &Commit{Generation: gen + 1, Prev: s.Commit, Archives: []Archive{testArchive(fmt.Sprint("host-", gen))}}
		for range 2 {
			p := bare(testPack(1, 100))
			for i := range p.ID {
				p.ID[i] = byte(rng.Uint32())
			}
			c.Packs = append(c.Packs, p)
		}
		if err := s.Apply(objects.ID{byte(gen), byte(gen >> 8), 1}, c); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// aRun is what a run does with the state of its repository: it is read, an
// archive is added, and it is kept.
func aRun(t testing.TB, k *crypt.Keys, sealed []byte) {
	s, err := OpenState(k, bytes.Clone(sealed))
	if err != nil {
		t.Fatal(err)
	}
	if s.Archives.Named("new") {
		t.Fatal("it is there before it is added")
	}
	c := &Commit{Generation: s.Generation + 1, Prev: s.Commit, Archives: []Archive{testArchive("new")}, Packs: []Pack{testPack(1, 49)}}
	s = s.Clone()
	if err := s.Apply(objects.ID{1}, c); err != nil {
		t.Fatal(err)
	}
	if _, err := SealState(k, s, fixedRandom("seal")); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkManyArchives(b *testing.B) {
	k := testKeys(b)
	for _, n := range []int{0, 1000, 10_000} {
		sealed, err := SealState(k, manyArchives(b, n), fixedRandom("seal"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				aRun(b, k, sealed)
			}
			b.ReportMetric(float64(len(sealed)), "bytes")
		})
	}
}

// TestManyArchivesTakeLittle holds what a run allocates for those that there are
// already: their bytes once when they are opened, once each when they are written
// down and sealed, and a little to find them.
//
// It is not run beside others, whose memory would count.
func TestManyArchivesTakeLittle(t *testing.T) {
	k := testKeys(t)
	var took, long []float64
	for _, n := range []int{100, 1100} {
		sealed, err := SealState(k, manyArchives(t, n), fixedRandom("seal"))
		if err != nil {
			t.Fatal(err)
		}
		const runs = 5
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			aRun(t, k, sealed)
		}
		runtime.ReadMemStats(&after)
		took, long = append(took, float64(after.TotalAlloc-before.TotalAlloc)/runs), append(long, float64(len(sealed)))
	}
	if got := (took[1] - took[0]) / (long[1] - long[0]); got > 6 {
		t.Errorf("got %.1f bytes allocated for each that an archive takes, want at most 6", got)
	}
}
