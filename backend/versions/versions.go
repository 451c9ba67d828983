// Package versions makes a register of files that are never changed, for stores
// that can create a file exclusively and offer nothing better.
//
// Value n is the file v<n>, and the highest number is current. A swap creates
// the version after the one it loaded; that only one can create a file is all
// the exclusion there is.
//
// A version that was collected leaves its name free again. A writer who slept
// that long can take it, and must not believe that it has swapped: hence the
// look back in settle. Versions are collected in ascending order, which is what
// every look back goes by: where a version still is, with the bytes that it was
// loaded with, no later one has ever been collected, and each of those is the
// only one that its name ever had.
package versions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"cairn/backend"
)

// Dir is the directory, or the first segment of keys, that stores keep the
// files of the register in.
const Dir = "head"

const (
	// kept is how many of the newest versions collect spares: enough that a
	// swap's look back does not come too late in a crowd.
	kept = 16
	// ahead is how many versions after the one it knows a load looks for: so
	// many can be there before a listing is needed to know which is current.
	ahead = kept - 1
	// loadTries is how often a load starts anew because the version it found
	// was collected before it was read.
	loadTries = 10
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

	// Ahead returns how many of names are there before the first that is not.
	// It may look for all of them at the same time.
	Ahead(ctx context.Context, names []string) (int, error)

	// Create makes a file that holds value, or answers ErrExist if there is one
	// of that name. No reader ever sees a part of it. When it returns nil the
	// file is durable, and Flush makes its name so. On ErrUnknown the file may be
	// there, now or shortly; after any other error it is certainly not, and never
	// will be.
	Create(ctx context.Context, name string, value []byte) error

	// Remove removes a file. A missing one is no error.
	Remove(ctx context.Context, name string) error

	// Flush returns when what was created and removed before it is durable.
	Flush(ctx context.Context) error

	// Later calls do with Files of the same register, at some time before the
	// store is closed: nobody waits for what it does. After an error it does not.
	Later(ctx context.Context, do func(ctx context.Context, files Files)) error
}

// Register is a register, as package backend describes it, that keeps the last
// versions of its value.
type Register struct {
	files   Files
	again   bool        // a creation may take effect twice
	tidying atomic.Bool // old versions are being collected

	mu sync.Mutex
	// known is the newest version that was loaded or swapped here. It was the
	// register's value, which is what settle and follow rely on; the zero state:
	// none. Guarded by mu.
	known state
}

// New returns the Register that is kept in files.
func New(files Files) *Register { return &Register{files: files} }

// NewRepeating is New for files whose creation may take effect a second time, at
// any time after it was answered: what carries requests over a network may repeat
// them. A version that was collected may be there again then, with the very bytes
// that it had, and vouches for nothing. So each load and look back lists them all.
func NewRepeating(files Files) *Register { return &Register{files: files, again: true} }

