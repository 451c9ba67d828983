package pack

import (
	"bytes"
	"testing"
)

func FuzzParsePreamble(f *testing.F) {
	f.Add(goodPreamble().append(nil))
	f.Add(withParity().append(nil))
	for _, v := range rejectedPreambles() {
		f.Add(v.input)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= PreambleLen {
			b = resum(b[:PreambleLen]) // else nothing gets past the checksum
		}
		p, err := ParsePreamble(b)
		if err != nil {
			return
		}
		if got := p.append(nil); !bytes.Equal(got, b) {
			t.Errorf("encoded again: got %x, want %x", got, b)
		}
		if p.Prefix() <= PreambleLen || p.FramesOff() < int64(p.Prefix()) || p.PackLen() > MaxLen {
			t.Errorf("layout: %d, %d, %d", p.Prefix(), p.FramesOff(), p.PackLen())
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(goodHeader().append(nil), headerPreamble().FramesLen)
	for _, v := range rejectedHeaders() {
		f.Add(v.input, headerPreamble().FramesLen)
	}
	f.Fuzz(func(t *testing.T, b []byte, frames uint32) {
		p := headerPreamble()
		p.FramesLen = frames % MaxLen
		h, err := decodeHeader(b, p)
		if err != nil {
			return
		}
		if got := h.append(nil); !bytes.Equal(got, b) {
			t.Errorf("encoded again: got %x, want %x", got, b)
		}
		off := uint32(p.FramesOff())
		for _, f := range h.Frames {
			var raw uint32
			for _, c := range h.FrameChunks(f) {
				raw += c.Len
			}
			if f.Off != off || int(f.Key) >= len(h.Keys) || f.Count > 0 && raw != f.Raw {
				t.Errorf("frame %+v at %d, of %d bytes", f, off, raw)
			}
			off += f.Stored
		}
		if got := off - uint32(p.FramesOff()); got != p.FramesLen {
			t.Errorf("frames: got %d bytes, want %d", got, p.FramesLen)
		}
	})
}

func FuzzCompress(f *testing.F) {
	c := mustCompressor(f, Fastest)
	d := newDecompressor()
	f.Add(text(2000))
	f.Add(noise(2000))
	f.Fuzz(func(t *testing.T, raw []byte) {
		payload, compression := c.Compress(nil, raw)
		if compression == Stored {
			return
		}
		got, err := d.decompress(nil, payload, len(raw))
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("got %x, %v, want %x", got, err, raw)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	d := newDecompressor()
	payload, _ := mustCompressor(f, Fastest).Compress(nil, text(2000))
	f.Add(payload, uint16(2000))
	f.Add(smallZstd(), uint16(300))
	f.Fuzz(func(t *testing.T, payload []byte, raw uint16) {
		got, err := d.decompress(nil, payload, int(raw))
		if err == nil && len(got) != int(raw) {
			t.Errorf("got %d bytes, want %d", len(got), raw)
		}
	})
}
