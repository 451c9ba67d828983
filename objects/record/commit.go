package record

import (
	"fmt"
	"io"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const (
	commitMagic = "cairnrec"
	commitClear = 24 // bytes in front of the box
)

// SnapshotEvery says which generations carry a snapshot: its multiples.
const SnapshotEvery = 64

// Commit is one change of a repository (FORMAT.md §9). In the order of its
// fields it adds packs, condemns packs, adds archives, removes archives and
// changes settings.
type Commit struct {
	Generation uint64     // counts from 1
	Prev       objects.ID // the record of the generation before; zero for the first
	Made       time.Time
	Host, User string

	Packs     []Pack
	Condemned []objects.ID // packs, dead for ever
	Archives  []Archive
	Removed   []objects.ID // archives
	Settings  []Setting    // by rising name
	Snapshot  *Snapshot    // what State.SnapshotAfter returns, or nil
	Bundles   []objects.ID // where headers stand that Packs lacks, if they still do
}

// Snapshot is all that a repository holds after a commit.
type Snapshot struct {
	Packs     []Pack // without headers
	Condemned []objects.ID
	Archives  []Archive
	Settings  []Setting // by rising name

	Milestones []Milestone // earlier ones, rising
}

// Milestone is a commit whose generation is a multiple of SnapshotEvery: what
// is left of the chain when older records are removed, and by which whoever saw
// one of these commits knows the chain again.
type Milestone struct {
	Generation uint64
	Commit     objects.ID
}

// Setting is a property of the repository that can change; the newest record
// that names it wins.
type Setting struct {
	Name  string
	Value []byte
}

// Pack says that a pack is part of the repository, and binds its header
// (FORMAT.md §9.3).
type Pack struct {
	ID         objects.ID
	Kind       objects.Kind
	Length     uint64     // bytes, of the whole pack
	HeaderLen  uint32     // bytes, H of FORMAT.md §7.2
	HeaderHash objects.ID // BLAKE3 of the first 40+H bytes
	Header     []byte     // those bytes, or empty
}

// Encode returns a commit record and the ID that names it.
func Encode(k *crypt.Keys, c *Commit, random io.Reader) (id objects.ID, stored []byte, err error) {
	payload := appendPayload(nil, c)
	if _, err := decodePayload(payload); err != nil {
		return objects.ID{}, nil, fmt.Errorf("encode commit %d: %w", c.Generation, err)
	}
	plaintext, err := compress(payload)
	if err != nil {
		return objects.ID{}, nil, fmt.Errorf("encode commit %d: %w", c.Generation, err)
	}
	body := appendPreface(nil, commitMagic, k.Origin())
	body = wire.AppendU64(body, c.Generation)
	body, err = k.Seal(body, crypt.Record, "commit", commitExtra(k, c.Generation), plaintext, random)
	if err != nil {
		return objects.ID{}, nil, fmt.Errorf("encode commit %d: %w", c.Generation, err)
	}
	return hash(body), objects.Twice(body), nil
}

// DecodeCommit reads the commit record that id names, and says whether only
// half of what is stored is good: one of its two copies. The result shares no
// memory with stored.
func DecodeCommit(k *crypt.Keys, id objects.ID, stored []byte) (c *Commit, half bool, err error) {
	object := "commit " + id.Short()
	body, half, err := once(stored, object, commitMagic, func(half []byte) bool { return hash(half) == id })
	if err != nil {
		return nil, half, err
	}
	d := wire.NewDecoder(body)
	from, err := decodePreface(d, object, commitMagic)
	if err != nil {
		return nil, half, err
	}
	generation := d.U64()
	box := d.Raw(d.Len())
	plaintext, err := k.Open(nil, from, crypt.Record, "commit", commitExtra(k, generation), box)
	if err != nil {
		return nil, half, fmt.Errorf("read %s: %w", object, err)
	}
	payload, err := decompress(plaintext)
	if err != nil {
		return nil, half, damaged(object, err)
	}
	if c, err = decodePayload(payload); err != nil {
		return nil, half, damaged(object, err)
	}
	if c.Generation != generation {
		return nil, half, objects.Corrupt(object, "it is of generation %d inside and %d outside", c.Generation, generation)
	}
	return c, half, nil
}

// commitExtra binds the box to repository and generation.
func commitExtra(k *crypt.Keys, generation uint64) []byte {
	repo := k.Repository()
	return wire.AppendU64(repo[:], generation)
}
