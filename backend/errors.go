package backend

import (
	"errors"
	"fmt"
	"time"
)

// What a store can answer. Stores wrap these, so test with errors.Is. None of
// them matches an error of the file system: a disk that is not mounted must
// never look like an empty repository.
var (
	// ErrNotExist: the store was reached, and the object is not there.
	ErrNotExist = errors.New("object does not exist")
	// ErrExist: the object was there before the call.
	ErrExist = errors.New("object exists already")
	// ErrFull: the store has no room, or a quota is used up.
	ErrFull = errors.New("store is full")
	// ErrUnavailable: the store cannot be reached, or its root is missing.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrNowhere is the ErrUnavailable of a store whose name stands for no address.
	// That is a mistake, unless the store was there a moment ago.
	ErrNowhere = fmt.Errorf("%w: no address is known", ErrUnavailable)
	// ErrUnusable: whoever was reached cannot serve before a person changes
	// something: the place in it is missing or is not the store's, the address
	// is somebody else's, or a request asks for what it does not have.
	ErrUnusable = errors.New("store cannot be used")
	// ErrDenied: the store was reached and refuses access.
	ErrDenied = errors.New("access denied")
	// ErrInvalid: a key, prefix, range or value breaks the contract. It is the
	// caller's mistake.
	ErrInvalid = errors.New("invalid request")
)

// ShortError reports an object that ends before the range asked of it does: it
// was cut off after it was written, or the caller has its length wrong.
type ShortError struct {
	Key   Key
	Range Range
	Size  int64 // the object's length, bytes
}

// Error implements error.
func (e *ShortError) Error() string {
	return fmt.Sprintf("object has only %d bytes: wanted %s", e.Size, e.Range)
}

// A LaterError is the answer of a store that has too much to do: the call may
// succeed when it is repeated later, and not sooner.
type LaterError struct {
	After time.Duration // that passes until then
	Err   error
}

// Error implements error.
func (e *LaterError) Error() string { return e.Err.Error() }

// Unwrap returns what the store said.
func (e *LaterError) Unwrap() error { return e.Err }

// Permanent reports whether the call that answered err would answer the same if
// it were repeated at once; all else may pass by itself. An ended context is
// for the caller to look at: a store's own time-outs are not permanent.
func Permanent(err error) bool {
	for _, permanent := range []error{
		ErrNotExist, ErrExist, ErrFull, ErrUnusable, ErrDenied, ErrInvalid, ErrConflict, ErrUnknown,
	} {
		if errors.Is(err, permanent) {
			return true
		}
	}
	var short *ShortError
	return errors.As(err, &short)
}
