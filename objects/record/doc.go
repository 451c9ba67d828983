// Package record makes and reads the records that say what a repository is
// and holds: config, commit records, head (FORMAT.md §4, §9, §10), and folds
// commit records into the state they lead to.
//
// Every encoder reads back what it wrote before it returns it, so that the
// rules stand in one place, the decoders, and nothing that they refuse is
// ever stored.
package record
