package crypt

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"cairn/objects"
	"cairn/objects/wire"
)

const saltSize = 32

// BoxOverhead is how much longer a box is than its plaintext, bytes.
const BoxOverhead = saltSize + TagSize

// ErrNoEpoch says that an object was sealed in a key epoch whose key is not
// at hand: the repository's key was rotated after the slot was written.
var ErrNoEpoch = errors.New("there is no key for it; the repository's key was rotated")

// Origin says how an object was sealed, as its clear preface states it.
type Origin struct {
	AEAD  AEAD
	Epoch uint32
}

// Origin returns the origin of what Seal makes.
func (k *Keys) Origin() Origin { return Origin{AEAD: k.aead, Epoch: k.newest} }

// Seal appends to dst a box (FORMAT.md §3.4) that holds plaintext, sealed with
// the newest epoch's key, and returns the longer slice. The box opens only
// with the same purpose, label and extra. random must be a source fit for
// keys. plaintext must not share memory with dst.
func (k *Keys) Seal(dst []byte, purpose Purpose, label string, extra, plaintext []byte, random io.Reader) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, BoxOverhead+len(plaintext))[:start+saltSize]
	salt := dst[start:]
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("seal %s: read random bytes: %w", label, err)
	}
	from := k.Origin()
	box, err := k.box(from, purpose, salt)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", label, err)
	}
	return box.Seal(dst, boxNonce(), plaintext, k.boxData(label, from.Epoch, extra)), nil
}

// Open appends to dst the plaintext of box, which Seal made with the same
// purpose, label and extra, and returns the longer slice. An epoch that is
// not at hand is ErrNoEpoch; anything else is an *objects.CorruptError that
// names the label. box must not share memory with dst.
func (k *Keys) Open(dst []byte, from Origin, purpose Purpose, label string, extra, box []byte) ([]byte, error) {
	if !from.AEAD.Valid() {
		return nil, objects.Corrupt(label, "%v is not known", from.AEAD)
	}
	if len(box) < BoxOverhead {
		return nil, objects.Corrupt(label, "its box of %d bytes is too short", len(box))
	}
	salt, sealed := box[:saltSize], box[saltSize:]
	aead, err := k.box(from, purpose, salt)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", label, err)
	}
	plaintext, err := aead.Open(dst, boxNonce(), sealed, k.boxData(label, from.Epoch, extra))
	if err != nil {
		return nil, objects.Corrupt(label, "its seal does not hold")
	}
	return plaintext, nil
}

// OpenInPlace is Open, but puts the plaintext where the box was, and returns
// that. The box is lost, also when it does not open.
func (k *Keys) OpenInPlace(from Origin, purpose Purpose, label string, extra, box []byte) ([]byte, error) {
	// An AEAD may write exactly where it reads, which is behind the salt. What is
	// too short to have that is refused by Open.
	start := min(len(box), saltSize)
	return k.Open(box[start:start], from, purpose, label, extra, box)
}

// box returns the cipher of the box with this salt. Its key serves this box
// alone, which is why the nonce can be zero.
func (k *Keys) box(from Origin, purpose Purpose, salt []byte) (cipher.AEAD, error) {
	keys, ok := k.epochs[from.Epoch]
	if !ok {
		return nil, fmt.Errorf("key epoch %d: %w", from.Epoch, ErrNoEpoch)
	}
	var key Secret
	defer clear(key[:])
	if err := expand(key[:], keys[purpose][:], salt, "cairn/1 box aead="+strconv.Itoa(int(from.AEAD))); err != nil {
		return nil, err
	}
	return from.AEAD.New(key[:])
}

func boxNonce() []byte { return make([]byte, NonceSize) }

// boxData returns the associated data of a box.
func (k *Keys) boxData(label string, epoch uint32, extra []byte) []byte {
	const prefix = "cairn/1 "
	ad := make([]byte, 0, len(prefix)+len(label)+1+len(k.family)+4+len(extra))
	ad = append(ad, prefix...)
	ad = append(ad, label...)
	ad = append(ad, 0)
	ad = append(ad, k.family[:]...)
	ad = wire.AppendU32(ad, epoch)
	return append(ad, extra...)
}
