package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/crypto/chacha20poly1305"
)

// AEAD names a cipher (FORMAT.md §1.5). All have 32-byte keys, 12-byte nonces
// and 16-byte tags. The zero value is invalid.
type AEAD uint8

const (
	AES256GCM        AEAD = 1
	ChaCha20Poly1305 AEAD = 2
)

// Sizes of every AEAD, bytes.
const (
	KeySize   = 32
	NonceSize = 12
	TagSize   = 16
)

// Preferred returns the AEAD that is faster on this machine, for new
// repositories. Both are always readable.
func Preferred() AEAD {
	// Without these instructions AES is slow, and its tables leak through the
	// cache; ChaCha20 has neither fault.
	if cpuid.CPU.Supports(cpuid.AESNI, cpuid.CLMUL) || cpuid.CPU.Supports(cpuid.AESARM, cpuid.PMULL) {
		return AES256GCM
	}
	return ChaCha20Poly1305
}

// Valid reports whether a is one of the AEADs.
func (a AEAD) Valid() bool { return a == AES256GCM || a == ChaCha20Poly1305 }

// String returns the name people know the cipher by.
func (a AEAD) String() string {
	switch a {
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return fmt.Sprintf("AEAD %d", uint8(a))
}

// New returns the cipher under a key of KeySize bytes, which it copies.
func (a AEAD) New(key []byte) (cipher.AEAD, error) {
	switch a {
	case AES256GCM:
		return newGCM(key)
	case ChaCha20Poly1305:
		return chacha20poly1305.New(key)
	}
	return nil, fmt.Errorf("%v is not known", a)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, aes.KeySizeError(len(key)) // 16 and 24 would be other ciphers
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
