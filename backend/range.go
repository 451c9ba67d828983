package backend

import "fmt"

// A Range selects bytes of an object: Len bytes from Off on or, where Len is
// zero, everything from Off to the end. The zero value is the whole object.
// There is no range of no bytes, except the one from an object's end to its end.
type Range struct {
	Off, Len int64 // bytes, neither of them negative
}

// Resolve returns the offset and length that r selects of an object of size
// bytes. A range that reaches past the end is a *ShortError, a negative one is
// ErrInvalid.
func (r Range) Resolve(key Key, size int64) (off, n int64, err error) {
	if err := r.Validate(); err != nil {
		return 0, 0, err
	}
	if r.Off > size || r.Len > size-r.Off {
		return 0, 0, &ShortError{Key: key, Range: r, Size: size}
	}
	if r.Len == 0 {
		return r.Off, size - r.Off, nil
	}
	return r.Off, r.Len, nil
}

// Validate returns an ErrInvalid if r is negative or ends past the greatest
// int64, else nil.
func (r Range) Validate() error {
	if r.Off < 0 || r.Len < 0 || r.Off+r.Len < 0 {
		return fmt.Errorf("%w: range %s", ErrInvalid, r)
	}
	return nil
}

// String describes r for people.
func (r Range) String() string {
	switch {
	case r == Range{}:
		return "whole object"
	case r.Len == 0:
		return fmt.Sprintf("from byte %d", r.Off)
	}
	return fmt.Sprintf("%d bytes from byte %d", r.Len, r.Off)
}
