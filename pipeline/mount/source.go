// Package mount shows archives as directories of the operating system.
//
// An archive never changes, so the kernel may keep whatever it was told. Nothing
// is kept here for what it knows: the number of a node is that of its archive and
// the rank of its entry there (archive.Reader.At), the place in a directory is
// the rank of a child. Memory does not grow with the files that were looked at:
// 32 MiB of file content, 24 MiB of metadata, a few readers and their frames;
// and, once a hard link was looked at, up to 1 Mi sets of its archive.
package mount

import (
	"context"
	"errors"
	"time"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/objects/record"
	"cairn/pipeline/content"
)

// Archive is one that is shown.
type Archive struct {
	ID objects.ID
	record.Archive
	Root archive.Root
}

// Source is where archives come from. Chunks and Meta are called concurrently,
// and what Meta returns only by one goroutine each.
type Source struct {
	Chunks content.Chunks
	Keys   *crypt.Keys
	Meta   func(ctx context.Context) archive.Get // returns a new reader of metadata chunks

	// Archives returns those that there are now, in the order in which they were
	// made. It is called one at a time.
	Archives func(ctx context.Context) ([]Archive, error)
}

// Options say what is shown, and to whom.
type Options struct {
	Only       *Archive // nil: all archives, as host/series/time
	AllowOther bool     // other users may look, as far as modes and owners let them
	Now        func() time.Time
	Warn       func(error) // what could not be shown; called concurrently
}

// Errors of mounting and unmounting.
var (
	// ErrBusy says that a directory cannot be unmounted because somebody uses it.
	ErrBusy = errors.New("somebody uses it")
	// ErrNotMounted says that there is nothing to unmount.
	ErrNotMounted = errors.New("nothing is mounted there")
	// ErrNoHelper says that fusermount3, which mounts for those who are not root, is
	// not installed.
	ErrNoHelper = errors.New("fusermount3 is not installed")
	// ErrNoOthers says that this system lets nobody but root let others in.
	ErrNoOthers = errors.New("other users may not be let in")
	// ErrRefused says that fusermount3 did not mount, and has said why on standard
	// error.
	ErrRefused = errors.New("fusermount3 refused")
)
