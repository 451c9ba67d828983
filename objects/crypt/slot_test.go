package crypt_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
)

// cheapKDF is the least that is accepted.
func cheapKDF() crypt.KDF { return crypt.KDF{Memory: 19 << 10, Passes: 1, Lanes: 1} }

const testPassphrase = "correct horse"

func sealSlot(t testing.TB, passphrase string, kdf crypt.KDF) []byte {
	t.Helper()
	body, err := crypt.SealSlot(fixedRandom("slot "+passphrase), testMaster(), testRepo, []byte(passphrase), kdf, "Läptop", testCreated)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func wantSlot(kdf crypt.KDF) crypt.Slot {
	return crypt.Slot{Repository: testRepo, KDF: kdf, Master: testMaster(), Created: testCreated, Label: "Läptop"}
}

func TestSlotRoundTrip(t *testing.T) {
	t.Parallel()
	body := sealSlot(t, testPassphrase, cheapKDF())
	got, err := crypt.OpenSlot(body, []byte(testPassphrase))
	if want := wantSlot(cheapKDF()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	repo, kdf, err := crypt.PeekSlot(body)
	if err != nil || repo != testRepo || kdf != cheapKDF() {
		t.Errorf("PeekSlot = %v, %v, %v", repo, kdf, err)
	}
	if _, err := crypt.OpenSlot(body, []byte("wrong horse")); !errors.Is(err, crypt.ErrWrongPassphrase) || objects.IsCorrupt(err) {
		t.Errorf("wrong passphrase: %v, want ErrWrongPassphrase", err)
	}
	if _, err := crypt.OpenSlot(body, nil); !errors.Is(err, crypt.ErrWrongPassphrase) {
		t.Errorf("no passphrase: %v, want ErrWrongPassphrase", err)
	}
}

// TestSlotWithoutKDF: FORMAT.md §5.3.
func TestSlotWithoutKDF(t *testing.T) {
	t.Parallel()
	body := sealSlot(t, "", crypt.NoKDF())
	if _, err := crypt.OpenSlot(body, nil); !errors.Is(err, crypt.ErrWeakSlot) {
		t.Errorf("in a repository: %v, want ErrWeakSlot", err)
	}
	for _, passphrase := range []string{"", "ignored"} {
		got, err := crypt.OpenKeySlot(body, []byte(passphrase))
		if want := wantSlot(crypt.NoKDF()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("in a key file: %+v, %v, want %+v", got, err, want)
		}
	}
	if _, kdf, err := crypt.PeekSlot(body); err != nil || !kdf.None() {
		t.Errorf("PeekSlot = %v, %v, want no KDF", kdf, err)
	}
}

func TestSealSlotRejects(t *testing.T) {
	t.Parallel()
	sparse := testMaster()
	sparse.Epochs = nil
	with := func(change func(*crypt.KDF)) crypt.KDF {
		kdf := cheapKDF()
		change(&kdf)
		return kdf
	}
	for _, c := range []struct {
		reason     string
		master     crypt.Master
		passphrase string
		kdf        crypt.KDF
		label      string
	}{
		{"no epoch", sparse, "p", cheapKDF(), ""},
		{"KDF without passphrase", testMaster(), "", cheapKDF(), ""},
		{"passphrase without KDF", testMaster(), "p", crypt.NoKDF(), ""},
		{"too little memory", testMaster(), "p", with(func(k *crypt.KDF) { k.Memory = 19<<10 - 1 }), ""},
		{"too much memory", testMaster(), "p", with(func(k *crypt.KDF) { k.Memory = 4<<20 + 1 }), ""},
		{"no pass", testMaster(), "p", with(func(k *crypt.KDF) { k.Passes = 0 }), ""},
		{"too many passes", testMaster(), "p", with(func(k *crypt.KDF) { k.Passes = 65 }), ""},
		{"no lane", testMaster(), "p", with(func(k *crypt.KDF) { k.Lanes = 0 }), ""},
		{"too many lanes", testMaster(), "p", with(func(k *crypt.KDF) { k.Lanes = 65 }), ""},
		{"label not UTF-8", testMaster(), "p", cheapKDF(), "\xff"},
		{"label too long", testMaster(), "p", cheapKDF(), strings.Repeat("x", 65536)},
	} {
		if _, err := crypt.SealSlot(fixedRandom("x"), c.master, testRepo, []byte(c.passphrase), c.kdf, c.label, testCreated); err == nil {
			t.Errorf("%s: SealSlot accepts it", c.reason)
		}
	}
	if _, err := crypt.SealSlot(strings.NewReader("short"), testMaster(), testRepo, []byte("p"), cheapKDF(), "", testCreated); err == nil {
		t.Error("SealSlot goes on without randomness")
	}
}

// TestDamagedSlotBody flips every bit: none may yield a slot.
func TestDamagedSlotBody(t *testing.T) {
	t.Parallel()
	body := sealSlot(t, "", crypt.NoKDF()) // so that no try costs a KDF
	for bit := range 8 * len(body) {
		flipped := bytes.Clone(body)
		flipped[bit/8] ^= 1 << (bit % 8)
		_, err := crypt.OpenKeySlot(flipped, nil)
		if !objects.IsCorrupt(err) && !errors.Is(err, objects.ErrNewer) && !errors.Is(err, crypt.ErrWeakSlot) {
			t.Errorf("bit %d of byte %d: %v, want damage", bit%8, bit/8, err)
		}
	}
	for n := range body {
		if _, err := crypt.OpenKeySlot(body[:n], nil); !objects.IsCorrupt(err) {
			t.Errorf("first %d bytes: %v, want a CorruptError", n, err)
		}
	}
}

// TestStoredSlotHeals flips every bit of both copies, one at a time.
func TestStoredSlotHeals(t *testing.T) {
	t.Parallel()
	body := sealSlot(t, "", crypt.NoKDF())
	id, stored := crypt.SlotName(body), objects.Twice(body)
	if got, half, err := crypt.SlotBody(id, stored); err != nil || half || !bytes.Equal(got, body) {
		t.Errorf("whole: %v, %v", half, err)
	}
	for bit := range 8 * len(stored) {
		flipped := bytes.Clone(stored)
		flipped[bit/8] ^= 1 << (bit % 8)
		if got, half, err := crypt.SlotBody(id, flipped); err != nil || !half || !bytes.Equal(got, body) {
			t.Errorf("bit %d of byte %d: %v, %v, want the other copy", bit%8, bit/8, half, err)
		}
	}
	if _, _, err := crypt.SlotBody(objects.ID{1}, stored); !objects.IsCorrupt(err) {
		t.Errorf("under another name: %v, want a CorruptError", err)
	}
	later := bytes.Clone(stored)
	later[8]++
	if _, _, err := crypt.SlotBody(objects.ID{1}, later); !errors.Is(err, objects.ErrNewer) {
		t.Errorf("later version: %v, want ErrNewer", err)
	}
}

// slotVector is a slot's body as it stands in testdata.
type slotVector struct {
	Name       string
	Passphrase string
	KeyFile    string       `json:",omitempty"` // PEM; instead of Body
	Body       string       `json:",omitempty"` // hexadecimal
	Decoded    *decodedSlot `json:",omitempty"`
	Error      string       `json:",omitempty"` // the class of the refusal
}

type decodedSlot struct {
	Repository, Label, Created string
	Memory, Passes, Lanes      int
	FamilyKey                  string
	Epochs                     map[uint32]string
}

func describe(s crypt.Slot) *decodedSlot {
	d := &decodedSlot{
		Repository: s.Repository.String(), Label: s.Label, Created: s.Created.Format(time.RFC3339Nano),
		Memory: int(s.KDF.Memory), Passes: int(s.KDF.Passes), Lanes: int(s.KDF.Lanes),
		FamilyKey: hex.EncodeToString(s.Master.Family[:]), Epochs: map[uint32]string{},
	}
	for _, e := range s.Master.Epochs {
		d.Epochs[e.Number] = hex.EncodeToString(e.Key[:])
	}
	return d
}

func class(err error) string {
	switch {
	case errors.Is(err, crypt.ErrWrongPassphrase):
		return "wrong passphrase"
	case errors.Is(err, crypt.ErrWeakSlot):
		return "weak"
	case errors.Is(err, objects.ErrNewer):
		return "newer"
	case objects.IsCorrupt(err):
		return "damaged"
	}
	return fmt.Sprintf("unexpected: %v", err)
}

// open opens a vector from its text alone.
func (v slotVector) open(t *testing.T) (crypt.Slot, error) {
	if v.KeyFile != "" {
		body, err := crypt.DecodeKeyFile([]byte(v.KeyFile))
		if err != nil {
			return crypt.Slot{}, err
		}
		return crypt.OpenKeySlot(body, []byte(v.Passphrase))
	}
	body, err := hex.DecodeString(v.Body)
	if err != nil {
		t.Fatal(err)
	}
	return crypt.OpenSlot(body, []byte(v.Passphrase))
}

// TestSlotGolden: slots.json is what slotVectors makes, byte for byte, and
// what stands in it opens or is refused as it says.
func TestSlotGolden(t *testing.T) {
	t.Parallel()
	golden(t, "slots.json", slotVectors(t))
	var vectors []slotVector
	load(t, "slots.json", &vectors)
	for _, v := range vectors {
		slot, err := v.open(t)
		switch {
		case v.Decoded == nil && (err == nil || class(err) != v.Error):
			t.Errorf("%s: %v, want it refused as %s", v.Name, err, v.Error)
		case v.Decoded != nil && err != nil:
			t.Errorf("%s: %v, want it accepted", v.Name, err)
		case v.Decoded != nil && !reflect.DeepEqual(describe(slot), v.Decoded):
			t.Errorf("%s: got %+v, want %+v", v.Name, describe(slot), v.Decoded)
		}
	}
}

func slotVectors(t *testing.T) []slotVector {
	cheap := sealSlot(t, testPassphrase, cheapKDF())
	lanes := sealSlot(t, testPassphrase, crypt.KDF{Memory: 20 << 10, Passes: 2, Lanes: 3})
	bare := sealSlot(t, "", crypt.NoKDF())
	bareFile := string(crypt.EncodeKeyFile(bare))
	accept := func(body []byte) *decodedSlot {
		slot, err := crypt.OpenKeySlot(body, []byte(testPassphrase))
		if err != nil {
			t.Fatal(err)
		}
		return describe(slot)
	}
	vectors := []slotVector{
		{Name: "slot", Passphrase: testPassphrase, Body: hex.EncodeToString(cheap), Decoded: accept(cheap)},
		{Name: "slot with lanes", Passphrase: testPassphrase, Body: hex.EncodeToString(lanes), Decoded: accept(lanes)},
		{Name: "key file without passphrase", KeyFile: bareFile, Decoded: accept(bare)},
		{Name: "key file with passphrase", Passphrase: testPassphrase, KeyFile: string(crypt.EncodeKeyFile(cheap)), Decoded: accept(cheap)},
		{Name: "key file after a note", KeyFile: "keep this safe\n\n" + bareFile, Decoded: accept(bare)},
		{Name: "key file with the line ends of Windows", KeyFile: strings.ReplaceAll(bareFile, "\n", "\r\n"), Decoded: accept(bare)},

		{Name: "slot without a KDF in a repository", Body: hex.EncodeToString(bare), Error: "weak"},
		{Name: "wrong passphrase", Passphrase: "Correct horse", Body: hex.EncodeToString(cheap), Error: "wrong passphrase"},
		{Name: "key file of another type", KeyFile: strings.ReplaceAll(bareFile, "CAIRN", "OTHER"), Error: "damaged"},
		{Name: "key file with a header", KeyFile: strings.Replace(bareFile, "KEY-----\n", "KEY-----\nA: b\n\n", 1), Error: "damaged"},
		{Name: "key file with something behind", KeyFile: bareFile + "x", Error: "damaged"},
		{Name: "key file cut short", KeyFile: bareFile[:len(bareFile)-30], Error: "damaged"},
	}
	for _, r := range []struct {
		name, class string
		off         int
		bytes       string
	}{
		{"magic", "damaged", 0, "C"},
		{"version 0", "damaged", 8, "\x00"},
		{"version 2", "newer", 8, "\x02"},
		{"unknown KDF", "damaged", 10, "\x02"},
		{"KDF none with parameters", "damaged", 10, "\x00"},
		{"reserved byte set", "damaged", 11, "\x01"},
		{"memory of 19455 KiB", "weak", 12, "\xff\x4b\x00\x00"},
		{"memory above 4 GiB", "damaged", 12, "\x01\x00\x40\x00"},
		{"no pass", "damaged", 16, "\x00"},
		{"65 passes", "damaged", 16, "\x41"},
		{"no lane", "damaged", 20, "\x00"},
		{"65 lanes", "damaged", 20, "\x41"},
		{"byte behind the lanes set", "damaged", 23, "\x01"},
		{"Argon2id without parameters", "weak", 12, "\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"other passes than it was made with", "wrong passphrase", 16, "\x02"},
		{"other salt", "wrong passphrase", 40, "salt"},
		{"other commitment", "wrong passphrase", 72, "comm"},
		{"other repository", "damaged", 24, "repo"},
		{"other nonce", "damaged", 104, "nonce"},
		{"other box", "damaged", 130, "box"},
	} {
		body := bytes.Clone(cheap)
		copy(body[r.off:], r.bytes)
		vectors = append(vectors, slotVector{Name: r.name, Passphrase: testPassphrase, Body: hex.EncodeToString(body), Error: r.class})
	}
	damaged := func(name string, body []byte) {
		vectors = append(vectors, slotVector{Name: name, Passphrase: testPassphrase, Body: hex.EncodeToString(body), Error: "damaged"})
	}
	damaged("truncated", cheap[:len(cheap)-1])
	damaged("trailing byte", append(bytes.Clone(cheap), 0))
	damaged("no box", cheap[:128])
	return vectors
}

func TestKeyFileRoundTrip(t *testing.T) {
	t.Parallel()
	body := sealSlot(t, "", crypt.NoKDF())
	text := crypt.EncodeKeyFile(body)
	if !bytes.HasPrefix(text, []byte("-----BEGIN CAIRN KEY-----\n")) {
		t.Errorf("a key file begins with %q", text[:30])
	}
	if got, err := crypt.DecodeKeyFile(text); err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %x, %v, want %x", got, err, body)
	}
}

func FuzzDecodeKeyFile(f *testing.F) {
	f.Add(crypt.EncodeKeyFile(sealSlot(f, "", crypt.NoKDF())))
	f.Add([]byte("-----BEGIN CAIRN KEY-----\n-----END CAIRN KEY-----\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		body, err := crypt.DecodeKeyFile(p)
		if err != nil {
			return
		}
		if again, err := crypt.DecodeKeyFile(crypt.EncodeKeyFile(body)); err != nil || !bytes.Equal(again, body) {
			t.Errorf("what it held reads differently when written again: %v", err)
		}
	})
}

func BenchmarkOpenSlot(b *testing.B) {
	body := sealSlot(b, testPassphrase, crypt.DefaultKDF())
	for b.Loop() {
		if _, err := crypt.OpenSlot(body, []byte(testPassphrase)); err != nil {
			b.Fatal(err)
		}
	}
}
