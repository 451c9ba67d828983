package backup

import (
	"sync/atomic"
	"time"

	"cairn/objects/archive"
)

// Progress counts what a run has done so far. Its fields may be read at any
// time, from any goroutine.
type Progress struct {
	Entries   atomic.Uint64 // things the walk has come across
	Files     atomic.Uint64 // regular files whose entry is in the archive
	Dirs      atomic.Uint64
	Others    atomic.Uint64 // symlinks, devices, fifos
	New       atomic.Uint64 // files the previous archive does not have
	Changed   atomic.Uint64 // files that differ from the previous archive's
	Unchanged atomic.Uint64 // files taken over without reading them
	Bytes     atomic.Uint64 // content of all files so far, read or not
	Read      atomic.Uint64 // bytes read from files
	Warnings  atomic.Uint64

	Checkpoints atomic.Uint64          // committed by this run
	Current     atomic.Pointer[string] // a path being worked on
}

// again begins to count anew, all but what was read and warned about.
func (p *Progress) again() {
	for _, n := range []*atomic.Uint64{
		&p.Entries, &p.Files, &p.Dirs, &p.Others, &p.New, &p.Changed, &p.Unchanged, &p.Bytes,
	} {
		n.Store(0)
	}
}

// count notes an entry of the archive.
func (p *Progress) count(e *archive.Entry) {
	switch e.Type {
	case archive.File:
		p.Files.Add(1)
		p.Bytes.Add(e.Size)
	case archive.Dir:
		p.Dirs.Add(1)
	default:
		p.Others.Add(1)
	}
}

// differs notes a file that is not as old, which may be nil, says.
func (p *Progress) differs(e, old *archive.Entry) {
	switch {
	case e.Type != archive.File:
	case old == nil:
		p.New.Add(1)
	default:
		p.Changed.Add(1)
	}
}

// Summary is what a finished run did.
type Summary struct {
	Files, Dirs, Others     uint64
	New, Changed, Unchanged uint64
	Bytes                   uint64 // content of all files, holes included
	Read                    uint64 // bytes read from files
	NewChunks, NewBytes     uint64 // stored for the first time: chunks, their plaintext
	Stored                  uint64 // bytes added to the repository as packs
	Packs                   uint64
	Warnings                uint64
	Took                    time.Duration
	Waited, Held            time.Duration // of that: for the lease, and with it
	Interrupted             bool          // the archive is a checkpoint: it ends early
	Skipped                 bool          // nothing has changed: no archive was made
}
