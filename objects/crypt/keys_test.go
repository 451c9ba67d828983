package crypt_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"cairn/objects"
	"cairn/objects/crypt"
)

// hkdf is RFC 5869 in its own words, so that the derivation is checked against
// the specification and not against itself.
func hkdf(key, salt []byte, info string, n int) []byte {
	if len(salt) == 0 {
		salt = make([]byte, sha256.Size)
	}
	sum := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	return sum(sum(salt, key), []byte(info), []byte{1})[:n]
}

func keyedHash(t *testing.T, key []byte, parts ...string) (id objects.ID) {
	t.Helper()
	h, err := blake3.NewKeyed(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		h.WriteString(p)
	}
	h.Sum(id[:0])
	return id
}

// TestDerivation holds FORMAT.md §3.2 and §3.4 against the code.
func TestDerivation(t *testing.T) {
	t.Parallel()
	m, k := testMaster(), testKeys(t)
	family := func(purpose string, n int) []byte { return hkdf(m.Family[:], nil, "cairn/1 "+purpose, n) }

	if got, want := k.Family(), family("family-id", 16); !bytes.Equal(got[:], want) {
		t.Errorf("family id %x, want %x", got, want)
	}
	if got, want := k.ChunkerKey(), family("cdc", 32); !bytes.Equal(got[:], want) {
		t.Errorf("chunker key %x, want %x", got, want)
	}
	if got, want := k.TreeSeed(), binary.LittleEndian.Uint64(family("tree", 32)); got != want {
		t.Errorf("tree seed %x, want %x", got, want)
	}
	h := k.NewHasher()
	if got, want := h.Sum(objects.Data, []byte("hello")), keyedHash(t, family("id-data", 32), "hello"); got != want {
		t.Errorf("data ID %v, want %v", got, want)
	}
	if got, want := h.Sum(objects.Meta, []byte("hello")), keyedHash(t, family("id-meta", 32), "hello"); got != want {
		t.Errorf("metadata ID %v, want %v", got, want)
	}
	if got, want := h.SumLabel("link", []byte("a/b")), keyedHash(t, family("id-meta", 32), "link\x00a/b"); got != want {
		t.Errorf("labelled ID %v, want %v", got, want)
	}
}

// TestBoxBytes holds FORMAT.md §3.3 and §3.4 against the code.
func TestBoxBytes(t *testing.T) {
	t.Parallel()
	m := testMaster()
	for _, aead := range []crypt.AEAD{crypt.AES256GCM, crypt.ChaCha20Poly1305} {
		k := derive(t, m, testRepo, aead)
		salt := bytes.Repeat([]byte{7}, 32)
		got, err := k.Seal(nil, crypt.Record, "config", []byte("extra"), []byte("text"), bytes.NewReader(salt))
		if err != nil {
			t.Fatal(err)
		}
		purpose := hkdf(m.Epochs[1].Key[:], testRepo[:], "cairn/1 record e=3", 32)
		c, err := aead.New(hkdf(purpose, salt, fmt.Sprintf("cairn/1 box aead=%d", aead), 32))
		if err != nil {
			t.Fatal(err)
		}
		family := k.Family()
		ad := "cairn/1 config\x00" + string(family[:]) + "\x03\x00\x00\x00" + "extra"
		want := c.Seal(salt, make([]byte, 12), []byte("text"), []byte(ad))
		if !bytes.Equal(got, want) {
			t.Errorf("%v: box %x, want %x", aead, got, want)
		}
	}
}

// TestKeysGolden pins what a second implementation has to derive.
func TestKeysGolden(t *testing.T) {
	t.Parallel()
	m := testMaster()
	k := derive(t, m, testRepo, crypt.AES256GCM)
	h := k.NewHasher()
	box, err := k.Seal(nil, crypt.WrapData, "pack key", []byte("extra"), []byte("plaintext"), fixedRandom("box"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "keys.json", map[string]string{
		"family key":             hex.EncodeToString(m.Family[:]),
		"repository key 1":       hex.EncodeToString(m.Epochs[0].Key[:]),
		"repository key 3":       hex.EncodeToString(m.Epochs[1].Key[:]),
		"repository":             testRepo.String(),
		"family id":              fmt.Sprintf("%x", k.Family()),
		"chunker key":            fmt.Sprintf("%x", k.ChunkerKey()),
		"tree seed":              fmt.Sprintf("%016x", k.TreeSeed()),
		"data chunk 'cairn'":     h.Sum(objects.Data, []byte("cairn")).String(),
		"metadata chunk 'cairn'": h.Sum(objects.Meta, []byte("cairn")).String(),
		"archive id of 'cairn'":  h.SumLabel("archive", []byte("cairn")).String(),
		"box: epoch 3, wrap-data, label 'pack key', extra 'extra', AES-256-GCM, of 'plaintext'": hex.EncodeToString(box),
	})
}

func TestHasherIsReused(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	h := k.NewHasher()
	p := bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16)
	for _, n := range []int{1, 64, 65, 1024, 1025, 8192, 8193, 20000, len(p), 1} {
		for _, kind := range []objects.Kind{objects.Data, objects.Meta} {
			if got, want := h.Sum(kind, p[:n]), k.NewHasher().Sum(kind, p[:n]); got != want {
				t.Errorf("%v, %d bytes: a used hasher says %v, a new one %v", kind, n, got, want)
			}
		}
	}
	if h.Sum(objects.Data, p) == h.Sum(objects.Meta, p) {
		t.Error("data and metadata have the same ID")
	}
}

