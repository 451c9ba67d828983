package walk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Rules decide what of one directory is left out, with all that is below it.
// Roots, and what is above them, are not asked about. Methods are called by
// several goroutines at once.
type Rules interface {
	// Exclude reports whether to leave out an entry because of its name. kind is
	// zero for what could not be stat'ed.
	Exclude(path, source string, kind Type) bool

	// Omit reports whether to leave out an entry because of what it is.
	Omit(source string, stat *Stat) bool

	// Enter returns the rules for what is in d, a directory that these rules
	// have let pass, or a root. d must not be kept.
	Enter(d *Listing) Rules
}

// Listing is a directory that was just listed.
type Listing struct {
	Source string // where it is, absolute

	fd    int
	names *names
}

// Has reports whether the directory has an entry of that name.
func (l *Listing) Has(name string) bool {
	var head [8]byte
	copy(head[:], name)
	want := binary.BigEndian.Uint64(head[:])
	_, found := slices.BinarySearchFunc(l.names.entries, want, func(e nameEntry, want uint64) int {
		if e.head != want {
			return cmp.Compare(e.head, want)
		}
		return bytes.Compare(l.names.name(&e), []byte(name))
	})
	return found
}

var errTooLong = errors.New("is too long")

// Read returns the content of a regular file of the directory, which is too
// long if it has more than limit bytes. Links are not followed.
func (l *Listing) Read(name string, limit int) ([]byte, error) {
	content, err := l.ReadHead(name, limit+1)
	if err == nil && len(content) > limit {
		return nil, &fs.PathError{Op: "read", Path: l.Source + "/" + name, Err: errTooLong}
	}
	return content, err
}

// ReadHead is Read for the first n bytes, or for as many as there are.
func (l *Listing) ReadHead(name string, n int) ([]byte, error) {
	fd, _, err := openFile(l.fd, name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: l.Source + "/" + name, Err: err}
	}
	f := os.NewFile(uintptr(fd), l.Source+"/"+name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(n)))
}

// omit takes out of b what the rules, or the boundaries of the file system,
// leave out now that its Stat is known.
func (r *reader) omit(b *block) {
	n := b.node
	if n.rules == nil && !r.options.OneFileSystem {
		return
	}
	b.items = slices.DeleteFunc(b.items, func(item Item) bool {
		switch {
		case item.Err != nil || item.Stat.Type == Directory: // those are looked at when they are open
			return false
		case r.options.OneFileSystem && item.Stat.ID.Dev != n.device:
			return true
		}
		return n.rules != nil && n.rules.Omit(item.Source, &item.Stat)
	})
}

// errOmitted is the Err of a directory that is left out after all.
var errOmitted = errors.New("left out by the rules")

// admit says, of a directory that was opened, whether it is in the walk, and
// whether what it contains is.
func (r *reader) admit(n *node) (in, below bool) {
	if !n.isRoot() && n.rules != nil && n.rules.Omit(n.dir.source, &n.stat) {
		return false, false
	}
	foreign := r.options.OneFileSystem && !n.isRoot() && n.stat.ID.Dev != n.device
	n.device = n.stat.ID.Dev
	return true, !foreign
}

func (n *node) isRoot() bool { return n.dir.parent == n.dir.owner.base }
