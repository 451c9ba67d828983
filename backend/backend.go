// Package backend says what cairn asks of a place that keeps bytes: a flat
// store of immutable objects, beside it one small register that can change.
// The implementations live in the packages below it, each in its own room;
// backendtest holds them all to the contract written here.
package backend

import (
	"context"
	"iter"
	"time"
)

// A Backend keeps immutable objects under keys.
//
// All methods may be called concurrently, except that Close comes last. Every
// error names the key. A method that was given an invalid key, prefix or range
// does nothing and answers ErrInvalid; one whose context has ended answers the
// context's error.
//
// A store need not support one key that lies below another, such as a and a/b.
type Backend interface {
	// Put creates the object key from the concatenation of parts, which it
	// neither keeps nor changes. It returns nil only when the bytes and the
	// directory entry are durable. No reader ever sees a part of the object
	// under its key, whatever happens to the writer.
	//
	// An object that is there already stays as it is, and the answer is
	// ErrExist; it, too, is durable then. Of several concurrent Puts of one
	// key exactly one succeeds. A store without room answers ErrFull. After
	// any other error the object may or may not be there, whole.
	Put(ctx context.Context, key Key, parts ...[]byte) error

	// Get returns exactly the bytes r selects, or an error: never fewer. The
	// caller owns the result. A missing object is ErrNotExist, one that ends
	// before the range does is a *ShortError.
	Get(ctx context.Context, key Key, r Range) ([]byte, error)

	// Stat describes an object without reading it. A missing object is
	// ErrNotExist.
	Stat(ctx context.Context, key Key) (Info, error)

	// List yields every object whose key begins with prefix, in ascending
	// order of the keys' bytes. Objects that are put or deleted meanwhile may
	// or may not be among them; every other one is there exactly once. An
	// error is yielded at most once, and last; a loop that ends without one
	// has seen everything. The register's own files are never listed.
	List(ctx context.Context, prefix Prefix) iter.Seq2[Info, error]

	// Delete removes an object. A missing one is no error. A deletion need
	// not be durable: after a crash of the store's machine the object may be
	// back.
	Delete(ctx context.Context, key Key) error

	// Close releases what the Backend holds. No other call may be under way,
	// and none may follow.
	Close() error
}

// Info describes one object.
type Info struct {
	Key     Key
	Size    int64     // bytes
	ModTime time.Time // when it was put, by the store's own clock
}
