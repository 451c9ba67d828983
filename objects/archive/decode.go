package archive

import (
	"errors"
	"math"
	"strings"

	"cairn/objects/wire"
)

// Errors of entries that only a decoder meets: the encoder has no choice.
var (
	errSame  = errors.New("flags do not say what is the same as before")
	errValue = errors.New("value of an extended attribute is in no known form")
)

// leafReader reads the entries of one leaf after another. Set step and known
// before the first.
type leafReader struct {
	d     wire.Decoder
	left  int
	first bool // the next entry is the leaf's first
	sum   uint64

	step  step
	known bool // step is the entry just before the next one, and not only below it

	// Of the entry before in this leaf.
	mode  uint16
	owner Owner

	entry   Entry
	extents []Extent
	xattrs  []Xattr
	attrs   []Attr
	text    text
	names   names
}

// open begins with a leaf.
func (l *leafReader) open(plain []byte) (err error) {
	l.d, l.left, err = openNode(plain, 0, entryMin)
	l.first, l.sum = true, 0
	return err
}

// next reads the next entry. The caller makes sure that one is left. The result
// and its slices are valid until the next call.
func (l *leafReader) next() (*Entry, error) {
	l.left--
	e := &l.entry
	*e = Entry{}
	l.readPath(e)
	l.readFields(e)
	if err := l.d.Err(); err != nil {
		return nil, err
	}
	if l.sum += e.Size; l.sum < e.Size {
		return nil, errOverflow
	}
	l.first, l.known = false, true
	l.step = step{e.Path, e.Type == Dir}
	l.mode, l.owner = e.Mode, e.Owner
	return e, nil
}

// finish returns nil if nothing is left behind the last entry.
func (l *leafReader) finish() error { return l.d.Finish() }

// readPath reads the path and compares it with the one before.
func (l *leafReader) readPath(e *Entry) {
	limit := uint64(len(l.step.path))
	if l.first {
		limit = 0
	}
	shared := int(l.d.UvarintMax(limit))
	suffix := l.d.Bytes()
	if len(suffix) > pathMax-shared {
		l.d.Fail(ErrPath)
		return
	}
	e.Path = l.text.join(l.step.path[:shared], suffix)
	if err := l.checkPath(e.Path, shared); err != nil {
		l.d.Fail(err)
	}
}

func (l *leafReader) checkPath(path string, shared int) error {
	prev := l.step.path
	switch {
	case !l.first:
		if shared < len(prev) && shared < len(path) && path[shared] == prev[shared] {
			return errShared
		}
		return l.step.check(path, shared)
	case l.known:
		return l.step.check(path, commonPrefix(prev, path))
	case prev != "" && ComparePaths(prev, path) >= 0:
		return ErrOrder
	}
	return CheckPath(path)
}

// readFields reads what follows the path. FORMAT.md §8.2.
func (l *leafReader) readFields(e *Entry) {
	d := &l.d
	e.Type = Type(d.U8())
	f := flags(d.Uvarint())
	if f >= flagsEnd || l.first && f&(sameMode|sameOwner) != 0 {
		d.Fail(errFlags)
	}
	e.Racy, e.Partial, e.Changed = f&racy != 0, f&partial != 0, f&changed != 0
	l.readMode(e, f)
	l.readOwner(e, f)
	l.readTimes(e, f)
	if e.HasLink = f&hardLink != 0; e.HasLink {
		d.Fill(e.Link[:])
	}
	if f&hasXattrs != 0 {
		l.readXattrs(e)
	}
	if f&hasAttrs != 0 {
		l.readAttrs(e)
	}
	l.readBody(e)
}

func (l *leafReader) readMode(e *Entry, f flags) {
	if f&sameMode != 0 {
		e.Mode = l.mode
		return
	}
	e.Mode = uint16(l.d.UvarintMax(modeMax))
	if !l.first && e.Mode == l.mode {
		l.d.Fail(errSame)
	}
}

func (l *leafReader) readOwner(e *Entry, f flags) {
	if f&sameOwner != 0 {
		e.Owner = l.owner
		return
	}
	e.Owner.UID = uint32(l.d.UvarintMax(math.MaxUint32))
	e.Owner.GID = uint32(l.d.UvarintMax(math.MaxUint32))
	e.Owner.User = l.names.get(l.d.Bytes())
	e.Owner.Group = l.names.get(l.d.Bytes())
	if !l.first && e.Owner == l.owner {
		l.d.Fail(errSame)
	}
}

