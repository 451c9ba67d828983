package record

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
)

func testHead() *Head {
	return &Head{
		Generation: 130, GC: 2, Commit: objects.ID{1, 2, 3},
		SnapshotGeneration: 128, Snapshot: objects.ID{4, 5, 6},
		Unswept: 1, Orphans: 3,
		Holders: []Participant{{
			ID: ParticipantID{7}, Mode: Append, Beat: 300, TTL: 5 * time.Minute, Since: testTime,
			Host: "mill", User: "ada", Command: "cairn backup /home", BootID: "b00t",
			Namespace: 4026531836, PID: 4711, Start: 123456,
		}},
		Queue: []Participant{
			{ID: ParticipantID{8}, Mode: Exclusive, Since: testTime.Add(time.Second)},
			{ID: ParticipantID{9}, Mode: Append, TTL: time.Millisecond, Since: testTime},
		},
	}
}

func encodeHead(t testing.TB, k *crypt.Keys, h *Head) []byte {
	t.Helper()
	value, err := EncodeHead(k, h, fixedRandom("head"))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// sealHead wraps a plaintext, legal or not, as EncodeHead would.
func sealHead(t testing.TB, k *crypt.Keys, plaintext []byte) []byte {
	t.Helper()
	repo := k.Repository()
	value := append(appendPreface(nil, headMagic, k.Origin()), repo[:]...)
	value = append(value, make([]byte, headNonce)...)
	box, err := k.Seal(nil, crypt.Record, "head", value[headExtra:], plaintext, fixedRandom("head"))
	if err != nil {
		t.Fatal(err)
	}
	return append(value, box...)
}

func TestHeadRoundTrip(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	for _, h := range []*Head{testHead(), {}, {Generation: 1, Commit: objects.ID{1}}} {
		if got, err := DecodeHead(k, encodeHead(t, k, h)); err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("got %+v, %v, want %+v", got, err, h)
		}
	}
}

func TestHeadsNeverRepeat(t *testing.T) {
	t.Parallel()
	k, random := testKeys(t), fixedRandom("heads")
	seen := map[string]bool{}
	for range 100 {
		value, err := EncodeHead(k, testHead(), random)
		if err != nil {
			t.Fatal(err)
		}
		if nonce := string(value[32:48]); seen[nonce] {
			t.Fatal("a nonce came twice")
		} else {
			seen[nonce] = true
		}
	}
}

func TestEncodeHeadRejects(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*Head){
		"generation without commit": func(h *Head) { h.Commit = objects.ID{} },
		"commit without generation": func(h *Head) { *h = Head{Commit: objects.ID{1}} },
		"snapshot without record":   func(h *Head) { h.Snapshot = objects.ID{} },
		"record without generation": func(h *Head) { h.SnapshotGeneration = 0 },
		"snapshot of the future":    func(h *Head) { h.SnapshotGeneration = 131 },
		"generation of 13 digits":   func(h *Head) { h.Generation = 1e12 },
		"no mode":                   func(h *Head) { h.Holders[0].Mode = 0 },
		"unknown mode":              func(h *Head) { h.Queue[0].Mode = 3 },
		"negative ttl":              func(h *Head) { h.Queue[0].TTL = -time.Second },
	} {
		h := testHead()
		change(h)
		if _, err := EncodeHead(testKeys(t), h, fixedRandom("head")); err == nil {
			t.Errorf("%s: EncodeHead accepts it", reason)
		}
	}
	if _, err := EncodeHead(testKeys(t), testHead(), strings.NewReader("short")); err == nil {
		t.Error("EncodeHead goes on without randomness")
	}
}

func TestHeadFlips(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	value := encodeHead(t, k, testHead())
	for bit := range 8 * len(value) {
		if h, err := DecodeHead(k, flip(value, bit)); err == nil {
			t.Errorf("byte %d, bit %d: %+v, want an error", bit/8, bit%8, h)
		}
	}
	for n := range value {
		if _, err := DecodeHead(k, value[:n]); class(err) != "damaged" {
			t.Errorf("first %d bytes: %v, want a CorruptError", n, err)
		}
	}
}

func TestHeadGolden(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	value, plain := encodeHead(t, k, testHead()), appendHead(nil, testHead())
	vectors := []vector{
		{Name: "head", Stored: hex.EncodeToString(value), Decoded: describe(reflect.ValueOf(testHead()))},
		{Name: "head of a new repository", Stored: hex.EncodeToString(encodeHead(t, k, &Head{})), Decoded: map[string]any{}},
	}
	for _, r := range []struct {
		name, class string
		value       []byte
	}{
		{"empty", "damaged", nil},
		{"truncated", "damaged", value[:len(value)-1]},
		{"trailing byte", "damaged", append(bytes.Clone(value), 0)},
		{"flipped bit", "damaged", flip(value, 1000)},
		{"no box", "damaged", value[:48]},
		{"magic", "damaged", edit(value, 0, "C")},
		{"version 0", "damaged", edit(value, 8, "\x00")},
		{"version 2", "newer", edit(value, 8, "\x02")},
		{"unknown AEAD", "damaged", edit(value, 10, "\x00")},
		{"reserved byte set", "damaged", edit(value, 11, "\x01")},
		{"other nonce", "damaged", edit(value, 32, "nonce")},
		{"of an epoch after a rotation", "no epoch", encodeHead(t, rotatedKeys(t), testHead())},
		{"foreign repository", "damaged", encodeHead(t, otherKeys(t), testHead())},
		{"foreign repository renamed", "damaged", edit(encodeHead(t, otherKeys(t), testHead()), 16, string(testRepo[:]))},
		{"plaintext: trailing byte", "damaged", sealHead(t, k, append(bytes.Clone(plain), 0))},
		{"plaintext: truncated", "damaged", sealHead(t, k, plain[:len(plain)-1])},
		{"plaintext: varint not in its shortest form", "damaged", sealHead(t, k, append([]byte{0x82, 0x81, 0}, plain[2:]...))},
		{"plaintext: generation without commit", "damaged", sealHead(t, k, edit(plain, 3, strings.Repeat("\x00", 32)))},
		{"plaintext: snapshot of the future", "damaged", sealHead(t, k, edit(plain, 35, "\xff"))},
		{"plaintext: more holders than bytes", "damaged", sealHead(t, k, edit(plain, 71, "\xff\x7f"))},
		{"plaintext: unknown mode", "damaged", sealHead(t, k, edit(plain, 72+16, "\x03"))},
	} {
		vectors = append(vectors, vector{Name: r.name, Stored: hex.EncodeToString(r.value), Error: r.class})
	}
	checkVectors(t, "head.json", vectors, func(_ objects.ID, value []byte) (any, error) { return DecodeHead(k, value) })
}

func FuzzDecodeHeadPlaintext(f *testing.F) {
	f.Add(appendHead(nil, testHead()))
	f.Add(appendHead(nil, &Head{}))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := decodeHead(p)
		if err == nil && !bytes.Equal(appendHead(nil, h), p) {
			t.Errorf("read % x, which is written % x", p, appendHead(nil, h))
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	k := testKeys(f)
	f.Add(encodeHead(f, k, testHead()))
	f.Fuzz(func(t *testing.T, value []byte) {
		if h, err := DecodeHead(k, value); err == nil && !reflect.DeepEqual(h, testHead()) {
			t.Errorf("forged %+v", h)
		}
	})
}
