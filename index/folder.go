package index

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"cairn/objects"
)

const (
	lockFile     = "lock"
	manifestFile = "manifest"
	runPrefix    = "run-"
)

// loads is how often a process without the lock reads the manifest anew when
// the runs that it names have been replaced meanwhile.
const loads = 8

// folder is the directory of a cache.
type folder struct {
	dir        string
	repository objects.RepositoryID
	lock       *os.File // nil: somebody else may write; nothing here is changed
}

// openFolder makes the directory, if it can, and tries to lock it.
func openFolder(dir string, repo objects.RepositoryID) *folder {
	d := &folder{dir: dir, repository: repo}
	// Without a directory or a lock the index works all the same; it is only
	// not there the next time.
	if os.MkdirAll(dir, 0o700) != nil {
		return d
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return d
	}
	if tryLock(f) != nil {
		f.Close()
		return d
	}
	d.lock = f
	return d
}

func (d *folder) close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

// load maps the runs of the manifest. Unless it found them all Intact there
// are none, and the owner of the lock has removed what was there.
func (d *folder) load() (m manifest, runs []*run, found Found, err error) {
	m, runs, found, err = d.tryLoad()
	for n := 1; d.lock == nil && errors.Is(err, fs.ErrNotExist) && n < loads; n++ {
		// The owner of the lock has replaced a run since we read its name.
		m, runs, found, err = d.tryLoad()
	}
	if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
		return manifest{}, nil, found, err
	}
	d.clean(found, runs)
	return m, runs, found, nil
}

// tryLoad returns an error only if the manifest is Intact and a run cannot be
// opened; then found is Damaged.
func (d *folder) tryLoad() (manifest, []*run, Found, error) {
	m, found := d.readManifest()
	if found != Intact {
		return manifest{}, nil, found, nil
	}
	runs, err := d.openRuns(m)
	if err != nil {
		return manifest{}, nil, Damaged, err
	}
	return m, runs, Intact, nil
}

// clean removes everything that does not belong to what load found. A
// directory that cannot be cleaned is left alone from now on.
func (d *folder) clean(found Found, runs []*run) {
	var err error
	if found != Intact {
		err = d.forget()
	}
	if errors.Join(err, d.sweep(runs)) != nil {
		d.lock.Close()
		d.lock = nil
	}
}

func (d *folder) readManifest() (manifest, Found) {
	f, err := os.Open(filepath.Join(d.dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, Missing
	}
	if err != nil {
		return manifest{}, Damaged
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, manifestLimit+1))
	if err != nil || len(p) > manifestLimit {
		return manifest{}, Damaged
	}
	return decodeManifest(p, d.repository)
}

func (d *folder) openRuns(m manifest) (runs []*run, err error) {
	for _, name := range m.runs {
		r, err := d.openRun(name)
		if err != nil {
			for _, r := range runs {
				err = errors.Join(err, r.close())
			}
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func (d *folder) openRun(name runName) (*run, error) {
	path := d.path(name.salt)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if d.lock == nil {
		path = "" // not ours to remove
	}
	r, err := openRun(f, path, d.repository, name.salt)
	if err != nil {
		return nil, err
	}
	if r.check != name.check {
		return nil, errors.Join(ErrDamaged, r.close())
	}
	return r, nil
}

func (d *folder) path(salt uint64) string {
	return filepath.Join(d.dir, fmt.Sprintf("%s%016x", runPrefix, salt))
}

// create makes an empty file for a run. Where nothing is saved the file has no
// name, and path is "".
func (d *folder) create() (f *os.File, path string, salt uint64, err error) {
	salt = rand.Uint64()
	if d.lock == nil {
		f, err = d.unnamed()
		return f, "", salt, err
	}
	path = d.path(salt)
	const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	f, err = os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(d.dir, 0o700) == nil {
		// Somebody removed the directory, and the lock with it. Two writers
		// do no harm: a manifest names runs by salt and checksum, and one
		// whose runs are gone is damaged.
		f, err = os.OpenFile(path, flags, 0o600)
	}
	return f, path, salt, err
}

// unnamed prefers the cache's own directory to the one for temporary files,
// which is often in memory.
func (d *folder) unnamed() (*os.File, error) {
	f, err := os.CreateTemp(d.dir, runPrefix+"unnamed-*")
	if err != nil {
		f, err = os.CreateTemp("", "cairn-index-*")
	}
	if err != nil {
		return nil, err
	}
	// Its owner may be sweeping the directory at this moment.
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// save makes m the manifest.
func (d *folder) save(m manifest) error {
	if d.lock == nil {
		return nil
	}
	path := filepath.Join(d.dir, manifestFile)
	if err := os.WriteFile(path+"-new", m.encode(d.repository), 0o600); err != nil {
		return err
	}
	return os.Rename(path+"-new", path)
}

// forget removes the manifest: from now on the cache stands for nothing.
func (d *folder) forget() error {
	if d.lock == nil {
		return nil
	}
	if err := os.Remove(filepath.Join(d.dir, manifestFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweep removes the files that a crash left behind: everything that has the
// name of a run, or of a new manifest, and is not one of runs.
func (d *folder) sweep(runs []*run) error {
	if d.lock == nil {
		return nil
	}
	used := make(map[string]bool)
	for _, r := range runs {
		used[filepath.Base(r.path)] = true
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		leftover := strings.HasPrefix(name, runPrefix) || name == manifestFile+"-new"
		if !leftover || used[name] || e.IsDir() {
			continue
		}
		if e := os.Remove(filepath.Join(d.dir, name)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
