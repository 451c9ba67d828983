package pack

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"

	"cairn/objects"
	"cairn/objects/crypt"
)

const (
	keyLabel   = "pack key"
	keySubject = "pack key"
	frameLabel = "cairn/1 frame"

	// frameADLen is the length of a frame's associated data.
	frameADLen = len(frameLabel) + 1 + len(objects.FamilyID{}) + 1 + 32 + 4 + 1
)

// secrets is the randomness of one pack.
type secrets struct {
	key                  crypt.Secret
	wrapSalt, headerSalt [32]byte
}

// newSecrets mixes 32 random bytes with entropy. The salts of the pack's boxes
// are mixed too, not only its key: two cloned machines whose random sources
// yield the same bytes must not seal two headers under one key.
func newSecrets(random io.Reader, entropy []byte) (*secrets, error) {
	var seed crypt.Secret
	defer clear(seed[:])
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	var s secrets
	for _, out := range []struct {
		to   []byte
		info string
	}{
		{s.key[:], "cairn/1 fresh pack key"},
		{s.wrapSalt[:], "cairn/1 fresh wrap salt"},
		{s.headerSalt[:], "cairn/1 fresh header salt"},
	} {
		if err := derive(out.to, seed, entropy, out.info); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

// derive fills out with HKDF(key, salt, info) (FORMAT.md §1.3).
func derive(out []byte, key crypt.Secret, salt []byte, info string) error {
	p, err := hkdf.Key(sha256.New, key[:], salt, info, len(out))
	if err != nil {
		return fmt.Errorf("derive %q: %w", info, err)
	}
	copy(out, p)
	clear(p)
	return nil
}

// commit returns the commitment to a pack key (FORMAT.md §7.5).
func commit(key crypt.Secret) (c [32]byte, err error) {
	err = derive(c[:], key, nil, "cairn/1 pack commitment")
	return c, err
}

// wrap returns the key table's entry for a new pack key.
func wrap(k *crypt.Keys, kind objects.Kind, key crypt.Secret, salt io.Reader) (Key, error) {
	commitment, err := commit(key)
	if err != nil {
		return Key{}, err
	}
	e := Key{AEAD: k.AEAD(), Epoch: k.Epoch(), Commitment: commitment}
	box, err := k.Seal(nil, wrapPurpose(kind), keyLabel, e.bound(kind), key[:], salt)
	if err != nil {
		return Key{}, err
	}
	if copy(e.Wrapped[:], box) != len(box) {
		panic("pack: a wrapped key has another length than FORMAT.md says")
	}
	return e, nil
}

// unwrap returns the pack key of a key table's entry, held against its
// commitment.
func (e Key) unwrap(k *crypt.Keys, kind objects.Kind) (key crypt.Secret, err error) {
	from := crypt.Origin{AEAD: e.AEAD, Epoch: e.Epoch}
	plain, err := k.Open(nil, from, wrapPurpose(kind), keyLabel, e.bound(kind), e.Wrapped[:])
	if err != nil {
		return key, fmt.Errorf("open pack key: %w", err)
	}
	copy(key[:], plain)
	clear(plain)
	commitment, err := commit(key)
	if err != nil {
		return key, err
	}
	if subtle.ConstantTimeCompare(commitment[:], e.Commitment[:]) != 1 {
		return key, objects.Corrupt(keySubject, "it is not the key committed to")
	}
	return key, nil
}

// bound returns what the wrapping is bound to besides the key.
func (e Key) bound(kind objects.Kind) []byte {
	return append([]byte{byte(kind), byte(e.AEAD)}, e.Commitment[:]...)
}

func wrapPurpose(kind objects.Kind) crypt.Purpose {
	if kind == objects.Meta {
		return crypt.WrapMeta
	}
	return crypt.WrapData
}

// frameCipher seals and opens the frames under one pack key. It never changes
// and is safe for concurrent use.
type frameCipher struct {
	aead cipher.AEAD
	data [frameADLen]byte // associated data; number and compression are zero
}

func newFrameCipher(key crypt.Secret, e Key, family objects.FamilyID, kind objects.Kind) (*frameCipher, error) {
	var frameKey crypt.Secret
	defer clear(frameKey[:])
	if err := derive(frameKey[:], key, nil, "cairn/1 frames aead="+strconv.Itoa(int(e.AEAD))); err != nil {
		return nil, err
	}
	aead, err := e.AEAD.New(frameKey[:])
	if err != nil {
		return nil, err
	}
	c := &frameCipher{aead: aead}
	copy(c.data[:], slices.Concat([]byte(frameLabel), []byte{0}, family[:], []byte{byte(kind)}, e.Commitment[:]))
	return c, nil
}

// frameInputs is what a seal takes besides key and payload, in one piece
// because it escapes to the heap.
type frameInputs struct {
	nonce [crypt.NonceSize]byte
	data  [frameADLen]byte
}

func (c *frameCipher) inputs(number uint32, compression Compression) *frameInputs {
	in := &frameInputs{data: c.data}
	binary.LittleEndian.PutUint32(in.nonce[:], number)
	binary.LittleEndian.PutUint32(in.data[frameADLen-5:], number)
	in.data[frameADLen-1] = byte(compression)
	return in
}

// seal appends the stored form of payload to dst. It is to be called once for
// a number, ever. payload may start where dst ends.
func (c *frameCipher) seal(dst []byte, number uint32, compression Compression, payload []byte) []byte {
	in := c.inputs(number, compression)
	return c.aead.Seal(dst, in.nonce[:], payload, in.data[:])
}

// open appends the payload of a frame to dst, which may be stored[:0].
func (c *frameCipher) open(dst []byte, number uint32, compression Compression, stored []byte) ([]byte, error) {
	in := c.inputs(number, compression)
	payload, err := c.aead.Open(dst, in.nonce[:], stored, in.data[:])
	if err != nil {
		return nil, objects.Corrupt(fmt.Sprintf("frame %d", number), "its seal does not hold")
	}
	return payload, nil
}
