package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/zeebo/blake3"

	"cairn/objects"
	"cairn/objects/crypt"
)

// checkPack holds what Finish says of a pack against its bytes, and returns
// the header as it is read.
func checkPack(t *testing.T, k *crypt.Keys, p *Pack, stored []byte) *Header {
	t.Helper()
	if got := objects.ID(blake3.Sum256(stored)); got != p.ID {
		t.Errorf("ID: got %s, want %s", p.ID, got)
	}
	if got := objects.ID(blake3.Sum256(stored[:len(p.Prefix)])); got != p.PrefixHash {
		t.Errorf("prefix hash: got %s, want %s", p.PrefixHash, got)
	}
	first, err := ParsePreamble(stored)
	if err != nil {
		t.Fatal(err)
	}
	last, err := ParsePreamble(stored[len(stored)-PreambleLen:])
	if err != nil || first != last {
		t.Errorf("preamble at the end: got %+v, %v, want %+v", last, err, first)
	}
	if p.Size != int64(len(stored)) || first.PackLen() != p.Size || first.Prefix() != len(p.Prefix) {
		t.Errorf("lengths: got %d and %d, want %d and %d", p.Size, len(p.Prefix), first.PackLen(), first.Prefix())
	}
	h := mustOpenHeader(t, k, stored)
	if !sameHeader(h, p.Header) {
		t.Errorf("header: got %+v, want %+v", h, p.Header)
	}
	return h
}

func TestBuilderRoundTrip(t *testing.T) {
	t.Parallel()
	for _, aead := range []crypt.AEAD{crypt.AES256GCM, crypt.ChaCha20Poly1305} {
		for _, kind := range []objects.Kind{objects.Data, objects.Meta} {
			k := testKeys(t, aead)
			h := k.NewHasher()
			b := testBuilder(t, k, kind, Options{})
			c, err := NewCompressor(Fastest)
			if err != nil {
				t.Fatal(err)
			}
			want := [][]byte{text(100_000), noise(50_000), []byte("xy")}
			for _, raw := range want {
				payload, compression := c.Compress(nil, raw)
				mustAdd(t, b, compression, payload, cut(h, kind, raw, len(raw)/2, len(raw)/2))
			}
			p, stored := mustFinish(t, b, ToPadme)
			if p.Size != Padme(p.Size) {
				t.Errorf("size: got %d, want a Padmé length", p.Size)
			}
			header := checkPack(t, k, p, stored)
			for i, raw := range want {
				got, err := openFrame(k, stored, header, header.Frames[i])
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("%v %v frame %d: got %d bytes, %v", aead, kind, i, len(got), err)
				}
			}
		}
	}
}

