package repository

import (
	"errors"
	"fmt"
	"path/filepath"

	"cairn/locking"
	"cairn/objects"
	"cairn/objects/record"

	"github.com/zeebo/blake3"
)

// runningDir holds a file for each source that was backed up from this machine,
// which a run that backs it up has a claim on.
const runningDir = "running"

// Claim makes this process the only one of this machine, among those with the
// same cache, that backs up the source of a, until release is called. It answers
// a *locking.RunningError if another one does. Where claims cannot be made
// everybody has one: two runs then wait for each other as those of two machines do.
func (r *Repository) Claim(a *record.Archive) (release func() error, err error) {
	sum := blake3.New()
	fmt.Fprintf(sum, "%q %q", a.Host, a.Series)
	for _, root := range a.Roots {
		fmt.Fprintf(sum, " %q %q", root.Source, root.Path)
	}
	name := objects.ID(sum.Sum(nil)).String()
	release, err = locking.Claim(filepath.Join(r.o.CacheDir, r.Config.Repository.String(), runningDir, name))
	if err != nil && !errors.Is(err, locking.ErrRunning) {
		return func() error { return nil }, nil
	}
	return release, err
}
