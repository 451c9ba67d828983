package record

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

func testConfig() Config {
	return Config{
		Repository: testRepo, AEAD: crypt.ChaCha20Poly1305, Created: testTime,
		ChunkUnit: 1 << 20, FixedUnit: 4 << 20, FrameSize: 2 << 20,
	}
}

func encodeConfig(t testing.TB) []byte {
	t.Helper()
	stored, err := EncodeConfig(testKeys(t), testConfig(), fixedRandom("config"))
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// sealConfig wraps a plaintext, legal or not, as EncodeConfig would.
func sealConfig(t testing.TB, k *crypt.Keys, plaintext []byte) []byte {
	t.Helper()
	repo := k.Repository()
	body := append(appendPreface(nil, configMagic, k.Origin()), repo[:]...)
	body = wire.AppendU32(body, uint32(crypt.BoxOverhead+len(plaintext)))
	box, err := k.Seal(nil, crypt.Record, "config", body[:configExtra], plaintext, fixedRandom("config"))
	if err != nil {
		t.Fatal(err)
	}
	body = append(body, box...)
	return objects.Twice(append(body, configHash(body)...))
}

// resumConfig returns body, changed by change, as it is stored: with the right
// checksum and twice over, as whoever writes to the store could.
func resumConfig(stored []byte, change func(body []byte) []byte) []byte {
	body := bytes.Clone(stored[:len(stored)/2-configSum])
	body = change(body)
	return objects.Twice(append(body, configHash(body)...))
}

func TestConfigRoundTrip(t *testing.T) {
	t.Parallel()
	k, stored := testKeys(t), encodeConfig(t)
	got, err := DecodeConfig(k, stored)
	if err != nil || !reflect.DeepEqual(got, testConfig()) {
		t.Errorf("got %+v, %v, want %+v", got, err, testConfig())
	}
	want := Clear{Repository: testRepo, AEAD: crypt.ChaCha20Poly1305, Epoch: 1}
	if clear, half, err := PeekConfig(stored); err != nil || half || clear != want {
		t.Errorf("PeekConfig = %+v, %v, %v, want %+v", clear, half, err, want)
	}
	// After a rotation config still stands as init wrote it.
	if got, err := DecodeConfig(rotatedKeys(t), stored); err != nil || !reflect.DeepEqual(got, testConfig()) {
		t.Errorf("after a rotation: %+v, %v", got, err)
	}
}

func TestEncodeConfigRejects(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*Config){
		"other repository":     func(c *Config) { c.Repository[0]++ },
		"other AEAD":           func(c *Config) { c.AEAD = crypt.AES256GCM },
		"no chunk unit":        func(c *Config) { c.ChunkUnit = 0 },
		"odd chunk unit":       func(c *Config) { c.ChunkUnit = 64<<10 + 1 },
		"chunk unit too large": func(c *Config) { c.ChunkUnit = 4<<20 + 64<<10 },
		"no fixed unit":        func(c *Config) { c.FixedUnit = 0 },
		"fixed unit too large": func(c *Config) { c.FixedUnit = 16<<20 + 1 },
		"no frame size":        func(c *Config) { c.FrameSize = 0 },
		"frame size too large": func(c *Config) { c.FrameSize = 32<<20 + 1 },
	} {
		c := testConfig()
		change(&c)
		if _, err := EncodeConfig(testKeys(t), c, fixedRandom("config")); err == nil {
			t.Errorf("%s: EncodeConfig accepts it", reason)
		}
	}
	if _, err := EncodeConfig(testKeys(t), testConfig(), strings.NewReader("short")); err == nil {
		t.Error("EncodeConfig goes on without randomness")
	}
}

// TestConfigFlips flips every bit: of one copy, which the other heals; of
// both; and of both with the checksum put right.
func TestConfigFlips(t *testing.T) {
	t.Parallel()
	k, stored := testKeys(t), encodeConfig(t)
	want, body := testConfig(), stored[:len(stored)/2]
	for bit := range 8 * len(stored) {
		damaged := flip(stored, bit)
		_, half, err := PeekConfig(damaged)
		if got, err2 := DecodeConfig(k, damaged); err != nil || err2 != nil || !half || got != want {
			t.Errorf("byte %d, bit %d: %+v, %v, %v, %v, want the other copy", bit/8, bit%8, got, half, err, err2)
		}
	}
	for bit := range 8 * len(body) {
		if _, err := DecodeConfig(k, objects.Twice(flip(body, bit))); class(err) != "damaged" && bit/16 != 4 {
			t.Errorf("byte %d, bit %d of both: %v, want a CorruptError", bit/8, bit%8, err)
		}
	}
	for bit := range 8 * (len(body) - configSum) {
		forged := resumConfig(stored, func(b []byte) []byte { return flip(b, bit) })
		if c, err := DecodeConfig(k, forged); err == nil {
			t.Errorf("byte %d, bit %d forged: %+v, want an error", bit/8, bit%8, c)
		}
	}
}

