// Package bundle puts copies of many sealed pack headers into one object, so
// that an index is made with few requests (FORMAT.md §9.5).
package bundle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"cairn/objects"
	"cairn/objects/wire"
)

const (
	magic   = "cairnbdl"
	version = 1
	clear   = 10 // bytes of magic and version

	// MinHeader and MaxHeader bound what a pack begins with: preamble and
	// header, in bytes (FORMAT.md §7.2).
	MinHeader = 40 + 49
	MaxHeader = 40 + 16<<20

	// Room is how many bytes of headers a bundle holds at most.
	Room = 32 << 20

	folder = "bundles/"
)

// Entry is the header of one pack.
type Entry struct {
	Pack   objects.ID
	Header []byte // the pack's preamble and sealed header, verbatim
}

// Encode returns a bundle of the entries, whose order does not matter, and the
// ID that names it. No pack may be there twice, and their headers have room.
func Encode(entries []Entry) (id objects.ID, stored []byte, err error) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b Entry) int { return a.Pack.Compare(b.Pack) })
	stored = wire.AppendU16([]byte(magic), version)
	stored = wire.AppendUvarint(stored, uint64(len(entries)))
	for _, e := range entries {
		stored = append(stored, e.Pack[:]...)
		stored = wire.AppendBytes(stored, e.Header)
	}
	if _, err := decode(stored); err != nil {
		return objects.ID{}, nil, fmt.Errorf("encode bundle: %w", err)
	}
	return blake3.Sum256(stored), stored, nil
}

// Decode returns the entries of the bundle that id names, by rising pack. They
// share memory with stored. Nothing vouches for a header until it is compared
// with the hash in its pack's commit record.
func Decode(id objects.ID, stored []byte) ([]Entry, error) {
	object := "bundle " + id.Short()
	if objects.ID(blake3.Sum256(stored)) != id {
		return nil, objects.Corrupt(object, "it does not have the content that its name promises")
	}
	if v := versionOf(stored); v > version {
		return nil, fmt.Errorf("%s of version %d: %w", object, v, objects.ErrNewer)
	}
	entries, err := decode(stored)
	if err != nil {
		return nil, objects.Corrupt(object, "%v", err)
	}
	return entries, nil
}

// versionOf returns 0 of what is no bundle.
func versionOf(stored []byte) uint16 {
	if !bytes.HasPrefix(stored, []byte(magic)) {
		return 0
	}
	d := wire.NewDecoder(stored[len(magic):])
	return d.U16()
}

func decode(stored []byte) ([]Entry, error) {
	if v := versionOf(stored); v != version {
		return nil, fmt.Errorf("it is no bundle of version %d", version)
	}
	d := wire.NewDecoder(stored[clear:])
	n, room := d.Count(len(objects.ID{})+1+MinHeader), Room
	if n == 0 {
		d.Fail(wire.ErrShort)
	}
	entries := make([]Entry, 0, n)
	for i := range n {
		var e Entry
		d.Fill(e.Pack[:])
		e.Header = d.Bytes()
		room -= len(e.Header)
		switch {
		case d.Err() != nil:
			return nil, d.Err()
		case i > 0 && entries[i-1].Pack.Compare(e.Pack) >= 0:
			return nil, wire.ErrUnordered
		case len(e.Header) < MinHeader, len(e.Header) > MaxHeader, room < 0:
			return nil, fmt.Errorf("a header of %d bytes is out of range", len(e.Header))
		}
		entries = append(entries, e)
	}
	return entries, d.Finish()
}

// Prefix is what the keys of all bundles begin with.
func Prefix() string { return folder }

// Key is where the bundle named id is stored.
func Key(id objects.ID) string { return folder + id.String() }

// ParseKey returns the ID of the bundle that is stored at key.
func ParseKey(key string) (objects.ID, error) {
	name, ok := strings.CutPrefix(key, folder)
	if !ok {
		return objects.ID{}, fmt.Errorf("%s is no key of a bundle", key)
	}
	return objects.ParseID(name)
}