// It is not parallel: AllocsPerRun counts the allocations of all goroutines.
func TestHasherDoesNotAllocate(t *testing.T) {
	h := testKeys(t).NewHasher()
	p := make([]byte, 100_000)
	var sink objects.ID
	for name, sum := range map[string]func(){
		"small chunk": func() { sink = h.Sum(objects.Data, p[:10]) },
		"large chunk": func() { sink = h.Sum(objects.Meta, p) },
		"label":       func() { sink = h.SumLabel("archive", p[:100]) },
	} {
		if got := testing.AllocsPerRun(100, sum); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
	_ = sink
}

func TestDeriveRejects(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*crypt.Master) crypt.AEAD{
		"unknown AEAD": func(*crypt.Master) crypt.AEAD { return 3 },
		"no epoch":     func(m *crypt.Master) crypt.AEAD { m.Epochs = nil; return 1 },
		"epoch 0":      func(m *crypt.Master) crypt.AEAD { m.Epochs[0].Number = 0; return 1 },
		"twice":        func(m *crypt.Master) crypt.AEAD { m.Epochs[1].Number = 1; return 1 },
		"falling":      func(m *crypt.Master) crypt.AEAD { m.Epochs[0].Number = 4; return 1 },
		"too many":     func(m *crypt.Master) crypt.AEAD { m.Epochs = make([]crypt.Epoch, 1025); return 1 },
	} {
		m := testMaster()
		aead := change(&m)
		if _, err := crypt.Derive(m, testRepo, aead); err == nil {
			t.Errorf("%s: Derive accepts it", reason)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	m := testMaster()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, m); strings.Contains(s, "64") && strings.Contains(s, "65") {
			t.Errorf("%s shows a key: %s", verb, s)
		}
	}
}

func TestNewMaster(t *testing.T) {
	t.Parallel()
	m, err := crypt.NewMaster(fixedRandom("master"))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Epochs) != 1 || m.Epochs[0].Number != 1 || m.Family == m.Epochs[0].Key || m.Family == (crypt.Secret{}) {
		t.Errorf("got %d epochs, or keys that are not fresh", len(m.Epochs))
	}
	if _, err := crypt.NewMaster(strings.NewReader("too few bytes")); err == nil {
		t.Error("a master is made without enough randomness")
	}
}

func TestAEADNew(t *testing.T) {
	t.Parallel()
	if !crypt.Preferred().Valid() {
		t.Errorf("Preferred() = %v, which is not valid", crypt.Preferred())
	}
	for _, a := range []crypt.AEAD{crypt.AES256GCM, crypt.ChaCha20Poly1305} {
		c, err := a.New(make([]byte, crypt.KeySize))
		if err != nil || c.NonceSize() != crypt.NonceSize || c.Overhead() != crypt.TagSize {
			t.Errorf("%v: %v, or its sizes are wrong", a, err)
		}
		for _, n := range []int{0, 16, 24, 31, 33} {
			if _, err := a.New(make([]byte, n)); err == nil {
				t.Errorf("%v accepts a key of %d bytes", a, n)
			}
		}
	}
	if _, err := crypt.AEAD(0).New(make([]byte, crypt.KeySize)); err == nil {
		t.Error("AEAD 0 makes a cipher")
	}
}

func BenchmarkHasher(b *testing.B) {
	h := testKeys(b).NewHasher()
	for _, n := range []int{1 << 10, 64 << 10, 1 << 20} {
		p := make([]byte, n)
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				h.Sum(objects.Data, p)
			}
		})
	}
}

func BenchmarkNewHasher(b *testing.B) {
	k := testKeys(b)
	b.ReportAllocs()
	for b.Loop() {
		k.NewHasher()
	}
}
