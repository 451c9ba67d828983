package crypt

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"golang.org/x/crypto/argon2"

	"cairn/objects"
)

// KDF is what it costs to try a passphrase: the parameters of Argon2id
// (RFC 9106). The zero value, NoKDF, asks for no passphrase at all.
type KDF struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// NoKDF is for key files that whoever can read them may use.
func NoKDF() KDF { return KDF{} }

// DefaultKDF is the second recommended option of RFC 9106: about 0.2 s, which
// every command pays.
func DefaultKDF() KDF { return KDF{Memory: 64 << 10, Passes: 3, Lanes: 4} }

// StrongKDF is for passphrases that must withstand a richer attacker.
func StrongKDF() KDF { return KDF{Memory: 1 << 20, Passes: 4, Lanes: 4} }

// Limits of FORMAT.md §5.2, inclusive.
const (
	minMemory = 19 << 10 // KiB
	maxMemory = 4 << 20  // KiB
	maxPasses = 64
	maxLanes  = 64
)

// ErrWeakSlot says that a slot would let passphrases be guessed cheaply:
// Argon2id below 19 MiB, or none in a repository.
var ErrWeakSlot = errors.New("the slot's protection is too weak; it is refused")

// None reports whether no passphrase is asked for.
func (k KDF) None() bool { return k == KDF{} }

// check refuses what FORMAT.md §5.2 does: a cheap KDF as ErrWeakSlot, one
// that no encoder writes as an *objects.CorruptError.
func (k KDF) check() error {
	switch {
	case k.None():
		return nil
	case k.Memory < minMemory:
		return fmt.Errorf("slot with %d KiB of Argon2id: %w", k.Memory, ErrWeakSlot)
	case k.Memory > maxMemory:
		return objects.Corrupt("slot", "it asks for %d KiB of memory, more than %d", k.Memory, maxMemory)
	case k.Passes == 0 || k.Passes > maxPasses:
		return objects.Corrupt("slot", "it asks for %d passes, want 1 to %d", k.Passes, maxPasses)
	case k.Lanes == 0 || k.Lanes > maxLanes:
		return objects.Corrupt("slot", "it asks for %d lanes, want 1 to %d", k.Lanes, maxLanes)
	}
	return nil
}

// stretch returns the secret that a passphrase stands for; k was checked.
func (k KDF) stretch(passphrase, salt []byte) (Secret, error) {
	if k.None() {
		return Secret{}, nil // FORMAT.md §5.1
	}
	if uint64(k.Memory)<<10 > math.MaxInt/2 {
		return Secret{}, fmt.Errorf("slot asks for %d MiB of memory, more than this machine can address", k.Memory>>10)
	}
	p := argon2.IDKey(passphrase, salt, k.Passes, k.Memory, k.Lanes, uint32(len(Secret{})))
	// Argon2's memory is garbage now, and larger than all that most commands
	// need. Unless it is given back before work starts, it counts as resident
	// for minutes, and the collector lets the heap grow to twice its size.
	debug.FreeOSMemory()
	s := Secret(p)
	clear(p)
	return s, nil
}
