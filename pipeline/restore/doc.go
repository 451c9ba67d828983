// Package restore writes what an archive holds below a target directory.
//
// # Order
//
// One goroutine goes through the archive, makes the directories and plans the
// files in windows of at most 16 Ki files and 64 Ki chunks. The chunks of a
// window are sorted by where they lie, near ones are fetched with one read, and
// every frame is opened once, whatever wants its chunks. Workers do that, each
// a read at a time: fetch, open, compare the ID of every chunk used, write.
// While they do, the next window is planned.
//
// A file has a temporary name (TempPrefix) in its directory until its last byte
// is verified and written; then come owner, mode, ACLs, extended attributes,
// times, flags, and its name, which replaces what had it; last come the flags
// that keep it from changing. An ordinary user's extended attributes come before
// the mode, which may forbid them. A directory gets its attributes
// when everything in it is over, unless it was there and is only the parent of
// what was chosen: then it keeps its own. Nothing is flushed file by file: one sync of
// each file system written to comes at the end.
//
// # What is in the way
//
// Options.Overwrite says which files, symbolic links, devices and fifos of the
// target are replaced, also by a directory, unless that is only the parent of
// what was chosen: then what is below it fails. A directory stays: what the
// archive has below it is added, and with Options.Delete what it does not have
// is removed. A file takes the place of an empty directory; of another one only
// with Options.Delete, else it fails. Symbolic links below the target are never
// followed. Whoever can write to the target meanwhile can spoil what lies in
// his directories, but not make the restore write or change anything outside
// the target.
//
// # Hard links
//
// The first member of a set that comes up is restored, the others are linked to
// it. Where linking fails (another file system, too many links, a file system
// without them), and where the first one failed, a member is restored from its
// own content.
//
// # Reading back
//
// With Options.Verify every file is read again after the sync, and its chunks
// are named as a backup would name them: no pack is fetched for that. What
// differs is restored and read once more.
//
// # Memory
//
// For each worker one read (Options.ReadMax, or one frame if that is longer)
// and one opened frame (1 MiB as cairn writes them; 32 MiB are allowed); for
// each of the two windows 4 MiB of chunks, up to 3 MiB of frames, 0.4 KiB for
// each file, and 4 MiB of names and attributes. What the garbage collector has
// not collected yet comes on top. Measured with three workers: 35 to 50 MB,
// whatever the archive. A set of hard links takes about 0.6 KiB until the end,
// because any later entry may belong to it. Options.Delete takes the names of what
// the archive has in the directories that the planner is in.
package restore
