package backend

import (
	"context"
	"fmt"
	"strings"
)

// MaxKey is the greatest length of a Key, in bytes.
const MaxKey = 200

// A Key names one object: segments joined by slashes, each made of the letters
// a to z, digits, '-', '.' and '_', none empty and none beginning with a dot,
// MaxKey bytes at most. The first segment is neither "head" nor "tmp": there
// the stores keep the register and unfinished uploads.
//
// The zero value is invalid.
type Key string

// Validate returns an ErrInvalid that says what is wrong with k, or nil.
func (k Key) Validate() error {
	if len(k) > MaxKey {
		return fmt.Errorf("%w: key of %d bytes, %d are allowed", ErrInvalid, len(k), MaxKey)
	}
	rest, more := string(k), true
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if !validSegment(segment) {
			return fmt.Errorf("%w: key %q", ErrInvalid, string(k))
		}
	}
	if first, _, _ := strings.Cut(string(k), "/"); first == headSegment || first == tmpSegment {
		return fmt.Errorf("%w: key %q: %s belongs to the store", ErrInvalid, string(k), first)
	}
	return nil
}

// Begin checks what every call on an object checks first.
func Begin(ctx context.Context, key Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return key.Validate()
}

func validSegment(s string) bool {
	if s == "" || s[0] == '.' {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// A Prefix selects the keys that begin with its bytes; it may end within a
// segment. The zero value selects every key.
type Prefix string

// Validate returns an ErrInvalid unless some valid key begins with p.
func (p Prefix) Validate() error {
	if Key(p).Validate() == nil || Key(p+"a").Validate() == nil {
		return nil
	}
	return fmt.Errorf("%w: prefix %q", ErrInvalid, string(p))
}
