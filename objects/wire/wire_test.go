package wire_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"testing/quick"
	"time"

	"cairn/objects/wire"
)

// TestBytes pins the encodings of FORMAT.md §1.
func TestBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{"uvarint 0", wire.AppendUvarint(nil, 0), []byte{0}},
		{"uvarint 127", wire.AppendUvarint(nil, 127), []byte{0x7f}},
		{"uvarint 300", wire.AppendUvarint(nil, 300), []byte{0xac, 0x02}},
		{"uvarint max", wire.AppendUvarint(nil, math.MaxUint64), []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1}},
		{"svarint -1", wire.AppendSvarint(nil, -1), []byte{1}},
		{"svarint 1", wire.AppendSvarint(nil, 1), []byte{2}},
		{"u16", wire.AppendU16(nil, 0x0102), []byte{2, 1}},
		{"u32", wire.AppendU32(nil, 0x01020304), []byte{4, 3, 2, 1}},
		{"u64", wire.AppendU64(nil, 0x0102030405060708), []byte{8, 7, 6, 5, 4, 3, 2, 1}},
		{"bytes", wire.AppendBytes(nil, "ab"), []byte{2, 'a', 'b'}},
		{"time", wire.AppendTime(nil, time.Unix(-1, 5)), []byte{1, 5, 0, 0, 0}},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("%s: got % x, want % x", c.name, c.got, c.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	check := func(a uint64, b int64, c uint16, d uint32, e uint64, p []byte, s string, sec int64, ns uint32) bool {
		ns %= 1e9
		in := time.Unix(sec, int64(ns))
		enc := wire.AppendSvarint(wire.AppendUvarint(nil, a), b)
		enc = wire.AppendU64(wire.AppendU32(wire.AppendU16(enc, c), d), e)
		enc = wire.AppendTime(wire.AppendBytes(wire.AppendBytes(enc, p), s), in)
		r := wire.NewDecoder(enc)
		same := r.Uvarint() == a && r.Svarint() == b && r.U16() == c && r.U32() == d && r.U64() == e &&
			bytes.Equal(r.Bytes(), p) && string(r.Bytes()) == s && r.Time().Equal(in)
		return same && r.Finish() == nil
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestRejects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		input  []byte
		read   func(*wire.Decoder)
		want   error
	}{
		{"empty varint", nil, func(d *wire.Decoder) { d.Uvarint() }, wire.ErrShort},
		{"cut varint", []byte{0x80}, func(d *wire.Decoder) { d.Uvarint() }, wire.ErrShort},
		{"zero in two bytes", []byte{0x80, 0}, func(d *wire.Decoder) { d.Uvarint() }, wire.ErrVarint},
		{"one in two bytes", []byte{0x81, 0}, func(d *wire.Decoder) { d.Svarint() }, wire.ErrVarint},
		{"65 bits", []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, func(d *wire.Decoder) { d.Uvarint() }, wire.ErrVarint},
		{"eleven bytes", bytes.Repeat([]byte{0x80}, 11), func(d *wire.Decoder) { d.Uvarint() }, wire.ErrVarint},
		{"over the limit", []byte{11}, func(d *wire.Decoder) { d.UvarintMax(10) }, wire.ErrTooLarge},
		{"cut u16", []byte{1}, func(d *wire.Decoder) { d.U16() }, wire.ErrShort},
		{"cut u32", []byte{1, 2, 3}, func(d *wire.Decoder) { d.U32() }, wire.ErrShort},
		{"cut u64", []byte{1, 2, 3, 4, 5, 6, 7}, func(d *wire.Decoder) { d.U64() }, wire.ErrShort},
		{"cut u8", nil, func(d *wire.Decoder) { d.U8() }, wire.ErrShort},
		{"cut bytes", []byte{3, 'a', 'b'}, func(d *wire.Decoder) { d.Bytes() }, wire.ErrShort},
		{"bytes of 2^63", []byte{128, 128, 128, 128, 128, 128, 128, 128, 128, 1}, func(d *wire.Decoder) { d.Bytes() }, wire.ErrShort},
		{"negative length", []byte{1}, func(d *wire.Decoder) { d.Raw(-1) }, wire.ErrShort},
		{"count that cannot be", []byte{2, 0, 0, 0}, func(d *wire.Decoder) { d.Count(2) }, wire.ErrShort},
		{"10^9 nanoseconds", wire.AppendU32([]byte{0}, 1e9), func(d *wire.Decoder) { d.Time() }, wire.ErrTime},
		{"bytes left over", []byte{1, 2}, func(d *wire.Decoder) { d.U8() }, wire.ErrTrailing},
	} {
		d := wire.NewDecoder(c.input)
		c.read(d)
		if err := d.Finish(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.reason, err, c.want)
		}
	}
}

func TestFirstErrorSticks(t *testing.T) {
	t.Parallel()
	d := wire.NewDecoder([]byte{0x80, 0, 7})
	d.Uvarint()
	d.Fail(wire.ErrTooLarge)
	if got := d.U8(); got != 0 {
		t.Errorf("after an error U8() = %d, want 0", got)
	}
	if err := d.Finish(); err != wire.ErrVarint {
		t.Errorf("Finish() = %v, want the first error, %v", err, wire.ErrVarint)
	}
	if d.Len() != 0 {
		t.Errorf("after an error %d bytes are left, want none", d.Len())
	}
}

func TestRawDoesNotGrowIntoTheInput(t *testing.T) {
	t.Parallel()
	input := []byte("abcd")
	_ = append(wire.NewDecoder(input).Raw(2), 'X')
	if string(input) != "abcd" {
		t.Errorf("appending to what Raw returned changed the input to %q", input)
	}
}

// FuzzDecoder reads values in an order that the input chooses, and checks that
// what was read is written as it stood.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, []byte{0xac, 2, 1, 1, 2, 3, 1, 2, 3, 4})
	f.Add([]byte{4, 4}, []byte{1, 9, 0, 0, 0})
	f.Fuzz(func(t *testing.T, order, input []byte) {
		d := wire.NewDecoder(input)
		var again []byte
		for _, op := range order {
			next := readAndWrite(d, op)
			if d.Err() != nil {
				break
			}
			again = append(again, next...)
		}
		if !bytes.HasPrefix(input, again) {
			t.Errorf("read % x, which is written % x", input, again)
		}
	})
}

func readAndWrite(d *wire.Decoder, op byte) []byte {
	switch op % 8 {
	case 0:
		return wire.AppendUvarint(nil, d.Uvarint())
	case 1:
		return wire.AppendSvarint(nil, d.Svarint())
	case 2:
		return wire.AppendU16(nil, d.U16())
	case 3:
		return wire.AppendU32(nil, d.U32())
	case 4:
		return wire.AppendTime(nil, d.Time())
	case 5:
		return wire.AppendBytes(nil, d.Bytes())
	case 6:
		return wire.AppendU64(nil, d.U64())
	}
	return []byte{d.U8()}
}
