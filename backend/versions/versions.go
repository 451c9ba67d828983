// Package versions makes a register of files that are never changed, for stores
// that can create a file exclusively and offer nothing better.
//
// Value n is the file v<n>, and the highest number is current. A swap creates
// the version after the one it loaded; that only one can create a file is all
// the exclusion there is.
//
// A version that was collected leaves its name free again. A writer who slept
// that long can take it, and must not believe that it has swapped: hence the
// look back in settle.
package versions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cairn/backend"
)

// Dir is the directory, or the first segment of keys, that stores keep the
// files of the register in.
const Dir = "head"

const (
	// kept is how many of the newest versions collect spares: enough that a
	// swap's look back does not come too late in a crowd.
	kept = 16
	// loadTries is how often a load starts anew because the version it found
	// was collected before it was read.
	loadTries = 10
	// maxVersion is the greatest number that fits the file's name.
	maxVersion version = 999_999_999_999
)

// Files is what a register needs of the store that keeps it: small files in a
// directory of their own, which nobody changes. All methods may be called
// concurrently, and from any number of processes and machines. An error of the
// store is one of package backend, as far as there is one for it.
type Files interface {
	// Names returns the names of all files, in no order. A directory that is not
	// there holds none, provided that the store itself is there.
	Names(ctx context.Context) ([]string, error)

	// Read returns a file's bytes, or the first limit of them. The caller owns
	// them. A missing file is ErrNotExist.
	Read(ctx context.Context, name string, limit int64) ([]byte, error)

	// Create makes a file that holds value, or answers ErrExist if there is one
	// of that name. No reader ever sees a part of it. It returns nil when the
	// file and its name are durable. On ErrUnknown the file may be there, now or
	// shortly; after any other error it is certainly not, and never will be.
	Create(ctx context.Context, name string, value []byte) error

	// Remove removes a file. A missing one is no error.
	Remove(ctx context.Context, name string) error

	// Flush returns when the removals before it are durable.
	Flush(ctx context.Context) error
}

// Register is a register, as package backend describes it, that keeps the last
// versions of its value.
type Register struct{ files Files }

// New returns the Register that is kept in files.
func New(files Files) *Register { return &Register{files: files} }

// Load returns the register's value; see package backend.
func (r *Register) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	value, st, err := r.load(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("load register: %w", err)
	}
	if tag := st.tag(); tag != ifChanged {
		return value, tag, nil
	}
	return nil, ifChanged, nil
}

func (r *Register) load(ctx context.Context) ([]byte, state, error) {
	for range loadTries {
		if err := ctx.Err(); err != nil {
			return nil, state{}, err
		}
		versions, err := r.versions(ctx)
		if err != nil {
			return nil, state{}, err
		}
		if len(versions) == 0 {
			return nil, state{}, backend.ErrNotExist
		}
		latest := versions[len(versions)-1]
		value, err := r.read(ctx, latest)
		if errors.Is(err, backend.ErrNotExist) {
			continue // collected since it was listed: there are newer ones
		}
		if err != nil {
			return nil, state{}, err
		}
		// Whoever stood still between the two may have read what a late writer
		// made anew under the name of a collected version.
		if versions, err = r.versions(ctx); err != nil {
			return nil, state{}, err
		}
		if outlived(versions, latest) {
			continue
		}
		return value, stateOf(latest, value), nil
	}
	return nil, state{}, fmt.Errorf("%w: it changes faster than it can be read", backend.ErrUnavailable)
}

// outlived reports whether v may have been collected when versions were listed:
// until then its file is the one that was first made under that name.
func outlived(versions []version, v version) bool {
	return len(versions) == 0 || versions[len(versions)-1] >= v+kept
}

// versions returns the numbers of all versions in ascending order.
func (r *Register) versions(ctx context.Context) ([]version, error) {
	names, err := r.files.Names(ctx)
	if err != nil {
		return nil, err
	}
	var found []version
	for _, name := range names {
		if v, ok := parseVersion(name); ok {
			found = append(found, v)
		}
	}
	slices.Sort(found)
	return found, nil
}

func (r *Register) read(ctx context.Context, v version) ([]byte, error) {
	value, err := r.files.Read(ctx, v.file(), backend.MaxValue+1)
	switch {
	case err != nil:
		return nil, err
	case len(value) == 0:
		short := &backend.ShortError{Key: backend.Key(Dir + "/" + v.file()), Range: backend.Range{Len: 1}}
		return nil, fmt.Errorf("%s is damaged: %w", short.Key, short)
	case len(value) > backend.MaxValue:
		return nil, fmt.Errorf("%s/%s has more than %d bytes: it is damaged", Dir, v.file(), backend.MaxValue)
	}
	return value, nil
}

