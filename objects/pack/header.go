package pack

import (
	"fmt"
	"math/bits"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const (
	// MaxRaw is the length no frame's plaintext exceeds, bytes.
	MaxRaw = 32 << 20
	// MaxChunk is the length no chunk exceeds, bytes.
	MaxChunk = 16 << 20

	headerLabel   = "pack header"
	headerSubject = "pack header"
	wrappedLen    = 32 + crypt.BoxOverhead
	keyLen        = 1 + 4 + 32 + wrappedLen // a key's entry
	minFrameEntry = 1 + 4 + 1 + 1 + 1       // a frame's entry without chunks
	idLen         = 32
)

// Compression says how a frame's payload holds its plaintext.
type Compression uint8

const (
	Stored Compression = 0 // as it is
	Zstd   Compression = 1 // one zstd frame
)

// Chunk is one chunk of a frame.
type Chunk struct {
	ID  objects.ID
	Len uint32 // plaintext, bytes
}

// Key is an entry of a header's key table: a pack key, wrapped. Frames that
// came from other packs bring their keys along, so there may be several.
type Key struct {
	AEAD       crypt.AEAD // of the frames, and of the wrapping
	Epoch      uint32     // of the wrapping
	Commitment [32]byte
	Wrapped    [wrappedLen]byte
}

// Frame says where a frame lies and how to open it.
type Frame struct {
	Key         uint32 // index into Header.Keys
	Number      uint32 // unique under its key
	Compression Compression
	Off         uint32 // from the start of the pack, bytes
	Stored      uint32 // sealed length, bytes
	Raw         uint32 // plaintext length, bytes
	First       uint32 // index of the first chunk in Header.Chunks
	Count       uint32 // of chunks; zero for padding, which nobody reads
}

// Header finds everything in a pack. Frames stand in the order of their
// offsets, without gaps, and Chunks in the order of the frames.
type Header struct {
	Kind   objects.Kind
	Keys   []Key
	Frames []Frame
	Chunks []Chunk
}

// FrameChunks returns the chunks of a frame of h, in their order in the
// frame's plaintext. The result aliases h.
func (h *Header) FrameChunks(f Frame) []Chunk { return h.Chunks[f.First : f.First+f.Count] }

// OpenHeader opens the header in the first bytes of a pack: at least
// Preamble.Prefix of them. All of FORMAT.md §7.2 to §7.4 holds for the result;
// nothing is said about the frames' bytes. Damage and tampering are a
// *objects.CorruptError; the errors of ParsePreamble and of crypt.Keys.Open
// show through.
func OpenHeader(k *crypt.Keys, prefix []byte) (*Header, error) {
	p, err := ParsePreamble(prefix)
	if err != nil {
		return nil, err
	}
	if len(prefix) < p.Prefix() {
		return nil, objects.Corrupt(headerSubject, "it ends after %d of %d bytes", len(prefix), p.Prefix())
	}
	from := crypt.Origin{AEAD: p.AEAD, Epoch: p.Epoch}
	box := prefix[PreambleLen:p.Prefix()]
	plain, err := k.Open(nil, from, crypt.Header, headerLabel, prefix[:preambleBound], box)
	if err != nil {
		return nil, fmt.Errorf("open pack header: %w", err)
	}
	return decodeHeader(plain, p)
}

// decodeHeader reads the plaintext of the header of a pack laid out as p says.
func decodeHeader(plain []byte, p Preamble) (*Header, error) {
	d := headerDecoder{Decoder: wire.NewDecoder(plain)}
	d.kind()
	d.keys()
	d.frames(p)
	d.ids()
	if err := d.Finish(); err != nil {
		return nil, objects.Corrupt(headerSubject, "%v", err)
	}
	return &d.h, nil
}

// headerDecoder reads the parts of a header in their order.
type headerDecoder struct {
	*wire.Decoder
	h Header
}

// reject makes the given reason the decoder's error.
func (d *headerDecoder) reject(reason string, args ...any) { d.Fail(fmt.Errorf(reason, args...)) }

func (d *headerDecoder) kind() {
	d.h.Kind = objects.Kind(d.U8())
	if !d.h.Kind.Valid() {
		d.reject("%v is not known", d.h.Kind)
	}
}

func (d *headerDecoder) keys() {
	n := d.Count(keyLen)
	if n == 0 {
		d.reject("no keys")
	}
	d.h.Keys = make([]Key, n)
	for i := range d.h.Keys {
		k := &d.h.Keys[i]
		k.AEAD, k.Epoch = crypt.AEAD(d.U8()), d.U32()
		d.Fill(k.Commitment[:])
		d.Fill(k.Wrapped[:])
		if !k.AEAD.Valid() || k.Epoch == 0 {
			d.reject("key %d: AEAD %d, epoch %d", i, uint8(k.AEAD), k.Epoch)
			return
		}
	}
}

// frames reads the frames and the lengths of their chunks. They fill the frame
// area of p exactly.
func (d *headerDecoder) frames(p Preamble) {
	n := d.Count(minFrameEntry)
	if n == 0 {
		d.reject("no frames")
	}
	d.h.Frames = make([]Frame, n)
	end := p.FramesOff() + int64(p.FramesLen) // at most MaxLen
	off := p.FramesOff()
	for i := range d.h.Frames {
		f := d.frame()
		f.Off = uint32(off)
		off += int64(f.Stored)
		if d.Err() != nil {
			return
		}
		if off > end {
			d.reject("frame %d ends outside the frame area", i)
			return
		}
		d.h.Frames[i] = f
	}
	if off != end {
		d.reject("frames end %d bytes before the frame area does", end-off)
	}
}

// frame reads one frame, all but its offset.
func (d *headerDecoder) frame() Frame {
	f := Frame{
		Key:         uint32(d.UvarintMax(uint64(len(d.h.Keys) - 1))),
		Number:      d.U32(),
		Compression: Compression(d.U8()),
		Stored:      uint32(d.UvarintMax(MaxLen)),
		First:       uint32(len(d.h.Chunks)),
	}
	f.Raw, f.Count = d.lengths()
	if d.Err() != nil {
		return Frame{}
	}
	check := Frame.check
	if f.Count == 0 {
		f.Raw = f.Stored - min(f.Stored, crypt.TagSize)
		check = Frame.checkPadding
	}
	if err := check(f); err != nil {
		d.Fail(err)
	}
	return f
}

// lengths reads the lengths of a frame's chunks, appends the chunks, and
// returns the sum and the number of the lengths.
func (d *headerDecoder) lengths() (raw, count uint32) {
	// Each length has an ID further back, so that the chunks allocated here
	// are never more than the input can hold.
	n := d.Count(1 + idLen)
	for range n {
		l := uint32(d.UvarintMax(MaxChunk))
		if d.Err() != nil {
			return 0, 0
		}
		raw += l // cannot wrap: at most MaxRaw+MaxChunk
		if l == 0 || raw > MaxRaw {
			d.reject("chunk of %d bytes makes a frame of %d", l, raw)
			return 0, 0
		}
		d.h.Chunks = append(d.h.Chunks, Chunk{Len: l})
	}
	if len(d.h.Chunks) > d.Len()/idLen {
		d.Fail(wire.ErrShort)
	}
	return raw, uint32(n)
}

func (d *headerDecoder) ids() {
	for i := range d.h.Chunks {
		d.Fill(d.h.Chunks[i].ID[:])
	}
}

// check holds a frame that is not padding against FORMAT.md §7.4, all but its
// place, its key and its chunks.
func (f Frame) check() error {
	switch {
	case f.Compression > Zstd:
		return fmt.Errorf("compression %d is not known", f.Compression)
	case f.Stored < minStored || f.Stored > MaxLen:
		return fmt.Errorf("frame of %d stored bytes", f.Stored)
	case f.Compression == Stored && f.Raw != f.Stored-crypt.TagSize:
		return fmt.Errorf("frame of %d bytes is stored in %d", f.Raw, f.Stored)
	case f.Raw == 0 || f.Raw > MaxRaw:
		return fmt.Errorf("frame of %d bytes", f.Raw)
	}
	return nil
}

// checkPadding holds a frame without chunks against FORMAT.md §7.4.
func (f Frame) checkPadding() error {
	if f.Compression != Stored || f.Stored < minStored {
		return fmt.Errorf("padding of compression %d in %d stored bytes", f.Compression, f.Stored)
	}
	return nil
}

// append appends the plaintext of the header.
func (h *Header) append(b []byte) []byte {
	b = append(b, byte(h.Kind))
	b = wire.AppendUvarint(b, uint64(len(h.Keys)))
	for i := range h.Keys {
		k := &h.Keys[i]
		b = append(b, byte(k.AEAD))
		b = wire.AppendU32(b, k.Epoch)
		b = append(b, k.Commitment[:]...)
		b = append(b, k.Wrapped[:]...)
	}
	b = wire.AppendUvarint(b, uint64(len(h.Frames)))
	for _, f := range h.Frames {
		b = wire.AppendUvarint(b, uint64(f.Key))
		b = wire.AppendU32(b, f.Number)
		b = append(b, byte(f.Compression))
		b = wire.AppendUvarint(b, uint64(f.Stored))
		b = wire.AppendUvarint(b, uint64(f.Count))
		for _, c := range h.FrameChunks(f) {
			b = wire.AppendUvarint(b, uint64(c.Len))
		}
	}
	for i := range h.Chunks {
		b = append(b, h.Chunks[i].ID[:]...)
	}
	return b
}

// uvarintLen returns how many bytes v takes as a uvarint.
func uvarintLen(v uint64) int64 { return int64(bits.Len64(v|1)+6) / 7 }
