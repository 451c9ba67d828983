package record

import (
	"iter"
	"slices"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

// Archives is a list of archives, in the order in which they were committed. It
// is for reading; several may read at once. It holds them as they are written
// down, since there may be many, and most runs look at few: what a method
// returns was read from that, and is the caller's.
type Archives struct {
	list [][]byte // ID and encoding of each; never changed in place
}

// Listed is an archive of a State.
type Listed struct {
	ID objects.ID
	Archive
}

// Len returns how many archives there are.
func (l *Archives) Len() int { return len(l.list) }

// At returns the archive with that index.
func (l *Archives) At(i int) Listed {
	a := Listed{ID: objects.ID(l.list[i])}
	decodeArchive(wire.NewDecoder(l.list[i][idSize:]), &a.Archive)
	return a
}

// All returns the archives, the oldest first.
func (l *Archives) All() iter.Seq[Listed] {
	return func(yield func(Listed) bool) {
		for i := range l.list {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// Backward returns the archives, the newest first.
func (l *Archives) Backward() iter.Seq[Listed] {
	return func(yield func(Listed) bool) {
		for i := range slices.Backward(l.list) {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// Checkpoints returns those archives that are checkpoints, the oldest first.
func (l *Archives) Checkpoints() iter.Seq[Listed] {
	return func(yield func(Listed) bool) {
		for i, a := range l.list {
			// The kind comes first: most need not be read for that.
			if ArchiveKind(a[idSize]) == Checkpoint && !yield(l.At(i)) {
				return
			}
		}
	}
}

// Has reports whether the archive id is in l.
func (l *Archives) Has(id objects.ID) bool {
	return slices.ContainsFunc(l.list, func(a []byte) bool { return objects.ID(a) == id })
}

// Named reports whether an archive of that name is in l.
func (l *Archives) Named(name string) bool {
	return slices.ContainsFunc(l.list, func(a []byte) bool {
		d := wire.NewDecoder(a[idSize+1:]) // the name follows the kind
		return string(d.Bytes()) == name
	})
}

// add adds those archives that l does not have.
func (l *Archives) add(h *crypt.Hasher, archives []Archive) {
	listed := l.Has
	if len(archives) > 1 { // one by one, all of a snapshot would be a search each
		ids := l.ids()
		listed = func(id objects.ID) bool {
			_, is := ids[id]
			ids[id] = struct{}{}
			return is
		}
	}
	for i := range archives {
		a := appendArchive(make([]byte, idSize, 2*idSize), &archives[i])
		id := archiveID(h, a[idSize:])
		copy(a, id[:])
		if !listed(id) {
			l.list = append(l.list, a)
		}
	}
}

func (l *Archives) ids() map[objects.ID]struct{} {
	ids := make(map[objects.ID]struct{}, len(l.list))
	for _, a := range l.list {
		ids[objects.ID(a)] = struct{}{}
	}
	return ids
}

// remove removes the archives that have one of those IDs.
func (l *Archives) remove(ids []objects.ID) {
	if len(ids) == 0 {
		return
	}
	gone := make(map[objects.ID]struct{}, len(ids))
	for _, id := range ids {
		gone[id] = struct{}{}
	}
	l.list = slices.DeleteFunc(slices.Clone(l.list), func(a []byte) bool {
		_, is := gone[objects.ID(a)]
		return is
	})
}
