package crypt_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/quick"

	"cairn/objects"
	"cairn/objects/crypt"
)

func seal(t testing.TB, k *crypt.Keys, purpose crypt.Purpose, label, extra, plaintext string) []byte {
	t.Helper()
	box, err := k.Seal(nil, purpose, label, []byte(extra), []byte(plaintext), fixedRandom("seal"))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestBoxRoundTrip(t *testing.T) {
	t.Parallel()
	random := fixedRandom("round trip")
	for _, aead := range []crypt.AEAD{crypt.AES256GCM, crypt.ChaCha20Poly1305} {
		k := derive(t, testMaster(), testRepo, aead)
		check := func(before []byte, label string, extra, plaintext []byte) bool {
			box, err := k.Seal(bytes.Clone(before), crypt.Header, label, extra, plaintext, random)
			if err != nil || !bytes.HasPrefix(box, before) || len(box) != len(before)+crypt.BoxOverhead+len(plaintext) {
				return false
			}
			got, err := k.Open(bytes.Clone(before), k.Origin(), crypt.Header, label, extra, box[len(before):])
			return err == nil && bytes.Equal(got, append(bytes.Clone(before), plaintext...))
		}
		if err := quick.Check(check, nil); err != nil {
			t.Errorf("%v: %v", aead, err)
		}
	}
}

// TestBoxIsBound: a box opens only as what it was sealed as.
func TestBoxIsBound(t *testing.T) {
	t.Parallel()
	m := testMaster()
	for _, aead := range []crypt.AEAD{crypt.AES256GCM, crypt.ChaCha20Poly1305} {
		k := derive(t, m, testRepo, aead)
		box := seal(t, k, crypt.Record, "commit", "extra", "plaintext")
		good := k.Origin()

		otherFamily := testMaster()
		otherFamily.Family[0]++
		otherKey := testMaster()
		otherKey.Epochs[1].Key[0]++
		otherRepo := testRepo
		otherRepo[0]++

		for _, c := range []struct {
			name    string
			keys    *crypt.Keys
			from    crypt.Origin
			purpose crypt.Purpose
			label   string
			extra   string
			opens   bool
		}{
			{"itself", k, good, crypt.Record, "commit", "extra", true},
			{"keys of the other AEAD", derive(t, m, testRepo, 3-aead), good, crypt.Record, "commit", "extra", true},
			{"other purpose", k, good, crypt.Header, "commit", "extra", false},
			{"wrap-data", k, good, crypt.WrapData, "commit", "extra", false},
			{"wrap-meta", k, good, crypt.WrapMeta, "commit", "extra", false},
			{"other label", k, good, crypt.Record, "head", "extra", false},
			{"no label", k, good, crypt.Record, "", "extra", false},
			{"other extra", k, good, crypt.Record, "commit", "Extra", false},
			{"longer extra", k, good, crypt.Record, "commit", "extra\x00", false},
			{"no extra", k, good, crypt.Record, "commit", "", false},
			{"extra moved to the label", k, good, crypt.Record, "commit\x00", "xtra", false},
			{"older epoch", k, crypt.Origin{AEAD: aead, Epoch: 1}, crypt.Record, "commit", "extra", false},
			{"other AEAD", k, crypt.Origin{AEAD: 3 - aead, Epoch: 3}, crypt.Record, "commit", "extra", false},
			{"unknown AEAD", k, crypt.Origin{AEAD: 9, Epoch: 3}, crypt.Record, "commit", "extra", false},
			{"other repository", derive(t, m, otherRepo, aead), good, crypt.Record, "commit", "extra", false},
			{"other family", derive(t, otherFamily, testRepo, aead), good, crypt.Record, "commit", "extra", false},
			{"other key", derive(t, otherKey, testRepo, aead), good, crypt.Record, "commit", "extra", false},
		} {
			for i := range 2 {
				got, err := c.keys.Open(nil, c.from, c.purpose, c.label, []byte(c.extra), box)
				if i > 0 {
					got, err = c.keys.OpenInPlace(c.from, c.purpose, c.label, []byte(c.extra), bytes.Clone(box))
				}
				if c.opens && (err != nil || string(got) != "plaintext") {
					t.Errorf("%v, %s: %q, %v, want it to open", aead, c.name, got, err)
				}
				if !c.opens && (!objects.IsCorrupt(err) || got != nil) {
					t.Errorf("%v, %s: %q, %v, want a CorruptError", aead, c.name, got, err)
				}
			}
		}
	}
}

// TestBoxEpochIsBound: two epochs with one key would still not be confused.
func TestBoxEpochIsBound(t *testing.T) {
	t.Parallel()
	m := testMaster()
	m.Epochs[1].Key = m.Epochs[0].Key
	k := derive(t, m, testRepo, crypt.AES256GCM)
	box := seal(t, k, crypt.Record, "commit", "", "plaintext")
	if _, err := k.Open(nil, crypt.Origin{AEAD: crypt.AES256GCM, Epoch: 1}, crypt.Record, "commit", nil, box); !objects.IsCorrupt(err) {
		t.Errorf("opened as of another epoch: %v, want a CorruptError", err)
	}
}

func TestBoxOfOlderEpochOpens(t *testing.T) {
	t.Parallel()
	m := testMaster()
	before := m
	before.Epochs = m.Epochs[:1]
	old := derive(t, before, testRepo, crypt.AES256GCM)
	box := seal(t, old, crypt.Header, "pack header", "", "plaintext")
	now := derive(t, m, testRepo, crypt.AES256GCM)
	if got, err := now.Open(nil, old.Origin(), crypt.Header, "pack header", nil, box); err != nil || string(got) != "plaintext" {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
}

func TestBoxOfUnknownEpoch(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	for _, epoch := range []uint32{0, 2, 4} {
		from := crypt.Origin{AEAD: crypt.AES256GCM, Epoch: epoch}
		if _, err := k.Open(nil, from, crypt.Record, "head", nil, make([]byte, 100)); !errors.Is(err, crypt.ErrNoEpoch) || objects.IsCorrupt(err) {
			t.Errorf("epoch %d: %v, want ErrNoEpoch", epoch, err)
		}
	}
}

func TestDamagedBox(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	box := seal(t, k, crypt.Record, "head", "", "plaintext")
	rejected := func(name string, box []byte) {
		t.Helper()
		if _, err := k.Open(nil, k.Origin(), crypt.Record, "head", nil, box); !objects.IsCorrupt(err) {
			t.Errorf("%s: %v, want a CorruptError", name, err)
		}
	}
	for bit := range 8 * len(box) {
		flipped := bytes.Clone(box)
		flipped[bit/8] ^= 1 << (bit % 8)
		rejected("flipped bit", flipped)
	}
	for n := range box {
		rejected("truncated", box[:n])
	}
	rejected("longer", append(bytes.Clone(box), 0))
}

func TestSealNeedsRandomness(t *testing.T) {
	t.Parallel()
	if box, err := testKeys(t).Seal(nil, crypt.Record, "head", nil, nil, strings.NewReader("short")); err == nil {
		t.Errorf("Seal = %x without enough randomness", box)
	}
}

func FuzzOpen(f *testing.F) {
	k := testKeys(f)
	f.Add(seal(f, k, crypt.Record, "head", "extra", "plaintext"), []byte("extra"), uint8(2), uint32(3))
	f.Add([]byte{}, []byte{}, uint8(0), uint32(0))
	f.Fuzz(func(t *testing.T, box, extra []byte, aead uint8, epoch uint32) {
		p, err := k.Open(nil, crypt.Origin{AEAD: crypt.AEAD(aead), Epoch: epoch}, crypt.Record, "head", extra, box)
		if err == nil && string(p) != "plaintext" {
			t.Errorf("forged %q", p)
		}
	})
}
