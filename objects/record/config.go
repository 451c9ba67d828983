package record

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

// Layout of config, FORMAT.md §4.
const (
	configMagic  = "cairncfg"
	configExtra  = 32 // bytes in front of the box length, bound by the box
	configClear  = 36 // bytes in front of the box
	configSum    = 16
	maxConfigBox = 65536
)

// Limits of a config's fields.
const (
	chunkUnitStep = 64 << 10
	maxChunkUnit  = 4 << 20
	maxChunk      = 16 << 20 // FORMAT.md §6.1
	maxFrame      = 32 << 20 // FORMAT.md §7.4
)

// Config is what is fixed when a repository is made.
type Config struct {
	Repository objects.RepositoryID
	AEAD       crypt.AEAD // for new objects
	Created    time.Time

	ChunkUnit uint32 // bytes, FORMAT.md §6.2
	FixedUnit uint32 // bytes, §6.4
	FrameSize uint32 // bytes, §7.6
}

// Clear is what config says without a key: enough to choose a slot, to derive
// the keys and then to read the rest.
type Clear struct {
	Repository objects.RepositoryID
	AEAD       crypt.AEAD
	Epoch      uint32 // of the box
}

// EncodeConfig returns what is stored as config. Repository and AEAD must be
// those of the keys.
func EncodeConfig(k *crypt.Keys, c Config, random io.Reader) (stored []byte, err error) {
	if c.Repository != k.Repository() || c.AEAD != k.AEAD() {
		return nil, fmt.Errorf("encode config: it is of repository %v and %v, the keys are of %v and %v",
			c.Repository, c.AEAD, k.Repository(), k.AEAD())
	}
	plaintext := appendConfig(nil, c)
	if _, err := decodeConfig(plaintext); err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	body := appendPreface(nil, configMagic, k.Origin())
	body = append(body, c.Repository[:]...)
	body = wire.AppendU32(body, uint32(crypt.BoxOverhead+len(plaintext)))
	box, err := k.Seal(nil, crypt.Record, "config", body[:configExtra], plaintext, random)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	body = append(body, box...)
	return objects.Twice(append(body, configHash(body)...)), nil
}

// configHash returns the checksum of the body in front of it.
func configHash(body []byte) []byte {
	sum := hash(body)
	return sum[:configSum]
}

// PeekConfig returns what config says without a key, and whether only half of
// what is stored is good: one of its two copies. Nothing vouches for it until DecodeConfig succeeds.
func PeekConfig(stored []byte) (clear Clear, half bool, err error) {
	body, half, err := configBody(stored)
	if err != nil {
		return Clear{}, half, err
	}
	clear, _, err = splitConfig(body)
	return clear, half, err
}

// DecodeConfig reads config. Whether both copies are good, PeekConfig tells.
func DecodeConfig(k *crypt.Keys, stored []byte) (Config, error) {
	body, _, err := configBody(stored)
	if err != nil {
		return Config{}, err
	}
	clear, box, err := splitConfig(body)
	if err != nil {
		return Config{}, err
	}
	if clear.Repository != k.Repository() {
		return Config{}, objects.Corrupt("config", "it belongs to repository %v, not %v", clear.Repository, k.Repository())
	}
	from := crypt.Origin{AEAD: clear.AEAD, Epoch: clear.Epoch}
	plaintext, err := k.Open(nil, from, crypt.Record, "config", body[:configExtra], box)
	if err != nil {
		return Config{}, err
	}
	c, err := decodeConfig(plaintext)
	if err != nil {
		return Config{}, damaged("config", err)
	}
	c.Repository, c.AEAD = clear.Repository, clear.AEAD
	return c, nil
}

func configBody(stored []byte) (body []byte, half bool, err error) {
	return once(stored, "config", configMagic, func(half []byte) bool {
		n := len(half) - configSum
		return n >= 0 && bytes.Equal(half[n:], configHash(half[:n]))
	})
}

// splitConfig reads the clear fields and returns the box.
func splitConfig(body []byte) (c Clear, box []byte, err error) {
	d := wire.NewDecoder(body[:len(body)-configSum])
	from, err := decodePreface(d, "config", configMagic)
	if err != nil {
		return Clear{}, nil, err
	}
	c = Clear{AEAD: from.AEAD, Epoch: from.Epoch}
	d.Fill(c.Repository[:])
	n := d.U32()
	if n > maxConfigBox {
		return Clear{}, nil, objects.Corrupt("config", "its box of %d bytes is too long", n)
	}
	box = d.Raw(int(n))
	if err := d.Finish(); err != nil {
		return Clear{}, nil, damaged("config", err)
	}
	return c, box, nil
}

// appendConfig appends the plaintext of the box.
func appendConfig(b []byte, c Config) []byte {
	b = wire.AppendTime(b, c.Created)
	b = wire.AppendU32(b, c.ChunkUnit)
	b = wire.AppendU32(b, c.FixedUnit)
	return wire.AppendU32(b, c.FrameSize)
}

// decodeConfig reads the plaintext of the box.
func decodeConfig(plaintext []byte) (Config, error) {
	d := wire.NewDecoder(plaintext)
	c := Config{Created: d.Time(), ChunkUnit: d.U32(), FixedUnit: d.U32(), FrameSize: d.U32()}
	err := d.Finish()
	switch {
	case err != nil:
		return Config{}, err
	case c.ChunkUnit == 0 || c.ChunkUnit%chunkUnitStep != 0 || c.ChunkUnit > maxChunkUnit:
		return Config{}, fmt.Errorf("a chunk unit of %d bytes is not allowed", c.ChunkUnit)
	case c.FixedUnit == 0 || c.FixedUnit > maxChunk:
		return Config{}, fmt.Errorf("a fixed unit of %d bytes is not allowed", c.FixedUnit)
	case c.FrameSize == 0 || c.FrameSize > maxFrame:
		return Config{}, fmt.Errorf("a frame size of %d bytes is not allowed", c.FrameSize)
	}
	return c, nil
}
