package pack

import (
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

// headerPreamble lays out a pack whose frames are those of goodHeader.
func headerPreamble() Preamble {
	return Preamble{AEAD: crypt.AES256GCM, Epoch: 1, HeaderLen: 1000, FramesLen: 21 + 30 + 17}
}

// goodHeader has two keys; stored, compressed and padding frames.
func goodHeader() *Header {
	off := uint32(headerPreamble().FramesOff())
	return &Header{
		Kind: objects.Meta,
		Keys: []Key{
			{AEAD: crypt.AES256GCM, Epoch: 2, Commitment: [32]byte{1}, Wrapped: [80]byte{2}},
			{AEAD: crypt.ChaCha20Poly1305, Epoch: 1, Commitment: [32]byte{3}, Wrapped: [80]byte{4}},
		},
		Frames: []Frame{
			{Key: 1, Number: 7, Compression: Stored, Off: off, Stored: 21, Raw: 5, First: 0, Count: 2},
			{Key: 0, Number: 0, Compression: Zstd, Off: off + 21, Stored: 30, Raw: 600, First: 2, Count: 1},
			{Key: 0, Number: 1, Compression: Stored, Off: off + 51, Stored: 17, Raw: 1, First: 3, Count: 0},
		},
		Chunks: []Chunk{{objects.ID{1}, 2}, {objects.ID{2}, 3}, {objects.ID{3}, 600}},
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	want := goodHeader()
	got, err := decodeHeader(want.append(nil), headerPreamble())
	if err != nil {
		t.Fatal(err)
	}
	if !sameHeader(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if c := got.FrameChunks(got.Frames[1]); len(c) != 1 || c[0].Len != 600 {
		t.Errorf("FrameChunks: got %v", c)
	}
}

// rejectedHeaders are plaintexts of headers of a pack laid out as
// headerPreamble says, and what is wrong with them.
func rejectedHeaders() []vector {
	alter := func(f func(*Header)) []byte {
		h := goodHeader()
		f(h)
		return h.append(nil)
	}
	// hand builds a header with one key and one frame from the frame on.
	hand := func(rest ...byte) []byte {
		h := goodHeader()
		h.Keys, h.Frames, h.Chunks = h.Keys[:1], nil, nil
		b := h.append(nil)
		return append(b[:len(b)-1], rest...)
	}
	id := string(make([]byte, idLen))
	var tooLong []byte // three chunks that are legal each, and not together
	tooLong = append(tooLong, 1, 0, 0, 0, 0, 0, 1, 68, 3)
	for range 3 {
		tooLong = wire.AppendUvarint(tooLong, MaxChunk)
	}
	tooLong = append(tooLong, id+id+id...)
	good := goodHeader().append(nil)
	return []vector{
		{"empty", nil},
		{"kind 0", alter(func(h *Header) { h.Kind = 0 })},
		{"kind 3", alter(func(h *Header) { h.Kind = 3 })},
		{"no keys", alter(func(h *Header) { h.Keys = nil })},
		{"no frames", hand(0)},
		{"more keys than bytes", []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}},
		{"more frames than bytes", hand(0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"more chunks than bytes", hand(append([]byte{1, 0, 0, 0, 0, 0, 0, 68, 0xff, 0xff, 0xff, 0x0f}, id...)...)},
		{"more chunks than IDs", hand(append([]byte{1, 0, 0, 0, 0, 0, 0, 68, 52}, make([]byte, 53*32)...)...)},
		{"AEAD 3 of a key", alter(func(h *Header) { h.Keys[1].AEAD = 3 })},
		{"epoch 0 of a key", alter(func(h *Header) { h.Keys[1].Epoch = 0 })},
		{"key index out of range", alter(func(h *Header) { h.Frames[0].Key = 2 })},
		{"compression 2", alter(func(h *Header) { h.Frames[1].Compression = 2 })},
		{"compressed padding", alter(func(h *Header) { h.Frames[2].Compression = Zstd })},
		{"padding of 16 stored bytes", alter(func(h *Header) { h.Frames[2].Stored = 16 })},
		{"frame of 16 stored bytes", alter(func(h *Header) { h.Frames[1].Stored = 16 })},
		{"stored frame of another length", alter(func(h *Header) { h.Chunks[0].Len = 3 })},
		{"frames shorter than the area", alter(func(h *Header) { h.Frames[1].Stored-- })},
		{"frames longer than the area", alter(func(h *Header) { h.Frames[1].Stored++ })},
		{"stored lengths wrap 32 bits", hand(1, 0, 0, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0)},
		{"empty chunk", hand(append([]byte{1, 0, 0, 0, 0, 0, 1, 68, 1, 0}, id...)...)},
		{"chunk of 16 MiB and one byte", alter(func(h *Header) { h.Chunks[2].Len = MaxChunk + 1 })},
		{"frame of more than 32 MiB", hand(tooLong[0:]...)},
		{"an ID cut short", good[:len(good)-1]},
		{"a byte left over", append(good[:len(good):len(good)], 0)},
		{"a varint not in its shortest form", hand(append([]byte{0x81, 0, 0, 0, 0, 0, 0, 0, 68, 1, 52}, id...)...)},
	}
}

func TestOpenHeaderTruncated(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	for n := range len(p.Prefix) {
		if _, err := OpenHeader(k, stored[:n]); !objects.IsCorrupt(err) {
			t.Fatalf("first %d bytes: got %v, want a CorruptError", n, err)
		}
	}
	if _, err := OpenHeader(k, p.Prefix); err != nil {
		t.Errorf("the whole prefix: got %v", err)
	}
}