// Swap replaces the register's value; see package backend.
func (r *Register) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	base, err := parseTag(old)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = backend.ValidateValue(value)
	}
	if err == nil {
		err = r.swap(ctx, base, value)
	}
	if err != nil {
		return "", fmt.Errorf("swap register: %w", err)
	}
	return stateOf(base.version+1, value).tag(), nil
}

func (r *Register) swap(ctx context.Context, base state, value []byte) error {
	next := base.version + 1
	if next > maxVersion {
		return fmt.Errorf("%w: no version is left", backend.ErrFull)
	}
	err := r.files.Create(ctx, next.file(), value)
	if errors.Is(err, backend.ErrExist) {
		return backend.ErrConflict
	}
	if err != nil {
		return err
	}
	// Others can see the value: nothing is certain any more until the look back
	// has found base.
	versions, err := r.settle(ctx, base)
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnknown, err)
	}
	r.collect(ctx, versions, next)
	return nil
}

// settle returns the versions there are, and nil if the one just created after
// base is surely the next in the chain. It is, if base is still there: versions
// are collected in ascending order, so the created one cannot have been there
// before. A file of base's name with other bytes is no proof, for another late
// writer may have made it; nor is one with the same bytes, once the chain is so
// far ahead that base may have been collected: then whoever loaded it may have
// loaded a late writer's. The first version has no base; its proof is that it is
// alone.
func (r *Register) settle(ctx context.Context, base state) ([]version, error) {
	if base.version == 0 {
		versions, err := r.versions(ctx)
		if err == nil && !slices.Equal(versions, []version{1}) {
			err = errors.New("the first version is not alone")
		}
		return versions, err
	}
	value, err := r.read(ctx, base.version)
	switch {
	case errors.Is(err, backend.ErrNotExist): // of the register, that would be
		return nil, errors.New("the replaced version is gone")
	case err != nil:
		return nil, err
	case stateOf(base.version, value) != base:
		return nil, errors.New("the replaced version holds other bytes now")
	}
	versions, err := r.versions(ctx)
	if err == nil && outlived(versions, base.version) {
		err = errors.New("the chain has moved on too far")
	}
	return versions, err
}

// collect removes those of the versions that latest has left far behind. It stops
// at the first it cannot remove: the order matters, and the next swap tries again.
func (r *Register) collect(ctx context.Context, versions []version, latest version) {
	for i, v := range versions {
		if v+kept > latest {
			return
		}
		// The order must survive a crash, too.
		if i > 0 && r.files.Flush(ctx) != nil {
			return
		}
		if r.files.Remove(ctx, v.file()) != nil {
			return
		}
	}
}

// A version numbers the register's values, from 1.
type version uint64

func (v version) file() string { return fmt.Sprintf("v%012d", uint64(v)) }

// parseVersion reads the name of a version's file.
func parseVersion(name string) (version, bool) {
	digits, ok := strings.CutPrefix(name, "v")
	n, err := strconv.ParseUint(digits, 10, 64)
	v := version(n)
	return v, ok && err == nil && v > 0 && v.file() == name
}

// A state is what a tag stands for: a version and its exact bytes. The zero
// state is the cell that was never written.
type state struct {
	version version
	sum     [sha256.Size]byte
}

func stateOf(v version, value []byte) state { return state{v, sha256.Sum256(value)} }

func (s state) tag() backend.Tag {
	return backend.Tag(fmt.Sprintf("%d-%x", uint64(s.version), s.sum))
}

// parseTag reads a tag of this package, the empty one included.
func parseTag(tag backend.Tag) (state, error) {
	if tag == "" {
		return state{}, nil
	}
	number, digits, _ := strings.Cut(string(tag), "-")
	n, numberErr := strconv.ParseUint(number, 10, 64)
	sum, sumErr := hex.DecodeString(digits)
	s := state{version: version(n)}
	copy(s.sum[:], sum)
	if numberErr != nil || sumErr != nil || s.version == 0 || s.version > maxVersion || s.tag() != tag {
		return state{}, fmt.Errorf("%w: tag %q", backend.ErrInvalid, string(tag))
	}
	return s, nil
}
