package archive

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"cairn/objects"
	"cairn/objects/wire"
)

// Form says how content is kept: FORMAT.md §8.4.
type Form uint8

const (
	Inline  Form = 0 // the bytes themselves
	Chunk   Form = 1 // one data chunk
	Extents Form = 2 // a list of data chunks and holes
)

// Extent is a run of bytes: a data chunk, or a hole. In a list of a level above
// 0 it is a metadata chunk, which holds a list that covers Len bytes.
type Extent struct {
	Len  uint64 // above 0
	ID   objects.ID
	Hole bool // zeros that were never written; ID is zero
}

// Content is where the bytes of a file are. The zero Content is empty. Make one
// with InlineContent, PutContent or a ContentWriter; Reader.Extents reads it.
type Content struct {
	Form    Form
	Level   uint8    // of the list in Extents: 0 unless it is spilled
	Inline  []byte   // Inline: up to InlineMax bytes
	Extents []Extent // Chunk: exactly one; Extents: up to 64
}

// InlineContent returns the content p, of up to InlineMax bytes, and refers
// to it.
func InlineContent(p []byte) Content { return Content{Form: Inline, Inline: p} }

// Size returns how many bytes the content has.
func (c *Content) Size() uint64 {
	n := uint64(len(c.Inline))
	for i := range c.Extents {
		n += c.Extents[i].Len
	}
	return n
}

// Clone returns a copy that shares no memory with c.
func (c *Content) Clone() Content {
	d := *c
	d.Inline = bytes.Clone(c.Inline)
	d.Extents = slices.Clone(c.Extents)
	return d
}

func (c *Content) isZero() bool {
	return c.Form == Inline && c.Level == 0 && len(c.Inline) == 0 && len(c.Extents) == 0
}

// Errors of content.
var (
	errForm     = errors.New("content is not in the form that its size and extents ask for")
	errSize     = errors.New("content does not have the size that is stated")
	errExtent   = errors.New("extent has no length, or one out of range")
	errHoles    = errors.New("two holes touch")
	errLevel    = errors.New("level is out of range")
	errTooMany  = errors.New("list has too many items")
	errOverflow = errors.New("sum of sizes overflows")
)

// check returns nil if c has the right form for size bytes.
func (c *Content) check(size uint64) error {
	x := c.Extents
	switch c.Form {
	case Inline:
		if len(c.Inline) > InlineMax || len(x) > 0 || c.Level > 0 {
			return errForm
		}
		if uint64(len(c.Inline)) != size {
			return errSize
		}
		return nil
	case Chunk:
		if len(x) != 1 || x[0].Hole || c.Level > 0 || len(c.Inline) > 0 {
			return errForm
		}
	case Extents:
		single := len(x) == 1 && c.Level == 0 && !x[0].Hole
		if len(x) == 0 || len(x) > extentsMax || single || len(c.Inline) > 0 {
			return errForm
		}
	default:
		return errForm
	}
	sum, err := checkList(x, c.Level)
	if err == nil && sum != size {
		err = errSize
	}
	return err
}

// checkList returns the sum of the lengths of a list of this level.
func checkList(list []Extent, level uint8) (uint64, error) {
	if level > listLevelMax {
		return 0, errLevel
	}
	var sum uint64
	for i := range list {
		x := &list[i]
		if err := x.check(level); err != nil {
			return 0, err
		}
		if x.Hole && i > 0 && list[i-1].Hole {
			return 0, errHoles
		}
		if sum += x.Len; sum < x.Len {
			return 0, errOverflow
		}
	}
	return sum, nil
}

func (x *Extent) check(level uint8) error {
	switch {
	case x.Len == 0:
	case x.Hole && (level > 0 || x.Len > math.MaxInt64 || !x.ID.IsZero()):
	case !x.Hole && level == 0 && x.Len > chunkMax:
	default:
		return nil
	}
	return errExtent
}

// appendContent appends c. FORMAT.md §8.4.
func appendContent(b []byte, c *Content) []byte {
	b = append(b, byte(c.Form))
	switch c.Form {
	case Inline:
		return append(b, c.Inline...)
	case Chunk:
		return append(b, c.Extents[0].ID[:]...)
	}
	b = wire.AppendUvarint(b, uint64(c.Level))
	return appendList(b, c.Extents, c.Level)
}

// appendList appends a list of items of a level.
func appendList(b []byte, list []Extent, level uint8) []byte {
	b = wire.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		x := &list[i]
		switch {
		case level > 0:
			b = wire.AppendUvarint(b, x.Len)
		case x.Hole:
			b = wire.AppendUvarint(b, x.Len<<1|1)
			continue
		default:
			b = wire.AppendUvarint(b, x.Len<<1)
		}
		b = append(b, x.ID[:]...)
	}
	return b
}

// decodeContent reads content of size bytes; its extents are appended to list,
// and Inline aliases the input.
func decodeContent(d *wire.Decoder, size uint64, list []Extent) Content {
	c := Content{Form: Form(d.U8())}
	switch c.Form {
	case Inline:
		if size > InlineMax {
			d.Fail(errForm)
		} else if size > 0 {
			c.Inline = d.Raw(int(size))
		}
		return c
	case Chunk:
		x := Extent{Len: size}
		d.Fill(x.ID[:])
		if size == 0 || size > chunkMax {
			d.Fail(errForm)
		}
		c.Extents = append(list, x)
		return c
	case Extents:
		c.Level = uint8(d.UvarintMax(listLevelMax))
		c.Extents = decodeList(d, c.Level, extentsMax, list)
	}
	if d.Err() == nil {
		if err := c.check(size); err != nil {
			d.Fail(err)
		}
	}
	return c
}

// decodeList appends the items of a list of a level, at most limit of them.
// The caller checks them.
func decodeList(d *wire.Decoder, level uint8, limit int, list []Extent) []Extent {
	n := d.Count(1)
	if n > limit {
		d.Fail(errTooMany)
		return list
	}
	list = slices.Grow(list, n)
	for range n {
		var x Extent
		x.Len = d.Uvarint()
		if level == 0 {
			x.Hole = x.Len&1 != 0
			x.Len >>= 1
		}
		if !x.Hole {
			d.Fill(x.ID[:])
		}
		list = append(list, x)
	}
	return list
}
