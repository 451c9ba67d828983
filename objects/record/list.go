package record

import (
	"cairn/objects"
	"cairn/objects/wire"
)

// appendList appends a list of X (FORMAT.md §1.1).
func appendList[T any](b []byte, items []T, item func([]byte, *T) []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(items)))
	for i := range items {
		b = item(b, &items[i])
	}
	return b
}

// decodeList reads a list whose items take at least size bytes each; an empty
// one is nil.
func decodeList[T any](d *wire.Decoder, size int, item func(*wire.Decoder, *T)) []T {
	n := d.Count(size)
	if n == 0 {
		return nil
	}
	items := make([]T, n)
	for i := range items {
		item(d, &items[i])
		if d.Err() != nil {
			return nil
		}
	}
	return items
}

func appendID(b []byte, id *objects.ID) []byte { return append(b, id[:]...) }
func decodeID(d *wire.Decoder, id *objects.ID) { d.Fill(id[:]) }
func appendString(b []byte, s *string) []byte  { return wire.AppendBytes(b, *s) }

// decodeString copies nothing where s has that value already, from an archive
// that was read into it before.
func decodeString(d *wire.Decoder, s *string) {
	if p := d.Bytes(); string(p) != *s {
		*s = string(p)
	}
}

func decodeStrings(d *wire.Decoder, fields ...*string) {
	for _, s := range fields {
		decodeString(d, s)
	}
}
