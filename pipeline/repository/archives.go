package repository

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/record"
)

// Errors of Find.
var (
	ErrNoArchive = errors.New("there is no such archive: cairn list shows those that there are")
	ErrAmbiguous = errors.New("several archives match")
)

// Archive is an archive of a repository.
type Archive struct{ record.Listed }

// Root returns the tree of an archive.
func (a *Archive) Root() archive.Root {
	return archive.Root{ID: a.Tree, Level: a.Level, Entries: a.Entries, Files: a.Files, Dirs: a.Dirs, Size: a.Size}
}

// SameSource reports whether two archives are runs of one source: the same
// host, series and roots.
func SameSource(a, b *record.Archive) bool {
	return a.Host == b.Host && a.Series == b.Series && slices.Equal(a.Roots, b.Roots)
}

// Archives returns all archives, checkpoints included, in the order in which
// they were committed.
func (r *Repository) Archives() []Archive {
	var list []Archive
	for a := range r.State().Archives.All() {
		list = append(list, Archive{a})
	}
	return list
}

// Find returns the archive that ref names: "latest" for the newest full one,
// a name, or the beginning of an id.
func (r *Repository) Find(ref string) (Archive, error) { return FindAmong(r.Archives(), ref) }

// FindAmong is Find for some of the archives only, which it neither keeps nor
// changes.
func FindAmong(all []Archive, ref string) (Archive, error) {
	if ref == "latest" {
		return latest(all)
	}
	var found []Archive
	for _, a := range all {
		if a.Name == ref {
			found = append(found, a)
		}
	}
	if len(found) == 0 && len(ref) >= 4 {
		for _, a := range all {
			if strings.HasPrefix(a.ID.String(), ref) {
				found = append(found, a)
			}
		}
	}
	switch len(found) {
	case 0:
		return Archive{}, fmt.Errorf("archive %q: %w", ref, ErrNoArchive)
	case 1:
		return found[0], nil
	}
	return Archive{}, fmt.Errorf("archive %q: %w: name one of them by its id: %s", ref, ErrAmbiguous, ids(found))
}

// latest returns the newest full archive, if all come from one source.
func latest(all []Archive) (Archive, error) {
	var found []Archive
	for _, a := range all {
		if a.Kind != record.Full {
			continue
		}
		same := func(b Archive) bool { return SameSource(&a.Archive, &b.Archive) }
		if i := slices.IndexFunc(found, same); i >= 0 {
			found = slices.Delete(found, i, i+1)
		}
		found = append(found, a)
	}
	switch len(found) {
	case 0:
		return Archive{}, fmt.Errorf("archive \"latest\": %w", ErrNoArchive)
	case 1:
		return found[0], nil
	}
	return Archive{}, fmt.Errorf("archive \"latest\": %w, the latest of each source: name one by its id: %s", ErrAmbiguous, ids(found))
}

func ids(archives []Archive) string {
	var list []string
	for _, a := range archives {
		list = append(list, a.ID.Short()+" ("+a.Name+")")
	}
	return strings.Join(list, ", ")
}
