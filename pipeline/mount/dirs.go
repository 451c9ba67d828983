//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"fmt"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"cairn/objects/archive"
	"cairn/pipeline/fileattr"
)

// Places in a directory, as the kernel is told them: before ".", before "..",
// before the first child. The place behind a child is behindFirst plus its rank.
const (
	placeParent = 1
	placeFirst  = 2
	behindFirst = 3
)

// dirs are the open directories. The zero dirs is empty.
type dirs struct {
	mu   sync.Mutex
	last uint64              // handle; guarded by mu
	open map[uint64]*openDir // guarded by mu
}

// openDir is a directory that is being listed.
type openDir struct {
	n number
	s *shown // nil: above archives

	mu      sync.Mutex
	reader  *archive.Reader // of listing; guarded by mu
	listing *archive.Listing
	at      uint64         // place of the next child; guarded by mu
	entry   *archive.Entry // it, if it is known already; guarded by mu
	rank    uint64         // of entry

	names []string // above archives: the children as of the beginning; guarded by mu
	below []number
}

// OpenDir implements fuse.RawFileSystem.
func (fs *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := fs.number(in.NodeId)
	s, status := fs.shown(n)
	if !status.Ok() {
		return status
	}
	d := &openDir{n: n, s: s}
	if s != nil {
		out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	}
	fs.dirs.mu.Lock()
	defer fs.dirs.mu.Unlock()
	if fs.dirs.open == nil {
		fs.dirs.open = map[uint64]*openDir{}
	}
	fs.dirs.last++
	fs.dirs.open[fs.dirs.last] = d
	out.Fh = fs.dirs.last
	return fuse.OK
}

// ReleaseDir implements fuse.RawFileSystem.
func (fs *fileSystem) ReleaseDir(in *fuse.ReleaseIn) {
	fs.dirs.mu.Lock()
	d := fs.dirs.open[in.Fh]
	delete(fs.dirs.open, in.Fh)
	fs.dirs.mu.Unlock()
	if d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.end()
	}
}

// end gives up the reader. It needs mu.
func (d *openDir) end() {
	if d.reader != nil {
		d.s.giveBack(d.reader)
	}
	d.reader, d.listing, d.entry = nil, nil, nil
}

// ReadDir implements fuse.RawFileSystem.
func (fs *fileSystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fs.list(in, func(e fuse.DirEntry, _ func(*fuse.EntryOut)) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus implements fuse.RawFileSystem.
func (fs *fileSystem) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fs.list(in, func(e fuse.DirEntry, describe func(*fuse.EntryOut)) bool {
		to := out.AddDirLookupEntry(e)
		if to == nil {
			return false
		}
		if describe != nil { // of "." and ".." nothing is said
			describe(to)
		}
		return true
	})
}

// add takes one name, and what to say of it, or returns false if there is no
// room.
type add func(e fuse.DirEntry, describe func(*fuse.EntryOut)) bool

func (fs *fileSystem) list(in *fuse.ReadIn, add add) fuse.Status {
	fs.dirs.mu.Lock()
	d := fs.dirs.open[in.Fh]
	fs.dirs.mu.Unlock()
	if d == nil {
		return fuse.EBADF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := in.Offset
	for _, dot := range []string{".", ".."}[min(at, placeFirst):] {
		at++
		if !add(fuse.DirEntry{Name: dot, Mode: syscall.S_IFDIR, Off: at}, nil) {
			return fuse.OK
		}
	}
	if d.s == nil {
		return fs.listVirtual(d, at, in.Offset == 0, add)
	}
	return fs.listArchive(d, at, add)
}

// listArchive lists a directory of an archive. It needs d.mu.
func (fs *fileSystem) listArchive(d *openDir, at uint64, add add) fuse.Status {
	if err := d.seek(at); err != nil {
		return fs.failed(d.s, err)
	}
	for added := false; ; added = true {
		if d.entry == nil {
			var err error
			if d.entry, d.rank, err = d.listing.Next(); err != nil {
				d.end()
				if added {
					return fuse.OK // it is told with the next question
				}
				return fs.failed(d.s, err)
			}
			if d.entry == nil {
				return fuse.OK
			}
		}
		e, rank := d.entry, d.rank
		name := fuse.DirEntry{
			Name: lastName(e.Path), Mode: fileattr.Format(e.Type), Ino: uint64(entryNumber(d.s.slot, rank)), Off: behindFirst + rank,
		}
		if e.HasLink {
			name.Ino = linkInode(d.s.slot, e.Link)
		}
		if !add(name, func(to *fuse.EntryOut) { d.s.enter(e, rank, to) }) {
			return fuse.OK
		}
		d.entry, d.at = nil, behindFirst+rank
	}
}

// seek makes sure that the next child is the one at a place. It needs mu.
func (d *openDir) seek(at uint64) error {
	if d.listing != nil && d.at == at {
		return nil
	}
	path, err := d.s.path(d.n)
	if err != nil {
		return err
	}
	d.end()
	d.reader = d.s.reader()
	d.listing, d.at = d.reader.List(path), at
	if at >= behindFirst {
		return d.listing.After(at - behindFirst)
	}
	return nil
}

// listVirtual lists a directory above archives. It needs d.mu.
func (fs *fileSystem) listVirtual(d *openDir, at uint64, anew bool, add add) fuse.Status {
	if anew {
		if err := fs.refresh(); err != nil {
			fs.o.Warn(fmt.Errorf("%w: those that were there are shown", err))
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if anew || d.names == nil {
		v := fs.top.nodes[d.n-1]
		d.names, d.below = append([]string{}, v.names...), nil
		for _, name := range d.names {
			d.below = append(d.below, v.below[name])
		}
	}
	for i := int(at - placeFirst); i < len(d.names); i++ {
		n := d.below[i]
		if slot := n.slot(); slot > 0 && fs.top.slots[slot-1] == nil {
			continue // gone meanwhile
		}
		var about fuse.EntryOut
		fs.enterVirtual(n, &about)
		name := fuse.DirEntry{Name: d.names[i], Mode: about.Mode, Ino: uint64(n), Off: uint64(i) + placeFirst + 1}
		if !add(name, func(to *fuse.EntryOut) { *to = about }) {
			break
		}
	}
	return fuse.OK
}
