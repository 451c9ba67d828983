package backup

import (
	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// Status says what became of one entry.
type Status byte

const (
	Added     Status = 'A' // the archive before does not have it
	Modified  Status = 'M' // it is not as the archive before has it
	Unchanged Status = 'U' // taken over from the archive before
	Changing  Status = 'C' // changed while it was being read; stored as it was read
	Failed    Status = 'E' // could not be read, or not all that belongs to it; see the warning
)

// statusOf compares what the walk found with the archive before.
func statusOf(old *archive.Entry, unchanged bool) Status {
	switch {
	case unchanged:
		return Unchanged
	case old == nil:
		return Added
	}
	return Modified
}

// final returns the status of a slot that is ready.
func (s *slot) final() Status {
	switch {
	case s.failed:
		return Failed
	case s.entry.Changed:
		return Changing
	}
	return s.status
}

// lost makes the slot of an item that there is nothing to store of, for those
// who want a list.
func (r *run) lost(item *walk.Item) *slot {
	return &slot{path: item.Source, failed: true}
}

// list tells what became of a slot.
func (r *run) list(s *slot) {
	if r.o.List != nil {
		r.o.List(s.final(), s.why, s.path)
	}
}

// settle makes the entry of s what the archive before has, if it says the same
// of the file: then it is the same bytes, and so is an archive of such entries.
// Where times tell nothing, as of what is above the roots, they need not be the
// same.
func (s *slot) settle() {
	if s.old == nil {
		return
	}
	is, was := *s.entry, *s.old
	is.Racy, was.Racy = false, false
	if s.timeless {
		for _, e := range []*archive.Entry{&is, &was} {
			e.ModTime, e.ChangeTime, e.AccessTime = archive.Time{}, archive.Time{}, archive.Time{}
		}
	}
	if is.Equal(&was) {
		*s.entry = *s.old
	}
}
