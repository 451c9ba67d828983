package pack

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
)

// testRandom yields the same bytes in every run.
func testRandom(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// testKeys returns the keys of a repository with epochs 1 and 2.
func testKeys(t testing.TB, aead crypt.AEAD) *crypt.Keys {
	t.Helper()
	m := crypt.Master{
		Family: crypt.Secret{1},
		Epochs: []crypt.Epoch{{Number: 1, Key: crypt.Secret{2}}, {Number: 2, Key: crypt.Secret{3}}},
	}
	k, err := crypt.Derive(m, objects.RepositoryID{4}, aead)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testBuilder(t testing.TB, k *crypt.Keys, kind objects.Kind, o Options) *Builder {
	t.Helper()
	if o.Target == 0 {
		o.Target = 1 << 20
	}
	if o.Random == nil {
		o.Random = testRandom(1)
	}
	b, err := NewBuilder(k, kind, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cut names the pieces of raw, of the given lengths, and returns them.
func cut(h *crypt.Hasher, kind objects.Kind, raw []byte, lens ...int) []Chunk {
	var chunks []Chunk
	for _, n := range lens {
		chunks = append(chunks, Chunk{ID: h.Sum(kind, raw[:n]), Len: uint32(n)})
		raw = raw[n:]
	}
	return chunks
}

// text returns n bytes that compress, noise n bytes that do not.
func text(n int) []byte {
	return bytes.Repeat([]byte("a backup that was never restored is a hope. "), n/44+1)[:n]
}

func noise(n int) []byte {
	p := make([]byte, n)
	io.ReadFull(testRandom(9), p)
	return p
}

func mustAdd(t testing.TB, b *Builder, c Compression, payload []byte, chunks []Chunk) {
	t.Helper()
	if ok, err := b.Add(c, payload, chunks); !ok || err != nil {
		t.Fatalf("Add: got %v, %v, want true", ok, err)
	}
}

func mustFinish(t testing.TB, b *Builder, p Padding) (*Pack, []byte) {
	t.Helper()
	pack, err := b.Finish(p)
	if err != nil {
		t.Fatal(err)
	}
	return pack, slices.Concat(pack.Parts...)
}

func mustOpenHeader(t testing.TB, k *crypt.Keys, stored []byte) *Header {
	t.Helper()
	h, err := OpenHeader(k, stored)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// openFrame opens a frame of a pack's stored bytes and verifies its chunks.
func openFrame(k *crypt.Keys, stored []byte, h *Header, f Frame) ([]byte, error) {
	raw, err := NewOpener(k, h.Kind).Open(nil, h.Keys[f.Key], f, slices.Clone(stored[f.Off:f.Off+f.Stored]))
	if err != nil {
		return nil, err
	}
	return raw, Verify(k.NewHasher(), h.Kind, raw, h.FrameChunks(f))
}

// smallPack is the pack of the golden vector: a stored frame of two chunks, a
// compressed frame of one, and padding.
func smallPack(t testing.TB, k *crypt.Keys) (*Pack, []byte) {
	t.Helper()
	b := testBuilder(t, k, objects.Data, Options{Target: MinTarget, Entropy: []byte("golden")})
	h := k.NewHasher()
	raw := []byte("hello, world")
	mustAdd(t, b, Stored, raw, cut(h, objects.Data, raw, 5, 7))
	raw = text(300)
	mustAdd(t, b, Zstd, smallZstd(), cut(h, objects.Data, raw, 300))
	return mustFinish(t, b, ToQuantum)
}

// smallZstd is text(300) as a zstd frame made by hand, so that the golden
// vector does not change with the encoder: one raw block (RFC 8878 §3.1.1).
func smallZstd() []byte {
	p := []byte{
		0x28, 0xb5, 0x2f, 0xfd, // magic
		0x60, 300 - 256, 0, // single segment, content size in two bytes
		300<<3&0xff | 1, 300 >> 5, 0, // the last block, raw, 300 bytes
	}
	return append(p, text(300)...)
}
