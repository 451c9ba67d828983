package backup

import (
	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// setStat makes e describe what st says. Of the times that need not be kept it
// has those that e has.
func setStat(e *archive.Entry, st *walk.Stat) {
	e.Type = archive.Type(st.Type)
	e.Mode = st.Mode
	e.ModTime = archive.Time(st.ModTime)
	e.ChangeTime = archive.Time(st.ChangeTime)
	e.Inode = st.ID.Inode
	if e.HasAccessTime {
		e.AccessTime = archive.Time(st.AccessTime)
	}
	if e.HasBirthTime {
		e.BirthTime = archive.Time(st.BirthTime)
	}
	switch st.Type {
	case walk.File:
		e.Size = uint64(st.Size)
	case walk.Char, walk.Block:
		e.Major, e.Minor = st.Major, st.Minor
	}
}

// sameContent reports whether nothing was written to a file between two looks
// at it.
func sameContent(a, b *walk.Stat) bool {
	return a.Size == b.Size && a.ModTime == b.ModTime && a.ChangeTime == b.ChangeTime
}

// sparse reports whether the file may have holes.
func sparse(st *walk.Stat) bool { return st.Blocks*512 < st.Size }