func (l *leafReader) readTimes(e *Entry, f flags) {
	e.ModTime = readTime(&l.d)
	if e.ChangeTime = e.ModTime; f&ctimeIsMtime == 0 {
		e.ChangeTime = readTime(&l.d)
		if e.ChangeTime == e.ModTime {
			l.d.Fail(errSame)
		}
	}
	e.Inode = l.d.Uvarint()
	if e.HasAccessTime = f&hasAtime != 0; e.HasAccessTime {
		e.AccessTime = readTime(&l.d)
	}
	if e.HasBirthTime = f&hasBtime != 0; e.HasBirthTime {
		e.BirthTime = readTime(&l.d)
	}
}

func readTime(d *wire.Decoder) Time {
	t := Time{Sec: d.Svarint(), Nsec: d.U32()}
	if t.Nsec > nanosecondMax {
		d.Fail(errTime)
	}
	return t
}

func (l *leafReader) readXattrs(e *Entry) {
	n := l.d.Count(3)
	if n == 0 {
		l.d.Fail(errFlags)
	}
	l.xattrs = l.xattrs[:0]
	for i := 0; i < n && l.d.Err() == nil; i++ {
		x := Xattr{Name: l.names.get(l.d.Bytes())}
		l.readValue(&x)
		if i > 0 && l.xattrs[i-1].Name >= x.Name {
			l.d.Fail(errXattr)
		}
		l.xattrs = append(l.xattrs, x)
	}
	e.Xattrs = l.xattrs
}

func (l *leafReader) readValue(x *Xattr) {
	switch l.d.U8() {
	case 0:
		x.Value = l.d.Bytes()
	case 1:
		size := l.d.Uvarint()
		c := decodeContent(&l.d, size, nil)
		x.Spilled = &c
	default:
		l.d.Fail(errValue)
	}
	if l.d.Err() == nil {
		if err := x.check(); err != nil {
			l.d.Fail(err)
		}
	}
}

func (l *leafReader) readAttrs(e *Entry) {
	n := l.d.Count(2)
	if n == 0 {
		l.d.Fail(errFlags)
	}
	l.attrs = l.attrs[:0]
	for i := 0; i < n && l.d.Err() == nil; i++ {
		a := Attr{Tag: l.d.Uvarint(), Value: l.d.Bytes()}
		if i > 0 && l.attrs[i-1].Tag >= a.Tag {
			l.d.Fail(errAttr)
		}
		l.attrs = append(l.attrs, a)
	}
	e.Attrs = l.attrs
}

// readBody reads what only some types have.
func (l *leafReader) readBody(e *Entry) {
	switch e.Type {
	case File:
		e.Size = l.d.Uvarint()
		e.Content = decodeContent(&l.d, e.Size, l.extents[:0])
		if cap(e.Content.Extents) > cap(l.extents) {
			l.extents = e.Content.Extents
		}
	case Symlink:
		e.Target = l.text.join("", l.d.Bytes())
	case CharDevice, BlockDevice:
		e.Major = uint32(l.d.UvarintMax(math.MaxUint32))
		e.Minor = uint32(l.d.UvarintMax(math.MaxUint32))
	case Dir, Fifo:
	default:
		l.d.Fail(errType)
	}
}

// text makes strings in blocks, so that most cost no allocation. A string keeps
// its whole block alive.
type text struct{ block strings.Builder }

const textBlock = 16 << 10

// join returns prefix ‖ suffix.
func (t *text) join(prefix string, suffix []byte) string {
	n := len(prefix) + len(suffix)
	if t.block.Cap()-t.block.Len() < n {
		t.block.Reset() // strings keep the old block
		t.block.Grow(max(n, textBlock))
	}
	begin := t.block.Len()
	t.block.WriteString(prefix)
	t.block.Write(suffix)
	return t.block.String()[begin:]
}

// names makes one string of equal ones: there are few owners, and few names of
// extended attributes.
type names struct{ known map[string]string }

const (
	namesMax = 1024 // names that are kept
	nameMax  = 256  // bytes in a name that is kept
)

func (t *names) get(p []byte) string {
	if s, ok := t.known[string(p)]; ok {
		return s
	}
	s := string(p)
	if len(s) > nameMax {
		return s
	}
	if t.known == nil || len(t.known) == namesMax {
		t.known = make(map[string]string)
	}
	t.known[s] = s
	return s
}
