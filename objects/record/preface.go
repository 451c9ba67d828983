package record

import (
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

const (
	version    = 1
	magicLen   = 8
	prefaceLen = 16 // magic, version, AEAD, zero, epoch
)

// appendPreface appends what config, commit record and head begin with.
func appendPreface(b []byte, magic string, from crypt.Origin) []byte {
	b = append(b, magic...)
	b = wire.AppendU16(b, version)
	b = append(b, byte(from.AEAD), 0)
	return wire.AppendU32(b, from.Epoch)
}

// decodePreface reads the preface of the named object and leaves d behind it.
func decodePreface(d *wire.Decoder, object, magic string) (crypt.Origin, error) {
	if err := checkVersion(d, object, magic); err != nil {
		return crypt.Origin{}, err
	}
	from := crypt.Origin{AEAD: crypt.AEAD(d.U8())}
	zero := d.U8()
	from.Epoch = d.U32()
	switch {
	case d.Err() != nil:
		return crypt.Origin{}, damaged(object, d.Err())
	case !from.AEAD.Valid():
		return crypt.Origin{}, objects.Corrupt(object, "%v is not known", from.AEAD)
	case zero != 0:
		return crypt.Origin{}, objects.Corrupt(object, "a reserved byte is not zero")
	}
	return from, nil
}

// checkVersion reads magic and version (FORMAT.md §1.5).
func checkVersion(d *wire.Decoder, object, magic string) error {
	found, v := string(d.Raw(magicLen)), d.U16()
	switch {
	case d.Err() != nil:
		return damaged(object, d.Err())
	case found != magic:
		return objects.Corrupt(object, "it does not begin with %q", magic)
	case v > version:
		return fmt.Errorf("%s of version %d: %w", object, v, objects.ErrNewer)
	case v != version:
		return objects.Corrupt(object, "there is no version %d", v)
	}
	return nil
}

// once returns the body of an object stored twice over and whether only half
// of what is stored is good. When neither is good, the object may be one that a later
// version stores in another way: ErrNewer then, else an *objects.CorruptError.
func once(stored []byte, object, magic string, ok func(half []byte) bool) (body []byte, half bool, err error) {
	body, half = objects.Once(stored, ok)
	if body != nil {
		return body, half, nil
	}
	if err := checkVersion(wire.NewDecoder(stored), object, magic); errors.Is(err, objects.ErrNewer) {
		return nil, true, err
	}
	return nil, true, objects.Corrupt(object, "neither of its two copies has the right hash")
}

// damaged says of object that it holds what no encoder writes. An err that is
// objects.ErrNewer stays so; any other makes an *objects.CorruptError.
func damaged(object string, err error) error {
	if errors.Is(err, objects.ErrNewer) {
		return fmt.Errorf("%s: %w", object, err)
	}
	return objects.Corrupt(object, "%v", err)
}

func hash(p []byte) objects.ID { return blake3.Sum256(p) }
