package locking

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cairn/objects"
)

// A Mark names one state of a repository: a generation, and the commit record
// that made it. The zero Mark is the repository before its first commit.
type Mark struct {
	Generation uint64
	Commit     objects.ID
}

// String returns the generation and the beginning of the commit's id.
func (m Mark) String() string {
	return fmt.Sprintf("generation %d (%s)", m.Generation, m.Commit.Short())
}

// A Witness remembers, outside the repository, the newest state that was seen
// of it (PROTOCOL.md §7). It is a file that several processes may use at once.
type Witness struct {
	dir string
}

// NewWitness returns the witness that lives in dir, which belongs to one
// repository and is made when there is something to remember.
func NewWitness(dir string) *Witness { return &Witness{dir: dir} }

const (
	witnessFile   = "witness"
	witnessLock   = "witness.lock"
	witnessFormat = "cairn witness 1\ngeneration %d\ncommit %s\n"
)

// Mark returns what was last seen, the zero Mark if nothing ever was. Read it
// before the state it is to be compared with: a concurrent process may raise it.
func (w *Witness) Mark() (Mark, error) {
	path := filepath.Join(w.dir, witnessFile)
	p, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("read witness: %w", err)
	}
	mark, err := parseMark(p)
	if err != nil {
		return Mark{}, fmt.Errorf("read witness %s: %w; remove the file to forget what was seen of this repository", path, err)
	}
	return mark, nil
}

func parseMark(p []byte) (Mark, error) {
	var m Mark
	var commit string
	if _, err := fmt.Sscanf(string(p), witnessFormat, &m.Generation, &commit); err != nil {
		return Mark{}, err
	}
	id, err := objects.ParseID(commit)
	if err != nil {
		return Mark{}, err
	}
	m.Commit = id
	if formatMark(m) != string(p) {
		return Mark{}, errors.New("not in the form that cairn writes")
	}
	return m, nil
}

func formatMark(m Mark) string { return fmt.Sprintf(witnessFormat, m.Generation, m.Commit) }

// Raise remembers m if it is newer than what is remembered. It answers a
// *ForkedError if another commit was seen at the same generation.
func (w *Witness) Raise(m Mark) error {
	return w.locked(func() error {
		seen, err := w.Mark()
		switch {
		case err != nil:
			return err
		case m.Generation < seen.Generation || m == seen:
			return nil
		case m.Generation == seen.Generation:
			return &ForkedError{Witnessed: seen, Found: m}
		}
		return w.write(m)
	})
}

// Accept remembers m, whatever was seen before: the user says so.
func (w *Witness) Accept(m Mark) error {
	return w.locked(func() error { return w.write(m) })
}

// locked runs f while no other process changes the file.
func (w *Witness) locked(f func() error) error {
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return fmt.Errorf("make witness's directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(w.dir, witnessLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open witness's lock: %w", err)
	}
	defer lock.Close() // gives the lock up; nothing was written to it
	if err := flock(lock); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

// write replaces the file. The caller holds the lock.
func (w *Witness) write(m Mark) error {
	path := filepath.Join(w.dir, witnessFile)
	if err := writeSynced(path+".tmp", formatMark(m)); err != nil {
		return fmt.Errorf("write witness: %w", err)
	}
	// The new file is whole on disk here: a crash leaves it or the old one.
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("replace witness: %w", err)
	}
	if err := syncDir(w.dir); err != nil {
		return fmt.Errorf("sync witness's directory: %w", err)
	}
	return nil
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