// anchor returns the version that vouches for others by being there; the zero
// state: none does.
func (r *Register) anchor() state {
	if r.again {
		return state{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
}

func (r *Register) remember(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = s
}

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

func (r *Register) load(ctx context.Context) (value []byte, st state, err error) {
	if err := ctx.Err(); err != nil {
		return nil, state{}, err
	}
	err = errAdrift
	if anchor := r.anchor(); anchor != (state{}) {
		value, st, err = r.follow(ctx, anchor)
	}
	if errors.Is(err, errAdrift) {
		value, st, err = r.search(ctx)
	}
	if err != nil {
		return nil, state{}, err
	}
	r.remember(st)
	return value, st, nil
}

// errAdrift is of a load that the version it knows does not help.
var errAdrift = errors.New("the version last known has been collected")

// follow finds the current version by one that is known, without a listing. It
// looks for that one last: since it is still there, those after it have been
// there all the time, or are not there yet.
func (r *Register) follow(ctx context.Context, anchor state) ([]byte, state, error) {
	var names []string
	for v := anchor.version + 1; v <= anchor.version+ahead; v++ {
		names = append(names, v.file())
	}
	n, err := r.files.Ahead(ctx, names)
	if err != nil {
		return nil, state{}, err
	}
	if n == len(names) {
		return nil, state{}, errAdrift
	}
	latest := anchor.version + version(n)
	var value []byte
	if n > 0 {
		value, err = r.read(ctx, latest)
		if errors.Is(err, backend.ErrNotExist) {
			err = errAdrift
		}
		if err != nil {
			return nil, state{}, err
		}
	}
	base, err := r.read(ctx, anchor.version)
	switch {
	case ctx.Err() != nil:
		return nil, state{}, ctx.Err()
	case err != nil, stateOf(anchor.version, base) != anchor:
		return nil, state{}, errAdrift
	case n == 0:
		value = base
	}
	return value, stateOf(latest, value), nil
}

// search finds the current version by listing them all.
func (r *Register) search(ctx context.Context) ([]byte, state, error) {
	for range loadTries {
		if err := ctx.Err(); err != nil {
			return nil, state{}, err
		}
		versions, err := list(ctx, r.files)
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
		if versions, err = list(ctx, r.files); err != nil {
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

// list returns the numbers of all versions in ascending order.
func list(ctx context.Context, files Files) ([]version, error) {
	names, err := files.Names(ctx)
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
	vouched := r.anchor() == base // or both are zero, and it does not matter
	err := r.files.Create(ctx, next.file(), value)
	if errors.Is(err, backend.ErrExist) {
		return backend.ErrConflict
	}
	if err != nil {
		return err
	}
	// Others can see the value: nothing is certain any more until the look back
	// has found base. The name becomes durable meanwhile.
	var flushed error
	var group sync.WaitGroup
	group.Go(func() { flushed = r.files.Flush(ctx) })
	err = r.settle(ctx, base, vouched)
	group.Wait()
	if err = errors.Join(err, flushed); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnknown, err)
	}
	r.remember(stateOf(next, value))
	r.collect(ctx, next)
	return nil
}

// settle returns nil if the version just created after base is surely the next
// in the chain. It is, if base is still there: versions are collected in
// ascending order, so the created one cannot have been there before. A file of
// base's name with other bytes is no proof, for another late writer may have made
// it. Nor is one with the same bytes, unless this Register vouches that they were
// the register's value: whoever else loaded them may have loaded a late writer's,
// if the chain is so far ahead that base may have been collected. The first
// version has no base; its proof is that it is alone.
func (r *Register) settle(ctx context.Context, base state, vouched bool) error {
	if base.version == 0 {
		versions, err := list(ctx, r.files)
		if err == nil && !slices.Equal(versions, []version{1}) {
			err = errors.New("the first version is not alone")
		}
		return err
	}
	value, err := r.read(ctx, base.version)
	switch {
	case errors.Is(err, backend.ErrNotExist): // of the register, that would be
		return errors.New("the replaced version is gone")
	case err != nil:
		return err
	case stateOf(base.version, value) != base:
		return errors.New("the replaced version holds other bytes now")
	case vouched:
		return nil
	}
	versions, err := list(ctx, r.files)
	if err == nil && outlived(versions, base.version) {
		err = errors.New("the chain has moved on too far")
	}
	return err
}

// collect removes the versions that latest has left far behind, at some time. It
// stops at the first it cannot remove: the order matters, and a later swap tries
// again.
func (r *Register) collect(ctx context.Context, latest version) {
	if !r.tidying.CompareAndSwap(false, true) {
		return
	}
	err := r.files.Later(ctx, func(ctx context.Context, files Files) {
		defer r.tidying.Store(false)
		versions, err := list(ctx, files)
		for i, v := range versions {
			if err != nil || v+kept > latest {
				return
			}
			// The order must survive a crash, too.
			if i > 0 && files.Flush(ctx) != nil {
				return
			}
			err = files.Remove(ctx, v.file())
		}
	})
	if err != nil {
		r.tidying.Store(false)
	}
}

// Remove removes every version, as if there had never been one. It is for a
// Register that nobody uses any more, or ever will.
func (r *Register) Remove(ctx context.Context) error {
	versions, err := list(ctx, r.files)
	for _, v := range versions {
		if err == nil {
			err = r.files.Remove(ctx, v.file())
		}
	}
	if err != nil {
		return fmt.Errorf("remove register: %w", err)
	}
	return nil
}
