package crypt

import (
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"

	"cairn/objects"
	"cairn/objects/wire"
)

// Layout of a slot's body, FORMAT.md §5.1.
const (
	slotMagic    = "cairnslt"
	slotVersion  = 1
	slotClear    = 128 // bytes before the box
	maxSlotBody  = 65536
	kdfNone      = 0
	kdfArgon2id  = 1
	slotNonce    = chacha20poly1305.NonceSizeX
	slotOverhead = chacha20poly1305.Overhead
)

// ErrWrongPassphrase says that a slot is whole and the passphrase is not the
// one it was made with.
var ErrWrongPassphrase = errors.New("wrong passphrase")

// Slot is what a slot yields when it opens.
type Slot struct {
	Repository objects.RepositoryID
	KDF        KDF
	Master     Master
	Created    time.Time
	Label      string // UTF-8, for people
}

// preface is the clear part of a slot.
type preface struct {
	kdf        KDF
	repo       objects.RepositoryID
	salt       [32]byte
	commitment [32]byte
	nonce      [slotNonce]byte
}

// SealSlot returns the body of a slot that yields m to who knows passphrase.
// It takes the time and memory that kdf says. With NoKDF, for key files only,
// passphrase must be empty; otherwise it must not be.
func SealSlot(random io.Reader, m Master, repo objects.RepositoryID, passphrase []byte, kdf KDF, label string, created time.Time) ([]byte, error) {
	if kdf.None() != (len(passphrase) == 0) {
		return nil, errors.New("seal slot: a passphrase needs a KDF, and a KDF needs a passphrase")
	}
	if err := errors.Join(m.check(), kdf.check()); err != nil {
		return nil, fmt.Errorf("seal slot: %w", err)
	}
	if !utf8.ValidString(label) {
		return nil, errors.New("seal slot: the label is not UTF-8")
	}
	p := preface{kdf: kdf, repo: repo}
	for _, b := range [][]byte{p.salt[:], p.nonce[:]} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("seal slot: read random bytes: %w", err)
		}
	}
	body, err := p.seal(passphrase, appendSlot(nil, m, label, created))
	if err != nil {
		return nil, fmt.Errorf("seal slot: %w", err)
	}
	if len(body) > maxSlotBody {
		return nil, fmt.Errorf("seal slot: %d bytes are more than %d", len(body), maxSlotBody)
	}
	return body, nil
}

// seal fills in the commitment and returns the body; it clears plaintext.
func (p *preface) seal(passphrase, plaintext []byte) ([]byte, error) {
	defer clear(plaintext)
	aead, commitment, err := p.unlock(passphrase)
	if err != nil {
		return nil, err
	}
	p.commitment = commitment
	body := p.append(make([]byte, 0, slotClear+len(plaintext)+slotOverhead))
	return aead.Seal(body, p.nonce[:], plaintext, body), nil
}

// unlock does the KDF's work: the slot's cipher under this passphrase, and
// the commitment to its key.
func (p *preface) unlock(passphrase []byte) (aead cipher.AEAD, commitment [32]byte, err error) {
	secret, err := p.kdf.stretch(passphrase, p.salt[:])
	if err != nil {
		return nil, commitment, err
	}
	defer clear(secret[:])
	var key Secret
	defer clear(key[:])
	if err := expand(key[:], secret[:], p.salt[:], "cairn/1 slot key"); err != nil {
		return nil, commitment, err
	}
	if err := expand(commitment[:], secret[:], p.salt[:], "cairn/1 slot commitment"); err != nil {
		return nil, commitment, err
	}
	aead, err = chacha20poly1305.NewX(key[:])
	return aead, commitment, err
}

// OpenSlot opens the body of a slot that lies in a repository. The errors are
// ErrWrongPassphrase; ErrWeakSlot, for a slot without a KDF too;
// objects.ErrNewer; and *objects.CorruptError. It takes the time and memory
// that the slot's KDF says, which PeekSlot tells beforehand.
func OpenSlot(body, passphrase []byte) (Slot, error) {
	p, err := decodePreface(body)
	if err != nil {
		return Slot{}, err
	}
	if p.kdf.None() {
		// FORMAT.md §5.3: whoever can list the repository could open it.
		return Slot{}, fmt.Errorf("slot without a passphrase in a repository: %w", ErrWeakSlot)
	}
	return p.open(body, passphrase)
}

// OpenKeySlot opens a body that DecodeKeyFile returned. It differs from
// OpenSlot in that the body may have no KDF; passphrase is ignored then.
func OpenKeySlot(body, passphrase []byte) (Slot, error) {
	p, err := decodePreface(body)
	if err != nil {
		return Slot{}, err
	}
	return p.open(body, passphrase)
}

func (p *preface) open(body, passphrase []byte) (Slot, error) {
	aead, commitment, err := p.unlock(passphrase)
	if err != nil {
		return Slot{}, err
	}
	// FORMAT.md §5.2: the commitment comes first, so that a box made to open
	// under many keys cannot be used to try many passphrases at once.
	if subtle.ConstantTimeCompare(commitment[:], p.commitment[:]) != 1 {
		if p.kdf.None() {
			return Slot{}, objects.Corrupt("slot", "its commitment does not hold")
		}
		return Slot{}, ErrWrongPassphrase
	}
	plaintext, err := aead.Open(nil, p.nonce[:], body[slotClear:], body[:slotClear])
	if err != nil {
		return Slot{}, objects.Corrupt("slot", "its seal does not hold")
	}
	defer clear(plaintext)
	s, err := decodeSlot(plaintext)
	if err != nil {
		return Slot{}, err
	}
	s.Repository, s.KDF = p.repo, p.kdf
	return s, nil
}

