package backend

import (
	"errors"
	"fmt"
)

// MaxValue is the greatest length of a register's value, in bytes. It is at
// least one byte long.
const MaxValue = 1 << 20

// A Tag stands for one value of the register. It is opaque, survives restarts,
// and can be compared. The empty tag stands for the cell that was never written.
//
// The register is one small cell beside the objects, the only thing in a store
// that changes. A store offers it as two methods, which may be called
// concurrently, by any number of processes and machines:
//
//	Load(ctx context.Context, ifChanged Tag) (value []byte, tag Tag, err error)
//
// Load returns the value and its tag; the caller owns the value. A cell that
// was never written is ErrNotExist. If the cell's tag still is ifChanged, which
// must not be empty for that, Load returns a nil value, ifChanged and no error;
// in every other success the value is not nil.
//
//	Swap(ctx context.Context, old Tag, value []byte) (Tag, error)
//
// Swap replaces the value that has the tag old, and returns the tag of the new
// one when it is durable. An empty old creates the cell. On ErrConflict the new
// value was certainly not applied, because the cell does not hold old. On
// ErrUnknown it may or may not be applied, now or shortly: load, and look for
// it. On any other error it was certainly not applied. Nobody repeats a Swap
// blindly, the store included: a repeated one conflicts with itself.
//
// No two values ever given to Swap may be equal: they hold a nonce. Stores rely
// on it to tell values apart.
type Tag string

// What Swap can answer besides the errors of the objects.
var (
	// ErrConflict: the swap was not applied; the register holds another value.
	ErrConflict = errors.New("register was changed by another writer")
	// ErrUnknown: the swap may or may not be applied.
	ErrUnknown = errors.New("outcome of the register's swap is unknown")
)

// ValidateValue returns an ErrInvalid if value cannot be the register's, else nil.
func ValidateValue(value []byte) error {
	if len(value) == 0 || len(value) > MaxValue {
		return fmt.Errorf("%w: register value of %d bytes", ErrInvalid, len(value))
	}
	return nil
}
