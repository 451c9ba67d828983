package pack

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"path/filepath"
	"testing"
)

// book opens things as FORMAT.md says, with nothing but the standard library:
// what the golden pack holds is what the page says, not only what the code
// says.
type book struct{ t *testing.T }

func (b book) hkdf(key, salt []byte, info string, n int) []byte {
	b.t.Helper()
	out, err := hkdf.Key(sha256.New, key, salt, info, n)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b book) open(key, nonce, ad, sealed []byte) []byte {
	b.t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		b.t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := gcm.Open(nil, nonce, sealed, ad)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// box opens a box under the key of epoch 2 for a purpose (FORMAT.md §3.4).
func (b book) box(purpose, label string, family, extra, box []byte) []byte {
	b.t.Helper()
	repositoryKey, repository := make([]byte, 32), make([]byte, 16)
	repositoryKey[0], repository[0] = 3, 4
	k := b.hkdf(repositoryKey, repository, "cairn/1 "+purpose+" e=2", 32)
	k = b.hkdf(k, box[:32], "cairn/1 box aead=1", 32)
	ad := join([]byte("cairn/1 "+label), []byte{0}, family, []byte{2, 0, 0, 0}, extra)
	return b.open(k, make([]byte, 12), ad, box[32:])
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestGoldenPackByTheBook(t *testing.T) {
	t.Parallel()
	b := book{t}
	stored := readDump(t, filepath.Join("testdata", "small.hex"))
	familyKey := make([]byte, 32)
	familyKey[0] = 1
	family := b.hkdf(familyKey, nil, "cairn/1 family-id", 16)

	// §7.2 and §7.4: one key, three frames; the first has chunks of 5 and 7.
	h := int(binary.LittleEndian.Uint32(stored[16:]))
	plain := b.box("header", "pack header", family, stored[:32], stored[40:40+h])
	if plain[0] != 1 || plain[1] != 1 || plain[2] != 1 || string(plain[3:7]) != "\x02\x00\x00\x00" {
		t.Fatalf("header begins with %x", plain[:7])
	}
	commitment, wrapped := plain[7:39], plain[39:119]
	if got, want := string(plain[119:130]), "\x03\x00\x00\x00\x00\x00\x00\x1c\x02\x05\x07"; got != want {
		t.Fatalf("first frame: got %x, want %x", got, want)
	}

	// §7.5.
	packKey := b.box("wrap-data", "pack key", family, join([]byte{1, 1}, commitment), wrapped)
	if got := b.hkdf(packKey, nil, "cairn/1 pack commitment", 32); string(got) != string(commitment) {
		t.Fatalf("commitment: got %x, want %x", got, commitment)
	}
	frameKey := b.hkdf(packKey, nil, "cairn/1 frames aead=1", 32)
	ad := join([]byte("cairn/1 frame\x00"), family, []byte{1}, commitment, []byte{0, 0, 0, 0}, []byte{0})
	if got := b.open(frameKey, make([]byte, 12), ad, stored[40+h:][:28]); string(got) != "hello, world" {
		t.Errorf("first frame: got %q", got)
	}
}
