package crypt

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"cairn/objects"
)

// Secret is 32 bytes that must not leave memory unsealed.
type Secret [32]byte

// String hides the secret from logs and error messages.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "crypt.Secret{…}" }

// Epoch is the repository key of one key epoch.
type Epoch struct {
	Number uint32 // ≥ 1
	Key    Secret
}

// Master is all that a slot protects (FORMAT.md §3.1); every other key is
// derived from it.
type Master struct {
	Family Secret
	Epochs []Epoch // by rising number, 1 to MaxEpochs of them
}

// MaxEpochs is the most key epochs a repository can have.
const MaxEpochs = 1024

// NewMaster makes the master of a new repository, with epoch 1.
func NewMaster(random io.Reader) (Master, error) {
	m := Master{Epochs: []Epoch{{Number: 1}}}
	for _, s := range []*Secret{&m.Family, &m.Epochs[0].Key} {
		if _, err := io.ReadFull(random, s[:]); err != nil {
			return Master{}, fmt.Errorf("make master key: %w", err)
		}
	}
	return m, nil
}

func (m Master) check() error {
	if len(m.Epochs) == 0 || len(m.Epochs) > MaxEpochs {
		return fmt.Errorf("%d key epochs, want 1 to %d", len(m.Epochs), MaxEpochs)
	}
	var last uint32
	for _, e := range m.Epochs {
		if e.Number <= last {
			return errors.New("key epochs do not rise from 1")
		}
		last = e.Number
	}
	return nil
}

// Purpose names a key of an epoch (FORMAT.md §3.3).
type Purpose uint8

const (
	Header   Purpose = iota // pack headers
	WrapData                // keys of data packs
	WrapMeta                // keys of metadata packs
	Record                  // config, commit records, head
	purposes                // how many there are
)

// String returns the purpose as it stands in the derivation.
func (p Purpose) String() string {
	switch p {
	case Header:
		return "header"
	case WrapData:
		return "wrap-data"
	case WrapMeta:
		return "wrap-meta"
	case Record:
		return "record"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

// Keys are the keys of one repository, derived from its master. They never
// change and are safe for concurrent use.
type Keys struct {
	repo   objects.RepositoryID
	aead   AEAD
	newest uint32
	epochs map[uint32]*[purposes]Secret

	family   objects.FamilyID
	idData   Secret
	idMeta   Secret
	chunker  Secret
	treeSeed uint64
}

// Derive makes the keys of the repository that m belongs to. aead is the one
// of its config: new objects are sealed with it.
func Derive(m Master, repo objects.RepositoryID, aead AEAD) (*Keys, error) {
	if !aead.Valid() {
		return nil, fmt.Errorf("derive keys: %v is not known", aead)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("derive keys: %w", err)
	}
	k := &Keys{repo: repo, aead: aead, epochs: make(map[uint32]*[purposes]Secret, len(m.Epochs))}
	if err := k.deriveFamily(m.Family); err != nil {
		return nil, fmt.Errorf("derive family keys: %w", err)
	}
	for _, e := range m.Epochs {
		if err := k.deriveEpoch(e); err != nil {
			return nil, fmt.Errorf("derive keys of epoch %d: %w", e.Number, err)
		}
	}
	return k, nil
}

// deriveFamily follows FORMAT.md §3.2.
func (k *Keys) deriveFamily(family Secret) error {
	var tree [8]byte
	for _, d := range []struct {
		purpose string
		out     []byte
	}{
		{"id-data", k.idData[:]},
		{"id-meta", k.idMeta[:]},
		{"cdc", k.chunker[:]},
		{"tree", tree[:]}, // a prefix of HKDF's output is the shorter output
		{"family-id", k.family[:]},
	} {
		if err := expand(d.out, family[:], nil, "cairn/1 "+d.purpose); err != nil {
			return err
		}
	}
	k.treeSeed = binary.LittleEndian.Uint64(tree[:])
	return nil
}

// deriveEpoch follows FORMAT.md §3.3. Epochs come by rising number.
func (k *Keys) deriveEpoch(e Epoch) error {
	var keys [purposes]Secret
	for p := range purposes {
		info := fmt.Sprintf("cairn/1 %v e=%d", p, e.Number)
		if err := expand(keys[p][:], e.Key[:], k.repo[:], info); err != nil {
			return err
		}
	}
	k.epochs[e.Number], k.newest = &keys, e.Number
	return nil
}

// expand fills out from HKDF-SHA256 (FORMAT.md §1.3).
func expand(out, key, salt []byte, info string) error {
	p, err := hkdf.Key(sha256.New, key, salt, info, len(out))
	if err != nil {
		return err
	}
	copy(out, p)
	clear(p)
	return nil
}

// Repository returns the repository the keys belong to.
func (k *Keys) Repository() objects.RepositoryID { return k.repo }

// Family names the repositories that share chunk IDs with this one.
func (k *Keys) Family() objects.FamilyID { return k.family }

// AEAD returns the cipher for new objects.
func (k *Keys) AEAD() AEAD { return k.aead }

// Epoch returns the newest key epoch, the one of new objects.
func (k *Keys) Epoch() uint32 { return k.newest }

// ChunkerKey returns the key of the chunker's table (FORMAT.md §6).
func (k *Keys) ChunkerKey() [32]byte { return k.chunker }

// TreeSeed returns the seed that cuts archives into nodes (FORMAT.md §8.5).
func (k *Keys) TreeSeed() uint64 { return k.treeSeed }
