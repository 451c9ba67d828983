package pack

import (
	"fmt"
	"slices"
	"sync"

	"cairn/objects"
	"cairn/objects/crypt"
)

// openerKeys is how many pack keys an Opener remembers.
const openerKeys = 256

// Opener opens the frames of packs of one kind. It is safe for concurrent use.
// It holds at most 256 pack keys, 0.5 KiB each, and a zstd decoder for each
// core.
type Opener struct {
	keys *crypt.Keys
	kind objects.Kind
	zstd *decompressor

	mu    sync.Mutex
	known map[knownKey]*frameCipher // guarded by mu; at most openerKeys
}

// knownKey names a pack key and how it is used: an entry of a key table
// without the wrapping, of which there may be several.
type knownKey struct {
	aead       crypt.AEAD
	commitment [32]byte
}

// NewOpener returns an opener of the frames of the given kind.
func NewOpener(k *crypt.Keys, kind objects.Kind) *Opener {
	return &Opener{keys: k, kind: kind, zstd: newDecompressor(), known: make(map[knownKey]*frameCipher)}
}

// Open appends the plaintext of frame f to dst and returns the longer slice.
// stored holds the frame's bytes, f.Stored of them; they are scratch room and
// are overwritten. key is the entry that f.Key names; of f, only Number,
// Compression, Stored and Raw matter. dst must not share memory with stored.
//
// What Open returns was sealed by a holder of the repository's keys, as a
// frame of this kind, and is f.Raw bytes long; whether it is the chunks one
// wants, Verify says. Damage and tampering are a *objects.CorruptError; a key
// of an epoch that is not at hand is crypt.ErrNoEpoch. No more memory than
// f.Raw and one zstd block, 128 KiB, is taken, whatever the frame claims.
func (o *Opener) Open(dst []byte, key Key, f Frame, stored []byte) ([]byte, error) {
	if err := checkStored(f, stored); err != nil {
		return nil, err
	}
	c, err := o.cipher(key)
	if err != nil {
		return nil, err
	}
	if f.Compression == Stored {
		// The length is right: check has held Raw against Stored.
		return c.open(slices.Grow(dst, int(f.Raw)), f.Number, Stored, stored)
	}
	payload, err := c.open(stored[:0], f.Number, Zstd, stored)
	if err != nil {
		return nil, err
	}
	raw, err := o.zstd.decompress(dst, payload, int(f.Raw))
	if err != nil {
		return nil, objects.Corrupt(fmt.Sprintf("frame %d", f.Number), "%v", err)
	}
	return raw, nil
}

// Authenticate reports whether stored is frame f as it was sealed, by the seal
// alone: nothing is decompressed. Parameters and errors are those of Open, but
// stored stays as it is. It returns scratch, or a longer slice in its place, for
// the next call; what is in it means nothing.
func (o *Opener) Authenticate(scratch []byte, key Key, f Frame, stored []byte) ([]byte, error) {
	if err := checkStored(f, stored); err != nil {
		return scratch, err
	}
	c, err := o.cipher(key)
	if err != nil {
		return scratch, err
	}
	scratch = slices.Grow(scratch[:0], len(stored))
	_, err = c.open(scratch, f.Number, f.Compression, stored)
	return scratch, err
}

// checkStored holds the description of a frame against its bytes.
func checkStored(f Frame, stored []byte) error {
	if err := f.check(); err != nil {
		return objects.Corrupt("frame", "%v", err)
	}
	if len(stored) != int(f.Stored) {
		return objects.Corrupt("frame", "it ends after %d of %d bytes", len(stored), f.Stored)
	}
	return nil
}

// cipher returns the cipher of the frames under key.
func (o *Opener) cipher(key Key) (*frameCipher, error) {
	name := knownKey{key.AEAD, key.Commitment}
	if c := o.recall(name); c != nil {
		return c, nil
	}
	// Two goroutines may do this at once for one key; both get the same.
	secret, err := key.unwrap(o.keys, o.kind)
	if err != nil {
		return nil, err
	}
	defer clear(secret[:])
	c, err := newFrameCipher(secret, key, o.keys.Family(), o.kind)
	if err != nil {
		return nil, err
	}
	o.remember(name, c)
	return c, nil
}

func (o *Opener) recall(name knownKey) *frameCipher {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[name]
}

// remember keeps c, in the place of any other when there is no more room:
// unwrapping again costs microseconds.
func (o *Opener) remember(name knownKey, c *frameCipher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) >= openerKeys {
		for other := range o.known {
			delete(o.known, other)
			break
		}
	}
	o.known[name] = c
}

// Verify reports whether raw, the plaintext of a frame, is its chunks: every
// one has the ID it goes by, and nothing is left over. The error is a
// *objects.CorruptError. h belongs to the calling goroutine.
func Verify(h *crypt.Hasher, kind objects.Kind, raw []byte, chunks []Chunk) error {
	for i := range chunks {
		c := &chunks[i]
		if int64(c.Len) > int64(len(raw)) {
			return objects.Corrupt("chunk "+c.ID.Short(), "its frame ends too early")
		}
		if got := h.Sum(kind, raw[:c.Len]); got != c.ID {
			return objects.Corrupt("chunk "+c.ID.Short(), "its content has the ID %s", got)
		}
		raw = raw[c.Len:]
	}
	if len(raw) > 0 {
		return objects.Corrupt("frame", "it has %d bytes left over", len(raw))
	}
	return nil
}
