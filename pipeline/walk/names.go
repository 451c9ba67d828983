package walk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// names is what a directory contains. Reused, it allocates nothing.
type names struct {
	text    []byte // the names, one after the other
	entries []nameEntry
}

type nameEntry struct {
	head  uint64 // the first eight bytes, so that most comparisons need no more
	at    int    // in text
	len   int32
	kind  Type   // zero: the directory does not say
	inode uint64 // zero: the directory does not say
}

func (n *names) reset() {
	n.text, n.entries = n.text[:0], n.entries[:0]
}

func (n *names) add(name []byte, kind Type, inode uint64) {
	if string(name) == "." || string(name) == ".." {
		return
	}
	var head [8]byte
	copy(head[:], name)
	n.entries = append(n.entries, nameEntry{
		head:  binary.BigEndian.Uint64(head[:]),
		at:    len(n.text),
		len:   int32(len(name)),
		kind:  kind,
		inode: inode,
	})
	n.text = append(n.text, name...)
}

func (n *names) name(e *nameEntry) []byte { return n.text[e.at : e.at+int(e.len)] }

// sort puts the names in bytewise order. A name that the system gave twice,
// as it may when entries are renamed meanwhile, is kept once.
func (n *names) sort() {
	slices.SortFunc(n.entries, func(a, b nameEntry) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return bytes.Compare(n.name(&a), n.name(&b))
	})
	n.entries = slices.CompactFunc(n.entries, func(a, b nameEntry) bool {
		return a.head == b.head && bytes.Equal(n.name(&a), n.name(&b))
	})
}

// size returns about how many bytes the names take.
func (n *names) size() int { return len(n.text) + 40*len(n.entries) }

// clone returns a copy that later use of n does not touch.
func (n *names) clone() *names {
	return &names{text: slices.Clone(n.text), entries: slices.Clone(n.entries)}
}
