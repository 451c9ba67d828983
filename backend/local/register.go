package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/backend"
)

// The register is a chain of versions: value n is the file head/v<n>, and the
// highest number is current. A swap creates the version after the one it
// loaded; that only one can create a file is all the exclusion there is.
//
// A version that was collected leaves its name free again. A writer who slept
// that long can take it, and must not believe that it has swapped: hence the
// look back in settle.

const (
	// keptVersions is how many of the newest versions collect spares: enough
	// that a swap's look back does not come too late in a crowd.
	keptVersions = 16
	// loadTries is how often a load starts anew because the version it found
	// was collected before it was read.
	loadTries = 10
	// maxVersion is the greatest number that fits the file's name.
	maxVersion version = 999_999_999_999
)

// A version numbers the register's values, from 1.
type version uint64

func (v version) file() string { return fmt.Sprintf("%s/v%012d", headDir, uint64(v)) }

// parseVersion reads the name of a version's file.
func parseVersion(name string) (version, bool) {
	digits, ok := strings.CutPrefix(name, "v")
	n, err := strconv.ParseUint(digits, 10, 64)
	v := version(n)
	return v, ok && err == nil && v > 0 && v.file() == headDir+"/"+name
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

// Load returns the register's value; see package backend.
func (s *Store) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	value, st, err := s.load(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("load register: %w", err)
	}
	if tag := st.tag(); tag != ifChanged {
		return value, tag, nil
	}
	return nil, ifChanged, nil
}

func (s *Store) load(ctx context.Context) ([]byte, state, error) {
	for range loadTries {
		if err := ctx.Err(); err != nil {
			return nil, state{}, err
		}
		versions, err := s.versions()
		if err != nil {
			return nil, state{}, err
		}
		if len(versions) == 0 {
			return nil, state{}, s.explain(unix.ENOENT, backend.ErrNotExist)
		}
		latest := versions[len(versions)-1]
		value, err := s.readVersion(ctx, latest)
		if errors.Is(err, unix.ENOENT) {
			continue // collected since it was listed: there are newer ones
		}
		if err != nil {
			return nil, state{}, s.explain(err, backend.ErrUnavailable)
		}
		return value, stateOf(latest, value), nil
	}
	return nil, state{}, fmt.Errorf("%w: it changes faster than it can be read", backend.ErrUnavailable)
}

// versions returns the numbers of all versions in ascending order. A directory
// that is not there has none.
func (s *Store) versions() ([]version, error) {
	names, err := s.readDir(headDir)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, s.explain(err, backend.ErrUnavailable)
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

func (s *Store) readVersion(ctx context.Context, v version) ([]byte, error) {
	st, err := s.stat(v.file())
	if err != nil {
		return nil, err
	}
	if st.Size == 0 {
		short := &backend.ShortError{Key: backend.Key(v.file()), Range: backend.Range{Len: 1}}
		return nil, fmt.Errorf("%s is damaged: %w", v.file(), short)
	}
	if st.Size > backend.MaxValue {
		return nil, fmt.Errorf("%s has %d bytes: it is damaged", v.file(), st.Size)
	}
	return s.read(ctx, v.file(), backend.Range{Len: st.Size})
}

// Swap replaces the register's value; see package backend.
func (s *Store) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	base, err := parseTag(old)
	for _, check := range []func() error{
		ctx.Err, s.writable, func() error { return backend.ValidateValue(value) },
	} {
		if err == nil {
			err = check()
		}
	}
	if err == nil {
		err = s.swap(ctx, base, value)
	}
	if err != nil {
		return "", fmt.Errorf("swap register: %w", err)
	}
	return stateOf(base.version+1, value).tag(), nil
}

func (s *Store) swap(ctx context.Context, base state, value []byte) error {
	next := base.version + 1
	if next > maxVersion {
		return fmt.Errorf("%w: no version is left", backend.ErrFull)
	}
	if _, err := s.stat(next.file()); err == nil {
		return backend.ErrConflict // before anything was written
	}
	t, err := s.writeTemp(ctx, [][]byte{value})
	if err != nil {
		return s.explain(err, backend.ErrUnavailable)
	}
	defer t.discard()
	if err := t.publish(next.file()); err != nil {
		return s.refused(err)
	}
	// From here on others can see the value: nothing is certain any more until
	// it is durable and the look back has found base.
	if err := s.dirs.flush(headDir); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnknown, s.explain(err, backend.ErrUnavailable))
	}
	if err := s.settle(ctx, base); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnknown, s.explain(err, backend.ErrUnavailable))
	}
	s.collect(next)
	return nil
}

// refused explains why publish failed, and whether it surely did.
func (s *Store) refused(err error) error {
	explained := s.explain(err, backend.ErrUnavailable)
	switch {
	case errors.Is(err, unix.EEXIST):
		return backend.ErrConflict
	case errors.Is(explained, backend.ErrFull), errors.Is(explained, backend.ErrDenied):
		return explained
	}
	return fmt.Errorf("%w: %w", backend.ErrUnknown, explained)
}

// settle returns nil if the version just created after base is surely the next
// in the chain. It is, if base is still there: versions are collected in
// ascending order, so the created one cannot have been there before. A file of
// base's name with other bytes is no proof: another late writer may have made
// it. The first version has no base; its proof is that it is alone.
func (s *Store) settle(ctx context.Context, base state) error {
	if base.version == 0 {
		versions, err := s.versions()
		if err == nil && !slices.Equal(versions, []version{1}) {
			err = errors.New("the first version is not alone")
		}
		return err
	}
	value, err := s.readVersion(ctx, base.version)
	if err == nil && stateOf(base.version, value) != base {
		err = errors.New("the replaced version holds other bytes now")
	}
	return err
}

// collect removes the versions that latest has left far behind. It stops at the
// first it cannot remove: the order matters, and the next swap tries again.
func (s *Store) collect(latest version) {
	versions, err := s.versions()
	if err != nil {
		return
	}
	for i, v := range versions {
		if v+keptVersions > latest {
			return
		}
		// The order must survive a crash, too.
		if i > 0 && s.dirs.flush(headDir) != nil {
			return
		}
		if s.unlink(v.file()) != nil {
			return
		}
	}
}
