package record

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

// Layout of head, FORMAT.md §10.
const (
	headMagic = "cairnhed"
	headNonce = 16
	headClear = 48 // bytes in front of the box
	headExtra = 16 // from here to the box is bound by it
)

const minParticipant = 16 + 1 + 1 + 1 + 5 + 4 + 3 // bytes, encoded: everything empty

// Mode says what a participant may do beside others.
type Mode uint8

const (
	Append    Mode = 1
	Exclusive Mode = 2
)

// String returns "append" or "exclusive".
func (m Mode) String() string {
	switch m {
	case Append:
		return "append"
	case Exclusive:
		return "exclusive"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParticipantID names one run that holds or wants the lease, at random.
type ParticipantID [16]byte

// Participant is a holder of the lease, or who waits for it.
type Participant struct {
	ID   ParticipantID
	Mode Mode
	Beat uint64        // raised as a sign of life
	TTL  time.Duration // whole milliseconds ≥ 0: silence for this long is suspect

	// For people only.
	Since               time.Time
	Host, User, Command string

	// The process; whoever shares its kernel can tell whether it still runs.
	BootID    string
	Namespace uint64 // of pids
	PID       uint64
	Start     uint64
}

// Head is the one mutable object: commit pointer and lock table in one.
type Head struct {
	Generation uint64
	GC         uint64     // number of condemning commits
	Commit     objects.ID // record of Generation; zero at generation 0

	SnapshotGeneration uint64     // newest generation with a snapshot; 0: none yet
	Snapshot           objects.ID // its record

	Unswept uint64 // condemning commits whose packs may still be there
	Orphans uint64 // runs that may have left packs that no commit names

	Holders []Participant
	Queue   []Participant
}

var (
	errHeadCommit = errors.New("its generations and its commit records do not go together")
	errMode       = errors.New("a participant's mode is not known")
)

// EncodeHead returns a value for head. No two calls return the same value,
// even for equal heads.
func EncodeHead(k *crypt.Keys, h *Head, random io.Reader) (value []byte, err error) {
	plaintext := appendHead(nil, h)
	if _, err := decodeHead(plaintext); err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	repo := k.Repository()
	value = appendPreface(nil, headMagic, k.Origin())
	value = append(value, repo[:]...)
	value = append(value, make([]byte, headNonce)...)
	if _, err := io.ReadFull(random, value[headClear-headNonce:]); err != nil {
		return nil, fmt.Errorf("encode head: read random bytes: %w", err)
	}
	box, err := k.Seal(nil, crypt.Record, "head", value[headExtra:headClear], plaintext, random)
	if err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	return append(value, box...), nil
}

// DecodeHead reads a value of head. crypt.ErrNoEpoch says that the
// repository's key was rotated.
func DecodeHead(k *crypt.Keys, value []byte) (*Head, error) {
	d := wire.NewDecoder(value)
	from, err := decodePreface(d, "head", headMagic)
	if err != nil {
		return nil, err
	}
	var repo objects.RepositoryID
	d.Fill(repo[:])
	d.Raw(headNonce)
	box := d.Raw(d.Len())
	if err := d.Err(); err != nil {
		return nil, damaged("head", err)
	}
	if repo != k.Repository() {
		return nil, objects.Corrupt("head", "it belongs to repository %v, not %v", repo, k.Repository())
	}
	plaintext, err := k.Open(nil, from, crypt.Record, "head", value[headExtra:headClear], box)
	if err != nil {
		return nil, err
	}
	h, err := decodeHead(plaintext)
	if err != nil {
		return nil, damaged("head", err)
	}
	return h, nil
}

func appendHead(b []byte, h *Head) []byte {
	b = wire.AppendUvarint(b, h.Generation)
	b = wire.AppendUvarint(b, h.GC)
	b = append(b, h.Commit[:]...)
	b = wire.AppendUvarint(b, h.SnapshotGeneration)
	b = append(b, h.Snapshot[:]...)
	b = wire.AppendUvarint(b, h.Unswept)
	b = wire.AppendUvarint(b, h.Orphans)
	b = appendList(b, h.Holders, appendParticipant)
	return appendList(b, h.Queue, appendParticipant)
}

// decodeHead reads the plaintext of the box.
func decodeHead(plaintext []byte) (*Head, error) {
	d := wire.NewDecoder(plaintext)
	h := &Head{Generation: d.UvarintMax(maxGen), GC: d.Uvarint()}
	d.Fill(h.Commit[:])
	h.SnapshotGeneration = d.Uvarint()
	d.Fill(h.Snapshot[:])
	h.Unswept = d.Uvarint()
	h.Orphans = d.Uvarint()
	h.Holders = decodeList(d, minParticipant, decodeParticipant)
	h.Queue = decodeList(d, minParticipant, decodeParticipant)
	if (h.Generation == 0) != h.Commit.IsZero() || (h.SnapshotGeneration == 0) != h.Snapshot.IsZero() ||
		h.SnapshotGeneration > h.Generation {
		d.Fail(errHeadCommit)
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return h, nil
}

func appendParticipant(b []byte, p *Participant) []byte {
	b = append(b, p.ID[:]...)
	b = append(b, byte(p.Mode))
	b = wire.AppendUvarint(b, p.Beat)
	b = wire.AppendUvarint(b, uint64(p.TTL/time.Millisecond))
	b = wire.AppendTime(b, p.Since)
	for _, s := range []string{p.Host, p.User, p.Command, p.BootID} {
		b = wire.AppendBytes(b, s)
	}
	for _, v := range []uint64{p.Namespace, p.PID, p.Start} {
		b = wire.AppendUvarint(b, v)
	}
	return b
}

func decodeParticipant(d *wire.Decoder, p *Participant) {
	d.Fill(p.ID[:])
	p.Mode = Mode(d.U8())
	if p.Mode != Append && p.Mode != Exclusive {
		d.Fail(errMode)
	}
	p.Beat = d.Uvarint()
	p.TTL = time.Duration(d.UvarintMax(math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
	p.Since = d.Time()
	decodeStrings(d, &p.Host, &p.User, &p.Command, &p.BootID)
	for _, v := range []*uint64{&p.Namespace, &p.PID, &p.Start} {
		*v = d.Uvarint()
	}
}
