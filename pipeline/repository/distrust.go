package repository

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cairn/backend"
	"cairn/objects"
)

// PackError says that a pack is missing or damaged. It wraps what was found.
type PackError struct {
	Pack objects.ID
	Err  error
}

func (e *PackError) Error() string { return fmt.Sprintf("pack %s: %v", e.Pack, e.Err) }
func (e *PackError) Unwrap() error { return e.Err }

// packError marks err if it says that the pack is missing, cut short or
// damaged, and not merely out of reach.
func packError(id objects.ID, err error) error {
	var short *backend.ShortError
	if errors.Is(err, backend.ErrNotExist) || errors.As(err, &short) || objects.IsCorrupt(err) {
		return &PackError{Pack: id, Err: err}
	}
	return err
}

// Distrust makes sure that backups from this machine store again what packs
// hold that were found missing or damaged. It is remembered beside what was
// last seen of the repository, because headers that are still whole would
// vouch for them each time the cache is made anew.
func (r *Repository) Distrust(packs ...objects.ID) error {
	r.Index.Distrust(packs...)
	if len(packs) == 0 || r.o.StateDir == "" {
		return nil
	}
	f, err := os.OpenFile(r.distrustFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("remember damaged packs: %w", err)
	}
	var lines []byte
	for _, id := range packs {
		lines = fmt.Appendln(lines, id)
	}
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("remember damaged packs: %w", err)
	}
	return nil
}

func (r *Repository) distrustFile() string {
	return filepath.Join(r.o.StateDir, r.Config.Repository.String(), "distrusted-packs")
}

// recallDistrust tells the index what was found earlier. A line that names no
// pack is passed over: the file only ever makes a backup store more.
func (r *Repository) recallDistrust() error {
	f, err := os.Open(r.distrustFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recall damaged packs: %w", err)
	}
	defer f.Close()
	var packs []objects.ID
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if id, err := objects.ParseID(lines.Text()); err == nil {
			packs = append(packs, id)
		}
	}
	r.Index.Distrust(packs...)
	return lines.Err()
}