func TestConfigGolden(t *testing.T) {
	t.Parallel()
	k, stored := testKeys(t), encodeConfig(t)
	body := stored[:len(stored)/2]
	plain := appendConfig(nil, testConfig())
	forged := func(off int, with string) []byte {
		return resumConfig(stored, func(b []byte) []byte { return edit(b, off, with) })
	}
	vectors := []vector{
		{Name: "config", Stored: hex.EncodeToString(stored), Decoded: describe(reflect.ValueOf(testConfig()))},
		{Name: "first copy damaged", Stored: hex.EncodeToString(flip(stored, 700)), Decoded: describe(reflect.ValueOf(testConfig()))},
		{Name: "second copy damaged", Stored: hex.EncodeToString(flip(stored, 8*len(stored)-1)), Decoded: describe(reflect.ValueOf(testConfig()))},
	}
	for _, r := range []struct {
		name, class string
		stored      []byte
	}{
		{"empty", "damaged", nil},
		{"both copies damaged", "damaged", objects.Twice(flip(body, 700))},
		{"only once", "damaged", body},
		{"truncated", "damaged", stored[:len(stored)-1]},
		{"magic", "damaged", forged(0, "C")},
		{"version 0", "damaged", forged(8, "\x00")},
		{"version 2", "newer", forged(8, "\x02")},
		{"version 2 in another layout", "newer", edit(body, 8, "\x02")},
		{"unknown AEAD", "damaged", forged(10, "\x03")},
		{"other AEAD", "damaged", forged(10, "\x01")},
		{"reserved byte set", "damaged", forged(11, "\x01")},
		{"other epoch", "no epoch", forged(12, "\x02")},
		{"foreign repository", "damaged", sealConfig(t, otherKeys(t), plain)},
		{"box too long", "damaged", forged(32, "\x01\x00\x01\x00")},
		{"box longer than the rest", "damaged", forged(32, "\xff")},
		{"trailing byte behind the box", "damaged", resumConfig(stored, func(b []byte) []byte { return append(b, 0) })},
		{"no box", "damaged", resumConfig(stored, func(b []byte) []byte { return append(b[:32], 0, 0, 0, 0) })},
		{"plaintext: trailing byte", "damaged", sealConfig(t, k, append(bytes.Clone(plain), 0))},
		{"plaintext: truncated", "damaged", sealConfig(t, k, plain[:len(plain)-1])},
		{"plaintext: varint not in its shortest form", "damaged", sealConfig(t, k, append([]byte{0x80, 0}, plain[len(plain)-16:]...))},
		{"plaintext: 10^9 nanoseconds", "damaged", sealConfig(t, k, edit(plain, len(plain)-16, "\x00\xca\x9a\x3b"))},
		{"plaintext: chunk unit 1", "damaged", sealConfig(t, k, edit(plain, len(plain)-12, "\x01\x00\x00\x00"))},
		{"plaintext: fixed unit 0", "damaged", sealConfig(t, k, edit(plain, len(plain)-8, "\x00\x00\x00\x00"))},
		{"plaintext: frame size 0", "damaged", sealConfig(t, k, edit(plain, len(plain)-4, "\x00\x00\x00\x00"))},
	} {
		vectors = append(vectors, vector{Name: r.name, Stored: hex.EncodeToString(r.stored), Error: r.class})
	}
	checkVectors(t, "config.json", vectors, func(_ objects.ID, stored []byte) (any, error) { return DecodeConfig(k, stored) })
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add(appendConfig(nil, testConfig()))
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := decodeConfig(p)
		if err == nil && !bytes.Equal(appendConfig(nil, c), p) {
			t.Errorf("read % x, which is written % x", p, appendConfig(nil, c))
		}
	})
}

func FuzzPeekConfig(f *testing.F) {
	k := testKeys(f)
	f.Add(encodeConfig(f))
	f.Add([]byte(configMagic + "\x02\x00"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		// The body in front of a checksum that holds, so that the fuzzer gets past it.
		whole := objects.Twice(append(bytes.Clone(stored), configHash(stored)...))
		if _, half, err := PeekConfig(whole); err == nil && half {
			t.Error("two equal copies, and one is said to be damaged")
		}
		if c, err := DecodeConfig(k, whole); err == nil && c != testConfig() {
			t.Errorf("forged %+v", c)
		}
		_, _, _ = PeekConfig(stored)
	})
}
