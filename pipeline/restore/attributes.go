package restore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
)

const (
	setuid = 0o4000
	setgid = 0o2000
)

// attributes is what a file has besides its name and its content. It shares no
// memory with the entry it comes from.
type attributes struct {
	mode         uint16
	uid, gid     uint32 // on this host
	mtime, atime archive.Time
	xattrs       []archive.Xattr // none spilled
	tags         []uint64        // of attributes that this version cannot restore
	lost         bool            // an extended attribute is damaged in the archive, and counted
}

// attributesOf takes over what e says; spilled returns the bytes of a value
// that is stored in chunks.
func (r *run) attributesOf(e *archive.Entry, spilled func(*archive.Content) ([]byte, error)) attributes {
	a := attributes{mode: e.Mode, mtime: e.ModTime, atime: e.ModTime}
	a.uid, a.gid = r.owners.resolve(&e.Owner)
	if e.HasAccessTime {
		a.atime = e.AccessTime
	}
	for _, x := range e.Xattrs {
		value := bytes.Clone(x.Value)
		if x.Spilled != nil {
			var err error
			if value, err = spilled(x.Spilled); err != nil {
				r.warn(e.Path, fmt.Errorf("read extended attribute %s: %w", x.Name, err))
				if !a.lost && !errors.Is(err, errSpilled) {
					a.lost = true
					r.damaged(err)
				}
				continue
			}
		}
		a.xattrs = append(a.xattrs, archive.Xattr{Name: strings.Clone(x.Name), Value: value})
	}
	for _, x := range e.Attrs {
		a.tags = append(a.tags, x.Tag)
	}
	return a
}

// weight says how much memory a takes besides itself, bytes.
func (a *attributes) weight() int {
	n := 8 * len(a.tags)
	for i := range a.xattrs {
		n += 64 + len(a.xattrs[i].Name) + len(a.xattrs[i].Value)
	}
	return n
}

// subject is what attributes are given to: the file called name in dir.
type subject struct {
	dir  int
	name string
	fd   int  // of the file; −1 where the system has none for its type
	path bool // fd only names the file (Linux: O_PATH), or is −1
	is   archive.Type
}

// settle gives s its attributes. What cannot be had is a warning: the content
// is worth more than the attributes.
//
// The owner comes first, because changing it takes setuid bits and
// capabilities away. The mode comes after the extended attributes, because a
// file that may not be written takes none from anyone but root. The times come
// last, because everything else may change them.
func (r *run) settle(s subject, a *attributes, path func() string) {
	mode := a.mode &^ r.chown(s, a, path)
	for _, x := range a.xattrs {
		if err := s.setXattr(x.Name, x.Value); err != nil {
			r.warn(path(), fmt.Errorf("set extended attribute %s: %w", x.Name, err))
		}
	}
	for _, tag := range a.tags {
		r.warn(path(), fmt.Errorf("attribute %d is not restored: this version does not know it", tag))
	}
	if s.is != archive.Symlink { // which has none
		if err := retry(func() error { return s.chmod(uint32(mode)) }); err != nil {
			r.warn(path(), fmt.Errorf("set mode %04o: %w", mode, err))
		}
	}
	if err := s.setTimes(a.atime, a.mtime); err != nil {
		r.warn(path(), fmt.Errorf("set times: %w", err))
	}
}

// chown gives s its owner and returns the mode bits that must not be set: a
// program is setuid only for the owner it had.
func (r *run) chown(s subject, a *attributes, path func() string) (drop uint16) {
	if !r.owners.root {
		if a.uid != r.owners.uid {
			drop |= setuid
		}
		if a.gid != r.owners.gid {
			drop |= setgid
		}
		if drop != 0 {
			r.progress.OwnersSkipped.Add(1)
		}
	} else if err := retry(func() error { return s.chown(int(a.uid), int(a.gid)) }); err != nil {
		drop = setuid | setgid
		if errors.Is(err, unix.EPERM) {
			r.progress.OwnersSkipped.Add(1) // root, but not of this file system
		} else {
			r.warn(path(), fmt.Errorf("set owner %d:%d: %w", a.uid, a.gid, err))
		}
	}
	if s.is == archive.Dir {
		return 0 // there the bits give nobody any right
	}
	return drop
}

func (s subject) setTimes(atime, mtime archive.Time) error {
	var times [2]unix.Timespec
	for i, t := range [2]archive.Time{atime, mtime} {
		var err error
		if times[i], err = unix.TimeToTimespec(t.Time()); err != nil {
			return err // a year that this system does not have
		}
	}
	return retry(func() error { return s.utimes(times[:]) })
}

// utimesByName is how times are set where it cannot be done by descriptor.
func (s subject) utimesByName(times []unix.Timespec) error {
	return unix.UtimesNanoAt(s.dir, s.name, times, unix.AT_SYMLINK_NOFOLLOW)
}
