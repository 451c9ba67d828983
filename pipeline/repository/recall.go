package repository

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
	"cairn/objects/wire"

	"github.com/zeebo/blake3"
)

// What a machine keeps of a repository in its cache directory, beside the
// index, so that opening one that has not changed is one request:
//
//	places/<hash of the location>   its config and the slot that opened it, as stored
//	<repository id>/state           what its commit records add up to, sealed
//
// They may be missing, old or rotten: then the store is asked.
const (
	placesDir = "places"
	stateFile = "state"

	placeMagic = "cairnplc"
	placeLimit = 1 << 20 // bytes
	stateLimit = 1 << 30 // bytes

	// trustEntrance is for how long the store is not asked for the config again.
	// A repository that has lost it goes on working for machines that know it, and
	// for no other: that must not stay unnoticed.
	trustEntrance = 24 * time.Hour
)

// entrance is what one needs to get into a repository, verbatim.
type entrance struct {
	config []byte // nil: not known
	slot   []byte // body of the slot that opened it; nil: not known, or a key file did
}

// placeFile is named after the location, of which it tells nothing.
func (o *Options) placeFile() string {
	if o.Location == "" {
		return ""
	}
	return filepath.Join(o.CacheDir, placesDir, objects.ID(blake3.Sum256([]byte(o.Location))).String())
}

// recallEntrance returns what is known of the location, if that is not too old.
func recallEntrance(o *Options) entrance {
	info, err := os.Stat(o.placeFile())
	if err != nil || time.Since(info.ModTime()).Abs() > trustEntrance {
		return entrance{}
	}
	p, err := readLimited(o.placeFile(), placeLimit)
	n := len(p) - len(objects.ID{})
	if err != nil || n < 0 || objects.ID(blake3.Sum256(p[:n])) != objects.ID(p[n:]) {
		return entrance{} // none, or a rotten one, which is not the store's fault
	}
	d := wire.NewDecoder(p[:n])
	if string(d.Raw(len(placeMagic))) != placeMagic {
		return entrance{}
	}
	e := entrance{config: d.Bytes(), slot: d.Bytes()}
	if d.Finish() != nil {
		return entrance{}
	}
	if len(e.slot) == 0 {
		e.slot = nil
	}
	return e
}

// keepEntrance remembers e, unless the store's config is half damaged, which is
// to be noticed until it is mended. That e cannot be kept costs requests and
// nothing else.
func (r *Repository) keepEntrance(e entrance) {
	path := r.o.placeFile()
	_, half, err := record.PeekConfig(e.config)
	if path == "" || half || err != nil {
		return
	}
	p := wire.AppendBytes([]byte(placeMagic), e.config)
	p = wire.AppendBytes(p, e.slot)
	sum := blake3.Sum256(p)
	_ = replaceFile(path, append(p, sum[:]...))
}

// outdated reports whether err may come from an entrance that is not the
// location's any more: another repository lies there, or none, or its keys
// were changed.
func outdated(err error) bool {
	return errors.Is(err, locking.ErrNoHead) || errors.Is(err, ErrNoKey) || errors.Is(err, crypt.ErrWrongPassphrase) ||
		errors.Is(err, crypt.ErrNoEpoch) || objects.IsCorrupt(err)
}

func (r *Repository) stateFile() string {
	return filepath.Join(r.o.CacheDir, r.Config.Repository.String(), stateFile)
}

// recallState returns what the repository held when this machine saw it last,
// nil if that is not known.
func (r *Repository) recallState() *record.State {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	r.kept = objects.ID{}
	p, err := readLimited(r.stateFile(), stateLimit)
	if err != nil {
		return nil
	}
	s, err := record.OpenState(r.Keys, p)
	if err != nil {
		return nil
	}
	r.kept = s.Commit
	return s
}

// keepState remembers s, unless it is remembered. The next run reads those
// records again that add up to what could not be kept.
func (r *Repository) keepState(s *record.State) {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	if s.Commit == r.kept {
		return
	}
	sealed, err := record.SealState(r.Keys, s, rand.Reader)
	if err == nil && replaceFile(r.stateFile(), sealed) == nil {
		r.kept = s.Commit
	}
}

// readLimited returns the file at path, if it is no longer than limit.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	p := make([]byte, info.Size())
	_, err = io.ReadFull(f, p)
	return p, err
}

// replaceFile makes p the content of the file at path. Others may be reading it:
// they see the old file or the new one. When two replace it at once, or the
// power fails, anything may be in it.
func replaceFile(path string, p []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", p, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
