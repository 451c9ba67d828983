// Package objects names what a repository stores: the bytes of every object
// are specified in FORMAT.md beside this file, and made and read by the
// packages below this one. None of them does I/O.
package objects

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// ID names a chunk (keyed BLAKE3 of its plaintext, FORMAT.md §6.1) or a stored
// object (BLAKE3 of its bytes, §2). The zero ID names nothing.
type ID [32]byte

// String returns the ID as 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short returns the first eight digits, enough for people to tell IDs apart.
func (id ID) Short() string { return hex.EncodeToString(id[:4]) }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders IDs bytewise.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// ParseID reads exactly what String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("id %q: want %d hexadecimal digits", s, 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("id %q: %w", s, err)
	}
	if id.String() != s {
		return ID{}, fmt.Errorf("id %q: digits must be lower case", s)
	}
	return id, nil
}

// Kind says what a chunk holds; chunks of different kinds have different ID
// keys and never share a pack.
type Kind uint8

const (
	Data Kind = 1 // a piece of a file
	Meta Kind = 2 // a node of an archive's tree, or a list of extents
)

// String returns "data" or "meta".
func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case Meta:
		return "meta"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool { return k == Data || k == Meta }

// RepositoryID names one repository, at random.
type RepositoryID [16]byte

// String returns the ID as 32 hexadecimal digits.
func (id RepositoryID) String() string { return hex.EncodeToString(id[:]) }

// FamilyID names the repositories that share chunk IDs (FORMAT.md §3.2).
type FamilyID [16]byte

// ErrNewer says that an object is well formed as far as this version can tell
// and needs a newer version of cairn.
var ErrNewer = errors.New("written by a newer version of cairn; update cairn and try again")

// CorruptError says that stored bytes are not what was once written: damage
// or tampering, never absence, never an unreachable store.
type CorruptError struct {
	Object string // what was being read, for people: "pack 9f2c…"
	Reason string
}

func (e *CorruptError) Error() string { return e.Object + " is damaged: " + e.Reason }

// Corrupt returns a *CorruptError.
func Corrupt(object, reason string, args ...any) error {
	return &CorruptError{Object: object, Reason: fmt.Sprintf(reason, args...)}
}

// IsCorrupt reports whether err says that stored bytes are damaged.
func IsCorrupt(err error) bool {
	var c *CorruptError
	return errors.As(err, &c)
}

// Twice returns body‖body, the stored form of small objects that everything
// hangs on (FORMAT.md §1.6).
func Twice(body []byte) []byte {
	return append(append(make([]byte, 0, 2*len(body)), body...), body...)
}

// Once returns the first half of stored for which ok holds, and whether both
// do: a reader that got a body with damaged set can say so. The result
// aliases stored; it is nil when neither half is good.
func Once(stored []byte, ok func(half []byte) bool) (body []byte, damaged bool) {
	n := len(stored) / 2
	first, second := stored[:n], stored[n:]
	switch {
	case ok(first):
		return first, !bytes.Equal(first, second)
	case ok(second):
		return second, true
	}
	return nil, true
}