// TestBuilderConcurrent fills packs from several goroutines, as workers do.
func TestBuilderConcurrent(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	buffers := NewBuffers(1<<20, 1)
	for round := range 3 {
		b := testBuilder(t, k, objects.Data, Options{Buffers: buffers, Random: testRandom(byte(round))})
		var mu sync.Mutex
		added := map[objects.ID]int{}
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				h := k.NewHasher()
				for i := 0; ; i++ {
					raw := bytes.Repeat([]byte{byte(worker), byte(i), byte(i >> 8), byte(round)}, 100+i%7)
					chunks := cut(h, objects.Data, raw, len(raw))
					ok, err := b.Add(Stored, raw, chunks)
					if err != nil {
						t.Error(err)
					}
					if !ok || err != nil {
						return
					}
					mu.Lock()
					added[chunks[0].ID]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		p, stored := mustFinish(t, b, ToQuantum)
		if p.Size != 1<<20 {
			t.Errorf("size of a full pack: got %d, want the target", p.Size)
		}
		header := checkPack(t, k, p, stored)
		numbers := map[uint32]bool{}
		for _, f := range header.Frames {
			if numbers[f.Number] {
				t.Errorf("number %d serves two frames", f.Number)
			}
			numbers[f.Number] = true
			if f.Count == 0 {
				continue
			}
			if _, err := openFrame(k, stored, header, f); err != nil {
				t.Fatal(err)
			}
			added[header.FrameChunks(f)[0].ID]--
		}
		for id, n := range added {
			if n != 0 {
				t.Errorf("chunk %s: added %d times more than it is in the pack", id, n)
			}
		}
		p.Release()
	}
}

// TestFinishWaits finishes a pack while others still add to it: whatever Add
// said ok to is in the pack, whole.
func TestFinishWaits(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	b := testBuilder(t, k, objects.Data, Options{Target: MaxLen})
	raw := noise(1 << 18)
	chunks := cut(k.NewHasher(), objects.Data, raw, len(raw))
	mustAdd(t, b, Stored, raw, chunks)
	var wg sync.WaitGroup
	var mu sync.Mutex
	frames := 1
	for range 4 {
		wg.Go(func() {
			for {
				ok, err := b.Add(Stored, raw, chunks)
				if !ok {
					if err != nil && !errors.Is(err, ErrFinished) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				frames++
				mu.Unlock()
			}
		})
	}
	p, stored := mustFinish(t, b, ToPadme)
	wg.Wait()
	header := checkPack(t, k, p, stored)
	got := 0
	for _, f := range header.Frames {
		if f.Count > 0 {
			got++
			if _, err := openFrame(k, stored, header, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got != frames {
		t.Errorf("frames: got %d, want %d", got, frames)
	}
}

func TestBuilderFull(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	h := k.NewHasher()
	raw := noise(3000)
	chunks := cut(h, objects.Data, raw, 3000)
	b := testBuilder(t, k, objects.Data, Options{Target: MinTarget})
	if !b.Empty() {
		t.Error("a new builder is not empty")
	}
	mustAdd(t, b, Stored, raw, chunks)
	if ok, err := b.Add(Stored, raw, chunks); ok || err != nil {
		t.Errorf("Add to a full pack: got %v, %v, want false, nil", ok, err)
	}
	mustAdd(t, b, Stored, raw[:100], cut(h, objects.Data, raw, 100)) // there is room for less
	p, stored := mustFinish(t, b, ToQuantum)
	checkPack(t, k, p, stored)
	if p.Size > MinTarget || p.Size%16 != 0 {
		t.Errorf("size: got %d", p.Size)
	}
	if ok, err := b.Add(Stored, raw, chunks); ok || !errors.Is(err, ErrFinished) {
		t.Errorf("Add after Finish: got %v, %v, want ErrFinished", ok, err)
	}
	if _, err := b.Finish(ToQuantum); !errors.Is(err, ErrFinished) {
		t.Errorf("Finish after Finish: got %v, want ErrFinished", err)
	}
}

// TestBuilderOversized adds a frame larger than the target to an empty pack.
func TestBuilderOversized(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	raw := make([]byte, MaxRaw)
	chunks := cut(k.NewHasher(), objects.Data, raw, MaxChunk, MaxChunk)
	buffers := NewBuffers(MinTarget, 1)
	b := testBuilder(t, k, objects.Data, Options{Target: MinTarget, Buffers: buffers})
	mustAdd(t, b, Stored, raw, chunks)
	if ok, err := b.Add(Stored, raw[:1], chunks[:0]); ok || err == nil {
		t.Errorf("Add without chunks: got %v, %v, want an error", ok, err)
	}
	p, stored := mustFinish(t, b, ToQuantum)
	h := checkPack(t, k, p, stored)
	if got, err := openFrame(k, stored, h, h.Frames[0]); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("frame: got %d bytes, %v", len(got), err)
	}
	p.Release()
	if len(buffers.idle) != 0 {
		t.Error("the pool keeps a buffer far above its size")
	}
}

func TestBuilderRejects(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	b := testBuilder(t, k, objects.Data, Options{})
	chunk := func(lens ...uint32) (out []Chunk) {
		for _, n := range lens {
			out = append(out, Chunk{Len: n})
		}
		return out
	}
	for _, c := range []struct {
		name        string
		compression Compression
		payload     int
		chunks      []Chunk
	}{
		{"no chunks", Stored, 5, nil},
		{"empty chunk", Stored, 5, chunk(5, 0)},
		{"chunk too long", Zstd, 5, chunk(MaxChunk + 1)},
		{"frame too long", Zstd, 5, chunk(MaxChunk, MaxChunk, 1)},
		{"lengths wrap", Zstd, 5, chunk(1<<32-1, 6)},
		{"stored payload of another length", Stored, 5, chunk(6)},
		{"no payload", Zstd, 0, chunk(5)},
		{"compression 2", 2, 5, chunk(5)},
		{"header too long", Zstd, 5, slices.Repeat(chunk(1), 16<<20/33)},
	} {
		if ok, err := b.Add(c.compression, make([]byte, c.payload), c.chunks); ok || err == nil {
			t.Errorf("%s: got %v, %v, want an error", c.name, ok, err)
		}
	}
	if !b.Empty() {
		t.Error("a rejected frame was entered")
	}
	if _, err := b.Finish(ToPadme); err == nil {
		t.Error("Finish of an empty pack: got no error")
	}
	for _, target := range []int{0, MinTarget - 256, MinTarget + 1, MaxLen + 256} {
		if _, err := NewBuilder(k, objects.Data, Options{Target: target, Random: testRandom(1)}); err == nil {
			t.Errorf("target %d: got no error", target)
		}
	}
	if _, err := NewBuilder(k, 3, Options{Target: MinTarget, Random: testRandom(1)}); err == nil {
		t.Error("kind 3: got no error")
	}
	if _, err := NewBuilder(k, objects.Data, Options{Target: MinTarget, Random: iotest.ErrReader(errors.New("dry"))}); err == nil {
		t.Error("no randomness: got no error")
	}
}

// TestEntropy makes two packs from the same random bytes: entropy alone keeps
// their keys and salts apart.
func TestEntropy(t *testing.T) {
	t.Parallel()
	a, err := newSecrets(testRandom(1), []byte("host a"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newSecrets(testRandom(1), []byte("host b"))
	if err != nil {
		t.Fatal(err)
	}
	if a.key == b.key || a.wrapSalt == b.wrapSalt || a.headerSalt == b.headerSalt {
		t.Error("machines with the same random bytes share a secret")
	}
	if a.wrapSalt == a.headerSalt || bytes.Equal(a.key[:], a.wrapSalt[:]) {
		t.Error("the secrets of a pack are not of their own")
	}
}

// TestEveryBitOfAPack flips every bit of a pack: its name finds it out, and so
// does whoever opens it without looking at the name, unless it lies in the
// padding or in the second preamble, which nobody needs.
func TestEveryBitOfAPack(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	padding := p.Header.Frames[2]
	if padding.Count != 0 {
		t.Fatal("the last frame is not padding")
	}
	for bit := range 8 * len(stored) {
		bad := slices.Clone(stored)
		bad[bit/8] ^= 1 << (bit % 8)
		if objects.ID(blake3.Sum256(bad)) == p.ID {
			t.Errorf("bit %d: the name is the same", bit)
		}
		err := openAll(k, bad)
		if at := bit / 8; at >= int(padding.Off) {
			if err != nil {
				t.Errorf("bit %d, which nobody reads: got %v", bit, err)
			}
		} else if at/2 != 4 && !objects.IsCorrupt(err) || err == nil {
			t.Errorf("bit %d: got %v, want a CorruptError", bit, err)
		}
	}
	if _, err := ParsePreamble(stored[len(stored)-PreambleLen:]); err != nil {
		t.Errorf("second preamble: %v", err)
	}
}

// openAll opens and verifies every frame of a pack.
func openAll(k *crypt.Keys, stored []byte) error {
	h, err := OpenHeader(k, stored)
	if err != nil {
		return err
	}
	for _, f := range h.Frames {
		if f.Count == 0 {
			continue
		}
		if _, err := openFrame(k, stored, h, f); err != nil {
			return err
		}
	}
	return nil
}

// TestAddSealed moves frames of two packs into a third as they are.
func TestAddSealed(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	h := k.NewHasher()
	into := testBuilder(t, k, objects.Data, Options{Random: testRandom(50)})
	fresh := []byte("new in this pack")
	mustAdd(t, into, Stored, fresh, cut(h, objects.Data, fresh, len(fresh)))
	want := [][]byte{fresh}
	for source := range byte(2) {
		from := testBuilder(t, k, objects.Data, Options{Random: testRandom(60 + source)})
		for i := range byte(3) {
			raw := bytes.Repeat([]byte{source, i}, 50)
			mustAdd(t, from, Stored, raw, cut(h, objects.Data, raw, 30, 70))
		}
		p, stored := mustFinish(t, from, ToPadme)
		for _, f := range []Frame{p.Header.Frames[2], p.Header.Frames[0]} {
			ok, err := into.AddSealed(p.Header.Keys[f.Key], f, stored[f.Off:f.Off+f.Stored], p.Header.FrameChunks(f))
			if !ok || err != nil {
				t.Fatalf("AddSealed: got %v, %v", ok, err)
			}
			want = append(want, bytes.Repeat([]byte{source, byte(f.Number)}, 50))
		}
	}
	p, stored := mustFinish(t, into, ToQuantum)
	header := checkPack(t, k, p, stored)
	if len(header.Keys) != 3 {
		t.Errorf("keys: got %d, want 3", len(header.Keys))
	}
	for i, raw := range want {
		got, err := openFrame(k, stored, header, header.Frames[i])
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("frame %d: got %x, %v, want %x", i, got, err, raw)
		}
	}
}

func TestAddSealedRejects(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	f := p.Header.Frames[0]
	chunks := p.Header.FrameChunks(f)
	sealed := stored[f.Off : f.Off+f.Stored]
	key := p.Header.Keys[0]
	b := testBuilder(t, k, objects.Data, Options{})
	other := f
	other.Raw++
	for name, try := range map[string]func() (bool, error){
		"cut short":        func() (bool, error) { return b.AddSealed(key, f, sealed[1:], chunks) },
		"other chunks":     func() (bool, error) { return b.AddSealed(key, f, sealed, chunks[1:]) },
		"other raw length": func() (bool, error) { return b.AddSealed(key, other, sealed, chunks) },
		"own key":          func() (bool, error) { return b.AddSealed(b.own, f, sealed, chunks) },
	} {
		if ok, err := try(); ok || err == nil {
			t.Errorf("%s: got %v, %v, want an error", name, ok, err)
		}
	}
	if !b.Empty() {
		t.Error("a rejected frame was entered")
	}
}

func TestBuffers(t *testing.T) {
	t.Parallel()
	b := NewBuffers(1000, 1)
	first, second := b.take(10), b.take(1000)
	if cap(first) < 1000 || cap(second) < 1000 {
		t.Errorf("take: got capacities %d, %d, want 1000", cap(first), cap(second))
	}
	b.put(append(first, 1))
	b.put(second)
	if len(b.idle) != 1 {
		t.Errorf("idle: got %d buffers, want 1", len(b.idle))
	}
	again := b.take(1000)
	if len(again) != 0 || &again[:1][0] != &first[:1][0] {
		t.Error("take: got a fresh buffer beside an idle one")
	}
	if got := b.take(5000); cap(got) < 5000 {
		t.Errorf("take(5000): got capacity %d", cap(got))
	}
	var none *Buffers
	none.put(none.take(7))
}

// TestAddAllocates counts what one frame costs beside its bytes.
func TestAddAllocates(t *testing.T) {
	k := testKeys(t, crypt.AES256GCM)
	raw := noise(1000)
	chunks := make([]Chunk, 1)
	b := testBuilder(t, k, objects.Data, Options{Target: MaxLen})
	var i uint32
	got := testing.AllocsPerRun(1000, func() {
		i++
		chunks[0] = Chunk{Len: 1000}
		binary.LittleEndian.PutUint32(chunks[0].ID[:], i)
		mustAdd(t, b, Stored, raw, chunks)
	})
	if got > 1 {
		t.Errorf("allocations per Add: got %v, want 1", got)
	}
}
