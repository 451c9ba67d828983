// Package index knows where chunks are: a local, disposable cache that maps a
// chunk's ID to its place in a pack.
//
// The truth is in the headers of the packs; a caller reads them and feeds them
// in with Add. Nothing is lost when the cache is deleted or damaged: it is
// built anew. What it must never do is give a wrong answer, above all "known"
// for a chunk that no pack holds, because then the chunk would not be stored.
// So every page of it carries a checksum that is verified before the page is
// first used.
//
// # On disk
//
// A directory belongs to one repository:
//
//	lock              flock(2) of the one process that may write
//	manifest          what the cache stands for and its runs, checksummed
//	run-<16 digits>   immutable sorted tables (layout.go), mapped into memory
//
// A change is new runs first, then a new manifest renamed over the old one, so
// that a crash of the process leaves the old or the new cache, and files that
// no manifest names, which the next Open removes. Nothing is fsynced: after a
// power loss the manifest or a run may be old, short or torn, and size and
// checksums tell. Then the cache counts as damaged and is emptied.
//
// # Two processes
//
// The process that holds the lock writes. Another one that opens the same
// directory meanwhile reads the runs of the last manifest (they stay mapped
// when the first process removes the files), keeps what it adds in files that
// have no name, and saves nothing.
package index
