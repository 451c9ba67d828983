// Package archive writes and reads the search tree of an archive: its entries
// in the order of their paths, cut into nodes that are metadata chunks
// (FORMAT.md §8).
//
// Equal runs of entries make equal nodes, so an unchanged part of a tree costs
// nothing to store again, and two subtrees with one ID are the same.
//
// A [Writer] takes the entries in order and hands out the nodes. A
// [ContentWriter] does the same for the list of extents of one large file. A
// [Reader] streams the entries, looks one up, or lists a directory. All of them
// need little memory however large the archive is, and none of them does I/O:
// they put and get chunks through functions of the caller.
//
// Where a node ends is the writer's decision and only a matter of efficiency. A
// reader checks everything else that FORMAT.md says about a node.
package archive

import "cairn/objects"

// Put stores a metadata chunk and returns its ID. The plaintext is the callee's
// only until Put returns.
type Put func(plain []byte) (objects.ID, error)

// Get returns the plaintext of a metadata chunk, which it has compared with the
// ID. Nobody may change the result afterwards: entries refer to it.
type Get func(id objects.ID) ([]byte, error)

// Limits of FORMAT.md §6.1 and §8.
const (
	InlineMax = 128  // content up to here, in bytes, is inline
	XattrMax  = 4096 // values of extended attributes up to here, in bytes, are inline

	chunkMax      = 16 << 20 // bytes in a chunk
	pathMax       = 65535    // bytes in a path
	entryMax      = 8 << 20  // bytes in an entry's encoding: it always fits in a chunk
	leafMax       = 256 << 10
	itemsMax      = 1024 // items in an inner node, and in a chunk of extents
	extentsMax    = 64   // items in an entry's own list of extents
	levelMax      = 16
	listLevelMax  = 8
	modeMax       = 0o7777
	nanosecondMax = 999_999_999
)

// Root names the tree of an archive, as its descriptor does (FORMAT.md §9.4).
type Root struct {
	ID      objects.ID
	Level   uint8
	Entries uint64 // all entries
	Files   uint64 // entries of type File
	Dirs    uint64 // entries of type Dir
	Size    uint64 // sum of the sizes of the files, bytes
}