// PeekSlot returns what the clear part of a slot's body says: the repository
// it belongs to (FORMAT.md §5.4: another one's is ignored) and its KDF. The
// errors are those of OpenSlot that need no passphrase; a KDF of none is not
// an error here.
func PeekSlot(body []byte) (objects.RepositoryID, KDF, error) {
	p, err := decodePreface(body)
	if err != nil {
		return objects.RepositoryID{}, KDF{}, err
	}
	return p.repo, p.kdf, nil
}

// SlotName returns the ID under which a slot's body is stored, twice over.
func SlotName(body []byte) objects.ID { return blake3.Sum256(body) }

// SlotBody returns the body from what is stored under keys/<id>, and whether
// one of its two copies is damaged. The body aliases stored.
func SlotBody(id objects.ID, stored []byte) (body []byte, damaged bool, err error) {
	body, damaged = objects.Once(stored, func(half []byte) bool { return SlotName(half) == id })
	if body != nil {
		return body, damaged, nil
	}
	if err := checkSlotVersion(stored); errors.Is(err, objects.ErrNewer) {
		return nil, true, err // a later version may be stored another way
	}
	return nil, true, objects.Corrupt("slot "+id.Short(), "neither copy has the hash that names it")
}

func (p *preface) append(b []byte) []byte {
	kdf := uint8(kdfArgon2id)
	if p.kdf.None() {
		kdf = kdfNone
	}
	b = append(b, slotMagic...)
	b = wire.AppendU16(b, slotVersion)
	b = append(b, kdf, 0)
	b = wire.AppendU32(b, p.kdf.Memory)
	b = wire.AppendU32(b, p.kdf.Passes)
	b = append(b, p.kdf.Lanes, 0, 0, 0)
	b = append(b, p.repo[:]...)
	b = append(b, p.salt[:]...)
	b = append(b, p.commitment[:]...)
	return append(b, p.nonce[:]...)
}

func checkSlotVersion(body []byte) error {
	d := wire.NewDecoder(body)
	magic, version := string(d.Raw(len(slotMagic))), d.U16()
	switch {
	case d.Err() != nil:
		return objects.Corrupt("slot", "%v", d.Err())
	case magic != slotMagic:
		return objects.Corrupt("slot", "it does not begin like a slot")
	case version > slotVersion:
		return fmt.Errorf("slot of version %d: %w", version, objects.ErrNewer)
	case version != slotVersion:
		return objects.Corrupt("slot", "there is no version %d", version)
	}
	return nil
}

func decodePreface(body []byte) (*preface, error) {
	if err := checkSlotVersion(body); err != nil {
		return nil, err
	}
	if len(body) < slotClear+slotOverhead || len(body) > maxSlotBody {
		return nil, objects.Corrupt("slot", "it is %d bytes long", len(body))
	}
	d := wire.NewDecoder(body[len(slotMagic)+2 : slotClear])
	p := new(preface)
	kdf, zero := d.U8(), d.U8()
	p.kdf = KDF{Memory: d.U32(), Passes: d.U32(), Lanes: d.U8()}
	zeros := d.Raw(3)
	d.Fill(p.repo[:])
	d.Fill(p.salt[:])
	d.Fill(p.commitment[:])
	d.Fill(p.nonce[:])
	if err := d.Finish(); err != nil {
		return nil, objects.Corrupt("slot", "%v", err)
	}
	if zero != 0 || string(zeros) != "\x00\x00\x00" {
		return nil, objects.Corrupt("slot", "reserved bytes are not zero")
	}
	switch {
	case kdf == kdfNone && p.kdf.None():
		return p, nil
	case kdf == kdfArgon2id && p.kdf.None():
		return nil, fmt.Errorf("slot with Argon2id that costs nothing: %w", ErrWeakSlot)
	case kdf == kdfArgon2id:
		return p, p.kdf.check()
	}
	return nil, objects.Corrupt("slot", "its KDF %d is not known, or has parameters it should not have", kdf)
}

func appendSlot(b []byte, m Master, label string, created time.Time) []byte {
	b = append(b, m.Family[:]...)
	b = wire.AppendUvarint(b, uint64(len(m.Epochs)))
	for _, e := range m.Epochs {
		b = wire.AppendU32(b, e.Number)
		b = append(b, e.Key[:]...)
	}
	b = wire.AppendTime(b, created)
	return wire.AppendBytes(b, label)
}

// decodeSlot reads the plaintext of a slot.
func decodeSlot(plaintext []byte) (Slot, error) {
	var s Slot
	d := wire.NewDecoder(plaintext)
	d.Fill(s.Master.Family[:])
	s.Master.Epochs = make([]Epoch, d.Count(4+len(Secret{})))
	for i := range s.Master.Epochs {
		e := &s.Master.Epochs[i]
		e.Number = d.U32()
		d.Fill(e.Key[:])
	}
	s.Created = d.Time()
	s.Label = string(d.Bytes())
	err := d.Finish()
	switch {
	case err != nil:
		return Slot{}, objects.Corrupt("slot", "%v", err)
	case !utf8.ValidString(s.Label):
		return Slot{}, objects.Corrupt("slot", "its label is not UTF-8")
	}
	if err := s.Master.check(); err != nil {
		return Slot{}, objects.Corrupt("slot", "%v", err)
	}
	return s, nil
}
