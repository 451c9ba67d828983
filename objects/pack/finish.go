package pack

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"cairn/objects"
	"cairn/objects/crypt"
)

// Pack is a finished pack, ready to be stored.
type Pack struct {
	ID         objects.ID // BLAKE3 of all its bytes
	Kind       objects.Kind
	Parts      [][]byte   // its bytes, in order
	Size       int64      // bytes
	Prefix     []byte     // its first bytes, up to the end of the header: what OpenHeader wants
	PrefixHash objects.ID // BLAKE3 of Prefix
	Header     *Header

	frames  []byte
	buffers *Buffers
}

// Release gives the pack's buffer back: when the pack has been stored, or was
// given up. Parts must not be used any more; the rest stays good.
func (p *Pack) Release() {
	p.buffers.put(p.frames)
	p.frames, p.Parts = nil, nil
}

// Finish waits for the seals under way, pads the pack, seals its header and
// names it. It is called once, on a builder that is not empty; after it the
// builder is of no use, whatever the result.
func (b *Builder) Finish(p Padding) (*Pack, error) {
	if err := b.close(); err != nil {
		return nil, fmt.Errorf("finish pack: %w", err)
	}
	b.sealing.Wait()
	b.mu.Lock() // nobody else wants it now; held for the fields' sake
	defer b.mu.Unlock()
	b.pad(p)
	pack, err := b.assemble()
	b.buf = nil // the pack's, and after its release another builder's
	if err != nil {
		return nil, fmt.Errorf("finish pack: %w", err)
	}
	return pack, nil
}

// close keeps everybody from adding more.
func (b *Builder) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return ErrFinished
	}
	b.finished = true
	if len(b.header.Frames) == 0 {
		return errors.New("it has no frames")
	}
	return nil
}

// pad adds frames of zeros up to a length that p allows. The caller holds mu.
func (b *Builder) pad(p Padding) {
	for _, n := range b.size.padding(p, int64(b.options.Target/quanta)) {
		f := Frame{Stored: uint32(n), Raw: uint32(n) - crypt.TagSize}
		b.size = b.size.plus(entryLen(0, n, nil), n, 0)
		room := b.enter(&f, nil)
		zeros := room[:f.Raw]
		clear(zeros) // the buffer may have served another pack
		b.cipher.seal(room, f.Number, Stored, zeros)
	}
}

// assemble seals the header and names the pack. The caller holds mu.
func (b *Builder) assemble() (*Pack, error) {
	pre := Preamble{
		AEAD: b.keys.AEAD(), Epoch: b.keys.Epoch(),
		HeaderLen: uint32(b.size.header()), FramesLen: uint32(len(b.buf)),
	}
	for i := range b.header.Frames {
		b.header.Frames[i].Off += uint32(pre.FramesOff())
	}
	prefix, err := b.sealHeader(pre)
	if err != nil {
		return nil, err
	}
	header := b.header // a pointer into b would keep the buffer after Release
	p := &Pack{
		Kind:   b.header.Kind,
		Parts:  [][]byte{prefix, b.buf, prefix[:PreambleLen:PreambleLen]},
		Size:   pre.PackLen(),
		Prefix: prefix,
		Header: &header,
		frames: b.buf, buffers: b.options.Buffers,
	}
	p.name()
	return p, nil
}

// sealHeader returns the pack's preamble and header. The caller holds mu.
func (b *Builder) sealHeader(pre Preamble) ([]byte, error) {
	prefix := pre.append(make([]byte, 0, pre.Prefix()))
	plain := b.header.append(make([]byte, 0, pre.HeaderLen-crypt.BoxOverhead))
	salt := bytes.NewReader(b.headerSalt[:])
	prefix, err := b.keys.Seal(prefix, crypt.Header, headerLabel, prefix[:preambleBound], plain, salt)
	if err != nil {
		return nil, err
	}
	if len(prefix) != pre.Prefix() {
		panic(fmt.Sprintf("pack: a header of %d bytes was counted as %d", len(prefix), pre.Prefix()))
	}
	return prefix, nil
}

// name computes the hashes of the pack's bytes.
func (p *Pack) name() {
	h := blake3.New()
	for i, part := range p.Parts {
		h.Write(part)
		if i == 0 {
			h.Sum(p.PrefixHash[:0])
		}
	}
	h.Sum(p.ID[:0])
}
