package pack

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
)

func TestOpenerRejects(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	key := p.Header.Keys[0]
	for name, try := range map[string]func(*Key, *Frame, *[]byte){
		"another number":       func(_ *Key, f *Frame, _ *[]byte) { f.Number++ },
		"another compression":  func(_ *Key, f *Frame, s *[]byte) { f.Compression = Stored; f.Raw = f.Stored - 16 },
		"unknown compression":  func(_ *Key, f *Frame, _ *[]byte) { f.Compression = 2 },
		"raw length too large": func(_ *Key, f *Frame, _ *[]byte) { f.Raw++ },
		"raw length too small": func(_ *Key, f *Frame, _ *[]byte) { f.Raw-- },
		"raw length absurd":    func(_ *Key, f *Frame, _ *[]byte) { f.Raw = 1<<32 - 1 },
		"cut short":            func(_ *Key, f *Frame, s *[]byte) { *s = (*s)[1:] },
		"another commitment":   func(k *Key, _ *Frame, _ *[]byte) { k.Commitment[0]++ },
		"another wrapping":     func(k *Key, _ *Frame, _ *[]byte) { k.Wrapped[40]++ },
		"another AEAD":         func(k *Key, _ *Frame, _ *[]byte) { k.AEAD = crypt.ChaCha20Poly1305 },
		"another epoch":        func(k *Key, _ *Frame, _ *[]byte) { k.Epoch = 1 },
	} {
		key, f := key, p.Header.Frames[1]
		s := slices.Clone(stored[f.Off : f.Off+f.Stored])
		try(&key, &f, &s)
		if strings.HasPrefix(name, "raw length too") { // only the plaintext tells
			err := authenticate(k, key, f, s)
			if err != nil {
				t.Errorf("%s: got %v by the seal alone, want nil", name, err)
			}
		} else if err := authenticate(k, key, f, s); !objects.IsCorrupt(err) {
			t.Errorf("%s: got %v by the seal alone, want a CorruptError", name, err)
		}
		raw, err := NewOpener(k, objects.Data).Open(nil, key, f, s)
		if raw != nil || !objects.IsCorrupt(err) {
			t.Errorf("%s: got %d bytes, %v, want a CorruptError", name, len(raw), err)
		}
	}
	f := p.Header.Frames[0]
	s := stored[f.Off : f.Off+f.Stored]
	if _, err := NewOpener(k, objects.Meta).Open(nil, key, f, slices.Clone(s)); !objects.IsCorrupt(err) {
		t.Errorf("as metadata: got %v, want a CorruptError", err)
	}
	key.Epoch = 3
	if _, err := NewOpener(k, objects.Data).Open(nil, key, f, slices.Clone(s)); !errors.Is(err, crypt.ErrNoEpoch) {
		t.Errorf("epoch 3: got %v, want ErrNoEpoch", err)
	}
}

// authenticate holds a frame of data against its seal.
func authenticate(k *crypt.Keys, key Key, f Frame, stored []byte) error {
	_, err := NewOpener(k, objects.Data).Authenticate(nil, key, f, stored)
	return err
}

// TestAuthenticate finds every changed byte of a frame, and changes none.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	o := NewOpener(k, objects.Data)
	var scratch []byte
	for i, f := range p.Header.Frames {
		s := slices.Clone(stored[f.Off : f.Off+f.Stored])
		var err error
		if scratch, err = o.Authenticate(scratch, p.Header.Keys[f.Key], f, s); err != nil && f.Count > 0 {
			t.Errorf("frame %d: %v", i, err)
		}
		if !bytes.Equal(s, stored[f.Off:f.Off+f.Stored]) {
			t.Errorf("frame %d was changed", i)
		}
		for at := range s {
			s[at] ^= 0x10
			if scratch, err = o.Authenticate(scratch, p.Header.Keys[f.Key], f, s); !objects.IsCorrupt(err) {
				t.Fatalf("frame %d with another byte %d: got %v, want a CorruptError", i, at, err)
			}
			s[at] ^= 0x10
		}
	}
}

