package pack

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func mustCompressor(t testing.TB, l Level) *Compressor {
	t.Helper()
	c, err := NewCompressor(l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompress(t *testing.T) {
	t.Parallel()
	d := newDecompressor()
	for _, level := range []Level{Fastest, Default, Better, Best} {
		c := mustCompressor(t, level)
		var dst []byte
		for _, raw := range [][]byte{nil, {1}, text(50), text(1000), text(128 << 10), text(1 << 20), text(3<<20 + 1), noise(1 << 20), noise(100)} {
			payload, compression := c.Compress(dst, raw)
			if compression == Stored {
				if len(raw) > 0 && &payload[0] != &raw[0] || len(payload) != len(raw) {
					t.Errorf("%v, %d bytes: stored is not the plaintext itself", level, len(raw))
				}
				if bytes.Equal(raw, text(len(raw))) && len(raw) > 50 {
					t.Errorf("%v: %d bytes of text are stored", level, len(raw))
				}
				continue
			}
			dst = payload
			if len(payload) > len(raw)-len(raw)/minGain {
				t.Errorf("%v: %d bytes become %d, not worth it", level, len(raw), len(payload))
			}
			got, err := d.decompress([]byte("dst"), payload, len(raw))
			if err != nil || string(got) != "dst"+string(raw) {
				t.Errorf("%v, %d bytes: got %d bytes, %v", level, len(raw), len(got), err)
			}
		}
	}
	for _, l := range []Level{0, Best + 1} {
		if _, err := NewCompressor(l); err == nil {
			t.Errorf("%v: got no error", l)
		}
	}
}

// TestCompressKeepsItsBuffer compresses again and again into one buffer.
func TestCompressKeepsItsBuffer(t *testing.T) {
	c := mustCompressor(t, Fastest)
	raw := text(1 << 20)
	dst, _ := c.Compress(nil, raw)
	if n := testing.AllocsPerRun(10, func() { dst, _ = c.Compress(dst, raw) }); n > 0 {
		t.Errorf("allocations: got %v, want none", n)
	}
}

// TestDecompressBounded feeds frames that claim, or hold, more than they may.
func TestDecompressBounded(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	big := enc.EncodeAll(make([]byte, 30<<20), nil) // a few KiB
	var streamed bytes.Buffer
	enc.Reset(&streamed) // a stream does not say how long its content is
	enc.Write(make([]byte, 30<<20))
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	huge := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0}
	// One block, and what an allocator rounds up.
	const decodeSlack = 128<<10 + 8<<10
	d := newDecompressor()
	for name, payload := range map[string][]byte{"30 MiB": big, "30 MiB, streamed": streamed.Bytes(), "2^63 claimed": huge} {
		const raw = 1000
		for range 2 * runtime.GOMAXPROCS(0) {
			d.decompress(nil, payload, raw) // the decoders' own, lasting buffers
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := d.decompress(nil, payload, raw); err == nil {
			t.Errorf("%s: got no error", name)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > raw+decodeSlack {
			t.Errorf("%s: %d bytes allocated for a frame of %d", name, got, raw)
		}
	}
	small := enc.EncodeAll(text(1000), nil)
	for _, raw := range []int{1, 999, 1001, 5000} {
		if _, err := d.decompress(nil, small, raw); err == nil {
			t.Errorf("1000 bytes as %d: got no error", raw)
		}
	}
	// The capacity of dst beyond raw is no licence to fill it.
	if _, err := d.decompress(make([]byte, 0, 1<<20), small, 999); err == nil {
		t.Error("1000 bytes as 999 with room for more: got no error")
	}
}
