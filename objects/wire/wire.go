// Package wire reads and writes the primitive encodings of FORMAT.md §1.
//
// Writers are functions that append to a slice. The reader is a Decoder whose
// first error sticks, so that a sequence of reads is checked once, at its end.
package wire

import (
	"encoding/binary"
	"errors"
	"time"
)

// Errors of a Decoder; all mean that the input is not what an encoder writes.
var (
	ErrShort     = errors.New("input ends too early")
	ErrTrailing  = errors.New("bytes left over at the end")
	ErrVarint    = errors.New("varint is too long or not in its shortest form")
	ErrTime      = errors.New("nanoseconds out of range")
	ErrTooLarge  = errors.New("value out of range")
	ErrUnordered = errors.New("items out of order")
)

// AppendUvarint appends v in its shortest form.
func AppendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendSvarint appends the zigzag encoding of v.
func AppendSvarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

// AppendU16 appends v, little-endian.
func AppendU16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }

// AppendU32 appends v, little-endian.
func AppendU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// AppendU64 appends v, little-endian.
func AppendU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// AppendBytes appends p with its length in front.
func AppendBytes[T ~string | ~[]byte](b []byte, p T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// AppendTime appends t (FORMAT.md §1.4).
func AppendTime(b []byte, t time.Time) []byte {
	return AppendU32(AppendSvarint(b, t.Unix()), uint32(t.Nanosecond()))
}

// Decoder reads from a slice. After an error every read returns zero values;
// Err and Finish report the first error. The zero Decoder reads nothing.
type Decoder struct {
	rest []byte
	err  error
}

// NewDecoder reads from p, which must not change while it is in use.
func NewDecoder(p []byte) *Decoder { return &Decoder{rest: p} }

// Err returns the first error.
func (d *Decoder) Err() error { return d.err }

// Fail makes err the first error, if there is none yet.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err, d.rest = err, nil
	}
}

// Len returns how many bytes are left.
func (d *Decoder) Len() int { return len(d.rest) }

// Finish returns the first error, or ErrTrailing when bytes are left.
func (d *Decoder) Finish() error {
	if d.err == nil && len(d.rest) > 0 {
		d.Fail(ErrTrailing)
	}
	return d.err
}

// Raw returns the next n bytes, aliasing the input.
func (d *Decoder) Raw(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.Fail(ErrShort)
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

// Fill reads len(p) bytes into p.
func (d *Decoder) Fill(p []byte) { copy(p, d.Raw(len(p))) }

// U8 reads one byte.
func (d *Decoder) U8() uint8 {
	if p := d.Raw(1); p != nil {
		return p[0]
	}
	return 0
}

// U16 reads a little-endian integer.
func (d *Decoder) U16() uint16 {
	if p := d.Raw(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

// U32 reads a little-endian integer.
func (d *Decoder) U32() uint32 {
	if p := d.Raw(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// U64 reads a little-endian integer.
func (d *Decoder) U64() uint64 {
	if p := d.Raw(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// Uvarint reads a uvarint in its shortest form.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n == 0 {
		d.Fail(ErrShort)
		return 0
	}
	if n < 0 || n > 1 && d.rest[n-1] == 0 {
		d.Fail(ErrVarint)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// UvarintMax reads a uvarint that must not exceed limit.
func (d *Decoder) UvarintMax(limit uint64) uint64 {
	v := d.Uvarint()
	if v > limit {
		d.Fail(ErrTooLarge)
		return 0
	}
	return v
}

// Svarint reads a zigzag-encoded integer.
func (d *Decoder) Svarint() int64 {
	u := d.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Bytes reads a length and that many bytes, aliasing the input.
func (d *Decoder) Bytes() []byte {
	n := d.Uvarint()
	if n > uint64(len(d.rest)) {
		d.Fail(ErrShort)
		return nil
	}
	return d.Raw(int(n))
}

// Count reads the length of a list whose items take at least size ≥ 1 bytes
// each: a count that the rest of the input cannot hold is ErrShort, so that a
// caller may allocate for the result.
func (d *Decoder) Count(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.rest)/size) {
		d.Fail(ErrShort)
		return 0
	}
	return int(n)
}

// Time reads a time; the result is in UTC.
func (d *Decoder) Time() time.Time {
	s, ns := d.Svarint(), d.U32()
	if ns >= 1e9 {
		d.Fail(ErrTime)
		return time.Time{}
	}
	return time.Unix(s, int64(ns)).UTC()
}