// TestCommitment wraps a key beside the commitment to another.
func TestCommitment(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	key, err := wrap(k, objects.Data, crypt.Secret{1}, testRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := key.unwrap(k, objects.Data); got != (crypt.Secret{1}) || err != nil {
		t.Fatalf("unwrap: got %x, %v", got, err)
	}
	secret := crypt.Secret{2}
	box, err := k.Seal(nil, crypt.WrapData, keyLabel, key.bound(objects.Data), secret[:], testRandom(2))
	if err != nil {
		t.Fatal(err)
	}
	copy(key.Wrapped[:], box)
	if _, err := key.unwrap(k, objects.Data); !objects.IsCorrupt(err) {
		t.Errorf("a key not committed to: got %v, want a CorruptError", err)
	}
}

// TestOpenerAppends opens frames behind bytes that are there already.
func TestOpenerAppends(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	o := NewOpener(k, objects.Data)
	dst := []byte("in front: ")
	want := "in front: hello, world" + string(text(300))
	for _, f := range p.Header.Frames[:2] {
		f.First, f.Count = 0, 0 // an index need not know them
		var err error
		if dst, err = o.Open(dst, p.Header.Keys[f.Key], f, slices.Clone(stored[f.Off:f.Off+f.Stored])); err != nil {
			t.Fatal(err)
		}
	}
	if string(dst) != want {
		t.Errorf("got %q, want %q", dst, want)
	}
}

// TestOpenerManyKeys opens frames of more packs than an opener remembers, from
// several goroutines.
func TestOpenerManyKeys(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	o := NewOpener(k, objects.Data)
	var packs []*Pack
	raw := []byte("hello")
	chunks := cut(k.NewHasher(), objects.Data, raw, 5)
	for i := range openerKeys + 50 {
		b := testBuilder(t, k, objects.Data, Options{Target: MinTarget, Entropy: []byte{byte(i), byte(i >> 8)}})
		mustAdd(t, b, Stored, raw, chunks)
		p, _ := mustFinish(t, b, ToPadme)
		packs = append(packs, p)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, p := range packs {
				f := p.Header.Frames[0]
				got, err := o.Open(nil, p.Header.Keys[0], f, slices.Clone(p.Parts[1][:f.Stored]))
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	if len(o.known) > openerKeys {
		t.Errorf("remembers %d keys, want at most %d", len(o.known), openerKeys)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	h := k.NewHasher()
	raw := text(100)
	chunks := cut(h, objects.Data, raw, 60, 40)
	if err := Verify(h, objects.Data, raw, chunks); err != nil {
		t.Errorf("good: got %v", err)
	}
	bad := slices.Clone(raw)
	bad[99]++
	for name, err := range map[string]error{
		"one byte changed": Verify(h, objects.Data, bad, chunks),
		"another kind":     Verify(h, objects.Meta, raw, chunks),
		"too short":        Verify(h, objects.Data, raw[:99], chunks),
		"too long":         Verify(h, objects.Data, raw, chunks[:1]),
	} {
		if !objects.IsCorrupt(err) {
			t.Errorf("%s: got %v, want a CorruptError", name, err)
		}
	}
}

// TestReadersSkipParity reads a pack whose writer added parity.
func TestReadersSkipParity(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, stored := smallPack(t, k)
	pre, err := ParsePreamble(stored)
	if err != nil {
		t.Fatal(err)
	}
	pre.ShardSize, pre.DataShards, pre.ParityShards = 256, 3, 2
	prefix := pre.append(nil)
	prefix, err = k.Seal(prefix, crypt.Header, headerLabel, prefix[:preambleBound], p.Header.append(nil), testRandom(7))
	if err != nil {
		t.Fatal(err)
	}
	table, shards := make([]byte, 5*8), make([]byte, 2*256)
	stored = slices.Concat(prefix, table, shards, p.Parts[1], table, prefix[:PreambleLen])
	if pre.PackLen() != int64(len(stored)) {
		t.Errorf("length: got %d, want %d", pre.PackLen(), len(stored))
	}
	if err := openAll(k, stored); err != nil {
		t.Error(err)
	}
}
