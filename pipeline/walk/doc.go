// Package walk visits the roots of a backup in archive order and says what
// lies there.
//
// Order is the archive's (objects/FORMAT.md §8.1): by path, bytewise, with '/'
// below every other byte, which is a depth-first visit that takes the names of
// every directory in bytewise order. Names are bytes and never interpreted.
//
// Directories ahead of the consumer are listed and stat'ed by a fixed number of
// goroutines. The consumer never waits for work that nobody has begun: it does
// it itself, so a full look-ahead cannot stop the walk.
//
// Memory: Options.LookAhead bytes of entries that were not delivered yet, and
// as many of names that were listed ahead; one block (at most 512 entries, or
// 64 KiB of paths and one entry) and one directory's names more for every
// worker; and the names of the directories that the walk is inside of.
//
// Everything below a root is reached through descriptors of directories, never
// through long paths and never through a symbolic link, so that neither a path
// longer than the kernel takes nor a directory swapped for a link leads the
// walk astray. At most Options.OpenDirs descriptors are kept; a directory whose
// descriptor was closed is opened again from its nearest open ancestor and must
// be the same directory as before.
package walk
