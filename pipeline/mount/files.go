//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"container/list"
	"fmt"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"cairn/objects/archive"
	"cairn/pipeline/content"
)

// itemsKept is how many entries are kept, with what is known of their content.
const itemsKept = 128

// files keeps the entries that were asked for last. The zero files is empty.
type files struct {
	mu    sync.Mutex
	known map[number]*list.Element // guarded by mu
	order list.List                // of *item, the one used last in front; guarded by mu
}

// item is an entry that was asked for.
type item struct {
	n     number
	entry *archive.Entry
	file  *content.File // files only
}

// get returns the item of an entry.
func (f *files) get(fs *fileSystem, s *shown, n number) (*item, error) {
	if it := f.recall(n); it != nil {
		return it, nil
	}
	if n.low() == 0 {
		return nil, archive.ErrNotFound // the archive itself has no entry
	}
	e, err := s.at(n)
	if err != nil {
		return nil, err
	}
	it := &item{n: n, entry: e}
	if e.Type == archive.File {
		it.file = fs.content.Open(&e.Content, fs.meta.get)
	}
	return f.keep(it), nil
}

func (f *files) recall(n number) *item {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[n]
	if e == nil {
		return nil
	}
	f.order.MoveToFront(e)
	return e.Value.(*item)
}

// keep returns the item that is kept: another one may have come first.
func (f *files) keep(it *item) *item {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[number]*list.Element{}
	}
	if e := f.known[it.n]; e != nil {
		return e.Value.(*item)
	}
	f.known[it.n] = f.order.PushFront(it)
	if f.order.Len() > itemsKept {
		delete(f.known, f.order.Remove(f.order.Back()).(*item).n)
	}
	return it
}

// Open implements fuse.RawFileSystem. There is no state of an open file: reads
// name the node.
func (fs *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return fuse.EROFS
	}
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

// Read implements fuse.RawFileSystem.
func (fs *fileSystem) Read(_ <-chan struct{}, in *fuse.ReadIn, to []byte) (fuse.ReadResult, fuse.Status) {
	it, s, status := fs.item(in.NodeId)
	if !status.Ok() {
		return nil, status
	}
	if it.file == nil {
		return nil, fuse.EINVAL
	}
	n, err := it.file.ReadAt(fs.context(), to[:min(len(to), int(in.Size))], in.Offset)
	if err != nil {
		return nil, fs.failed(s, fmt.Errorf("%s: %w", it.entry.Path, err))
	}
	return fuse.ReadResultData(to[:n]), fuse.OK
}

// Release implements fuse.RawFileSystem.
func (fs *fileSystem) Release(<-chan struct{}, *fuse.ReleaseIn) {}

// Forget implements fuse.RawFileSystem: nothing is remembered for a node.
func (fs *fileSystem) Forget(_, _ uint64) {}

// What lseek(2) calls SEEK_DATA and SEEK_HOLE on Linux: others do not ask.
const (
	seekData = 3
	seekHole = 4
)

// Lseek implements fuse.RawFileSystem.
func (fs *fileSystem) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	it, s, status := fs.item(in.NodeId)
	if !status.Ok() {
		return status
	}
	if it.file == nil || in.Whence != seekData && in.Whence != seekHole {
		return fuse.EINVAL
	}
	if in.Offset >= it.file.Size() {
		return fuse.Status(syscall.ENXIO)
	}
	hole, end, err := it.file.Run(in.Offset)
	if err != nil {
		return fs.failed(s, fmt.Errorf("%s: %w", it.entry.Path, err))
	}
	out.Offset = in.Offset
	if hole == (in.Whence == seekHole) {
		return fuse.OK
	}
	if out.Offset = end; end == it.file.Size() && in.Whence == seekData {
		return fuse.Status(syscall.ENXIO)
	}
	return fuse.OK
}
