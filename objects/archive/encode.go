package archive

import "cairn/objects/wire"

// flags of an entry: FORMAT.md §8.3.
type flags uint64

const (
	sameMode flags = 1 << iota
	sameOwner
	ctimeIsMtime
	hasAtime
	hasBtime
	hardLink
	hasXattrs
	hasAttrs
	racy
	partial
	changed

	flagsEnd
)

// leaf is one that is being written.
type leaf struct {
	node
	mode  uint16 // of the entry before
	owner Owner
}

// add appends e, whose path shares n bytes with the entry before it. It returns
// the length of e's encoding.
func (l *leaf) add(e *Entry, n int) int {
	f := e.flags()
	if l.count == 0 {
		n = 0
	} else {
		if e.Mode == l.mode {
			f |= sameMode
		}
		if e.Owner == l.owner {
			f |= sameOwner
		}
	}
	begin := len(l.buf)
	b := wire.AppendUvarint(l.buf, uint64(n))
	b = wire.AppendBytes(b, e.Path[n:])
	l.buf = e.append(b, f)
	return len(l.buf) - begin
}

// added notes that e, the last one appended, stays.
func (l *leaf) added(e *Entry) {
	l.node.added(e.Path, 1, e.Size)
	l.mode, l.owner = e.Mode, e.Owner
}

// flags returns those that do not depend on the entry before.
func (e *Entry) flags() flags {
	var f flags
	if e.ChangeTime == e.ModTime {
		f |= ctimeIsMtime
	}
	if e.HasAccessTime {
		f |= hasAtime
	}
	if e.HasBirthTime {
		f |= hasBtime
	}
	if e.HasLink {
		f |= hardLink
	}
	if len(e.Xattrs) > 0 {
		f |= hasXattrs
	}
	if len(e.Attrs) > 0 {
		f |= hasAttrs
	}
	if e.Racy {
		f |= racy
	}
	if e.Partial {
		f |= partial
	}
	if e.Changed {
		f |= changed
	}
	return f
}

// append appends what follows the path. FORMAT.md §8.2.
func (e *Entry) append(b []byte, f flags) []byte {
	b = append(b, byte(e.Type))
	b = wire.AppendUvarint(b, uint64(f))
	if f&sameMode == 0 {
		b = wire.AppendUvarint(b, uint64(e.Mode))
	}
	if f&sameOwner == 0 {
		b = wire.AppendUvarint(b, uint64(e.Owner.UID))
		b = wire.AppendUvarint(b, uint64(e.Owner.GID))
		b = wire.AppendBytes(b, e.Owner.User)
		b = wire.AppendBytes(b, e.Owner.Group)
	}
	b = appendTime(b, e.ModTime)
	if f&ctimeIsMtime == 0 {
		b = appendTime(b, e.ChangeTime)
	}
	b = wire.AppendUvarint(b, e.Inode)
	if f&hasAtime != 0 {
		b = appendTime(b, e.AccessTime)
	}
	if f&hasBtime != 0 {
		b = appendTime(b, e.BirthTime)
	}
	if f&hardLink != 0 {
		b = append(b, e.Link[:]...)
	}
	if f&(hasXattrs|hasAttrs) != 0 {
		b = e.appendAttrs(b)
	}
	return e.appendBody(b)
}

func appendTime(b []byte, t Time) []byte {
	return wire.AppendU32(wire.AppendSvarint(b, t.Sec), t.Nsec)
}

// appendAttrs appends the two lists of attributes, where they are not empty.
func (e *Entry) appendAttrs(b []byte) []byte {
	if len(e.Xattrs) > 0 {
		b = wire.AppendUvarint(b, uint64(len(e.Xattrs)))
	}
	for i := range e.Xattrs {
		x := &e.Xattrs[i]
		b = wire.AppendBytes(b, x.Name)
		if x.Spilled == nil {
			b = wire.AppendBytes(append(b, 0), x.Value)
			continue
		}
		b = wire.AppendUvarint(append(b, 1), x.Spilled.Size())
		b = appendContent(b, x.Spilled)
	}
	if len(e.Attrs) > 0 {
		b = wire.AppendUvarint(b, uint64(len(e.Attrs)))
	}
	for i := range e.Attrs {
		b = wire.AppendUvarint(b, e.Attrs[i].Tag)
		b = wire.AppendBytes(b, e.Attrs[i].Value)
	}
	return b
}

// appendBody appends what only some types have.
func (e *Entry) appendBody(b []byte) []byte {
	switch e.Type {
	case File:
		b = wire.AppendUvarint(b, e.Size)
		return appendContent(b, &e.Content)
	case Symlink:
		return wire.AppendBytes(b, e.Target)
	case CharDevice, BlockDevice:
		b = wire.AppendUvarint(b, uint64(e.Major))
		return wire.AppendUvarint(b, uint64(e.Minor))
	}
	return b
}
