package pack

import (
	"fmt"

	"github.com/zeebo/xxh3"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const (
	// MaxLen is the length no pack exceeds, bytes (FORMAT.md §7.1).
	MaxLen = 64 << 20

	// PreambleLen is the length of the clear bytes at both ends of a pack.
	// It is enough to learn how long the header is.
	PreambleLen = 40

	magic           = "cairnpck"
	version         = 1
	preambleBound   = 32 // bytes of the preamble that the header is bound to
	maxHeaderLen    = 16 << 20
	minStored       = 17 // a frame of one byte and its tag
	maxDataShards   = 240
	maxShards       = 256
	shardSumLen     = 8 // XXH3 of one shard, in each of the two tables
	preambleSubject = "pack preamble"
)

// Preamble is what a pack says in clear about its layout (FORMAT.md §7.2). It
// is only a hint until the header that is bound to it has been opened.
type Preamble struct {
	AEAD         crypt.AEAD // of the header
	Epoch        uint32     // of the header
	HeaderLen    uint32     // bytes
	FramesLen    uint32     // bytes
	ShardSize    uint32     // bytes; zero without parity
	DataShards   uint16
	ParityShards uint16
}

// ParsePreamble reads the preamble at the start of p; what follows it is not
// looked at. Both ends of a pack carry the same preamble, so that damage to
// one leaves the other. The error is objects.ErrNewer for packs of later
// versions, and else a *objects.CorruptError.
func ParsePreamble(p []byte) (Preamble, error) {
	if len(p) < PreambleLen {
		return Preamble{}, objects.Corrupt(preambleSubject, "it ends after %d of %d bytes", len(p), PreambleLen)
	}
	d := wire.NewDecoder(p[:PreambleLen])
	if got := string(d.Raw(len(magic))); got != magic {
		return Preamble{}, objects.Corrupt(preambleSubject, "magic is %q", got)
	}
	switch v := d.U16(); {
	case v > version:
		return Preamble{}, fmt.Errorf("pack of version %d: %w", v, objects.ErrNewer)
	case v < version:
		return Preamble{}, objects.Corrupt(preambleSubject, "version is %d", v)
	}
	aead, zero := crypt.AEAD(d.U8()), d.U8()
	r := Preamble{
		AEAD: aead, Epoch: d.U32(), HeaderLen: d.U32(), FramesLen: d.U32(),
		ShardSize: d.U32(), DataShards: d.U16(), ParityShards: d.U16(),
	}
	if sum := d.U64(); sum != xxh3.Hash(p[:preambleBound]) {
		return Preamble{}, objects.Corrupt(preambleSubject, "checksum does not match")
	}
	if zero != 0 {
		return Preamble{}, objects.Corrupt(preambleSubject, "reserved byte is %d", zero)
	}
	return r, r.check()
}

// append appends the encoding of p.
func (p Preamble) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = wire.AppendU16(b, version)
	b = append(b, byte(p.AEAD), 0)
	b = wire.AppendU32(b, p.Epoch)
	b = wire.AppendU32(b, p.HeaderLen)
	b = wire.AppendU32(b, p.FramesLen)
	b = wire.AppendU32(b, p.ShardSize)
	b = wire.AppendU16(b, p.DataShards)
	b = wire.AppendU16(b, p.ParityShards)
	return wire.AppendU64(b, xxh3.Hash(b[start:]))
}

// check holds the fields against FORMAT.md §7.2 and §7.3.
func (p Preamble) check() error {
	switch {
	case !p.AEAD.Valid():
		return objects.Corrupt(preambleSubject, "AEAD %d is not known", uint8(p.AEAD))
	case p.Epoch == 0:
		return objects.Corrupt(preambleSubject, "epoch is zero")
	case p.HeaderLen <= crypt.BoxOverhead || p.HeaderLen > maxHeaderLen:
		return objects.Corrupt(preambleSubject, "header of %d bytes", p.HeaderLen)
	case p.FramesLen < minStored:
		return objects.Corrupt(preambleSubject, "frames of %d bytes", p.FramesLen)
	}
	if err := p.checkParity(); err != nil {
		return err
	}
	if p.PackLen() > MaxLen {
		return objects.Corrupt(preambleSubject, "pack of %d bytes", p.PackLen())
	}
	return nil
}

// checkParity holds the shards against FORMAT.md §7.3.
func (p Preamble) checkParity() error {
	if p.ShardSize == 0 && p.DataShards == 0 && p.ParityShards == 0 {
		return nil
	}
	covered := int64(p.HeaderLen) + int64(p.FramesLen)
	if p.ShardSize == 0 || p.DataShards == 0 || p.ParityShards == 0 ||
		p.DataShards > maxDataShards || p.shards() > maxShards ||
		int64(p.DataShards)*int64(p.ShardSize) < covered {
		return objects.Corrupt(preambleSubject, "parity of %d+%d shards of %d bytes for %d bytes",
			p.DataShards, p.ParityShards, p.ShardSize, covered)
	}
	return nil
}

func (p Preamble) shards() int64 { return int64(p.DataShards) + int64(p.ParityShards) }

// Prefix returns how many bytes, from the start of the pack, OpenHeader needs.
func (p Preamble) Prefix() int { return PreambleLen + int(p.HeaderLen) }

// FramesOff returns where the frames begin, from the start of the pack.
func (p Preamble) FramesOff() int64 {
	return int64(p.Prefix()) + p.shards()*shardSumLen + int64(p.ParityShards)*int64(p.ShardSize)
}

// PackLen returns the length of the whole pack, bytes.
func (p Preamble) PackLen() int64 {
	return p.FramesOff() + int64(p.FramesLen) + p.shards()*shardSumLen + PreambleLen
}
