//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/content"
)

const (
	forever = 365 * 24 * time.Hour // how long the kernel may believe what is said of an archive
	briefly = 5 * time.Second      // and of what is above archives; new ones are looked for as often
)

// fileSystem answers the kernel. What an archive has is answered without state:
// a number says where to look. It is for concurrent use.
type fileSystem struct {
	fuse.RawFileSystem // answers that what follows here is all there is

	// context is that of the mount: the library has none. Who interrupts a read
	// waits for its end: programs in Go interrupt theirs all the time.
	context func() context.Context
	source  Source
	o       Options
	meta    *metadata
	content *content.Reader
	files   files
	dirs    dirs

	mu     sync.Mutex
	top    *top      // guarded by mu
	looked time.Time // when archives were looked for; guarded by mu
}

func newFileSystem(ctx context.Context, s Source, o Options) *fileSystem {
	fs := &fileSystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), context: func() context.Context { return ctx },
		source: s, o: o, top: newTop(),
		meta:    newMetadata(func() archive.Get { return s.Meta(ctx) }),
		content: content.New(s.Chunks, s.Keys, content.Options{}),
	}
	if o.Only != nil {
		fs.top.slots = []*shown{{slot: 1, a: *o.Only, meta: fs.meta.get}}
	}
	return fs
}

func (fs *fileSystem) String() string { return "cairn" }

// refresh looks for archives, unless it has just done so.
func (fs *fileSystem) refresh() error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	now := fs.o.Now()
	if fs.o.Only != nil || now.Sub(fs.looked) < briefly {
		return nil
	}
	fs.looked = now
	list, err := fs.source.Archives(fs.context())
	if err != nil {
		return fmt.Errorf("look for new archives: %w", err)
	}
	keep := make(map[objects.ID]bool, len(list))
	for i := range list {
		keep[list[i].ID] = true
		fs.top.show(&shown{a: list[i], meta: fs.meta.get})
	}
	fs.top.hide(keep)
	return nil
}

// number returns what the kernel means by a node.
func (fs *fileSystem) number(node uint64) number {
	if node == fuse.FUSE_ROOT_ID && fs.o.Only != nil {
		return archiveNumber(1)
	}
	return number(node)
}

// shown returns the archive of a number; it is nil if that is above archives,
// and an error comes if the archive is gone.
func (fs *fileSystem) shown(n number) (*shown, fuse.Status) {
	slot := n.slot()
	if slot == 0 {
		return nil, fuse.OK
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if int(slot) > len(fs.top.slots) || fs.top.slots[slot-1] == nil {
		return nil, fuse.Status(syscall.ESTALE)
	}
	return fs.top.slots[slot-1], fuse.OK
}

// failed tells what went wrong, and returns what to say to the kernel.
func (fs *fileSystem) failed(s *shown, err error) fuse.Status {
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return fuse.ENOENT
	case errors.Is(err, archive.ErrNotDir):
		return fuse.ENOTDIR
	}
	if s != nil {
		err = fmt.Errorf("archive %s: %w", s.a.Name, err)
	}
	fs.o.Warn(err)
	return fuse.EIO
}

// Lookup implements fuse.RawFileSystem.
func (fs *fileSystem) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n := fs.number(h.NodeId)
	s, status := fs.shown(n)
	if !status.Ok() {
		return status
	}
	if s == nil {
		return fs.lookupVirtual(n, name, out)
	}
	path, err := s.path(n)
	if err != nil {
		return fs.failed(s, err)
	}
	if path != "" {
		path += "/"
	}
	e, rank, err := s.find(path + name)
	if errors.Is(err, archive.ErrNotFound) {
		out.SetEntryTimeout(forever) // of a node 0: there is none
		return fuse.OK
	}
	if err != nil {
		return fs.failed(s, err)
	}
	s.enter(e, rank, out)
	return fuse.OK
}

// enter fills in what a lookup says of an entry.
func (s *shown) enter(e *archive.Entry, rank uint64, out *fuse.EntryOut) {
	out.NodeId = uint64(entryNumber(s.slot, rank))
	s.describe(e, rank, &out.Attr)
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
}

func (fs *fileSystem) lookupVirtual(n number, name string, out *fuse.EntryOut) fuse.Status {
	if err := fs.refresh(); err != nil {
		fs.o.Warn(err) // what was known is shown
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n == 0 || int(n) > len(fs.top.nodes) {
		return fuse.ENOENT
	}
	child, ok := fs.top.nodes[n-1].below[name]
	if !ok {
		return fuse.ENOENT
	}
	fs.enterVirtual(child, out)
	return fuse.OK
}

// enterVirtual fills in what a lookup says of a directory or a symlink above
// what archives have. It needs mu.
func (fs *fileSystem) enterVirtual(n number, out *fuse.EntryOut) {
	out.NodeId = uint64(n)
	fs.describeVirtual(n, &out.Attr)
	out.SetEntryTimeout(briefly)
	out.SetAttrTimeout(briefly)
}

// describeVirtual needs mu.
func (fs *fileSystem) describeVirtual(n number, to *fuse.Attr) {
	to.Ino, to.Mode, to.Nlink = uint64(n), syscall.S_IFDIR|0o555, 1
	var since time.Time
	if slot := n.slot(); slot > 0 {
		since = fs.top.slots[slot-1].a.Start
	} else {
		v := fs.top.nodes[n-1]
		if since = v.since; v.target != "" {
			to.Mode, to.Size = syscall.S_IFLNK|0o777, uint64(len(v.target))
		}
	}
	if !since.IsZero() {
		to.SetTimes(&since, &since, &since)
	}
	setBlockSize(to)
}

// GetAttr implements fuse.RawFileSystem.
func (fs *fileSystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := fs.number(in.NodeId)
	s, status := fs.shown(n)
	if !status.Ok() {
		return status
	}
	if s == nil || n.low() == 0 {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if s == nil && (n == 0 || int(n) > len(fs.top.nodes)) {
			return fuse.ENOENT
		}
		fs.describeVirtual(n, &out.Attr)
		out.Ino = in.NodeId
		out.SetTimeout(briefly)
		return fuse.OK
	}
	it, err := fs.files.get(fs, s, n)
	if err != nil {
		return fs.failed(s, err)
	}
	s.describe(it.entry, n.low()-1, &out.Attr)
	out.SetTimeout(forever)
	return fuse.OK
}

// Readlink implements fuse.RawFileSystem.
func (fs *fileSystem) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	n := fs.number(h.NodeId)
	s, status := fs.shown(n)
	if !status.Ok() {
		return nil, status
	}
	if s == nil {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if n == 0 || int(n) > len(fs.top.nodes) {
			return nil, fuse.ENOENT
		}
		return []byte(fs.top.nodes[n-1].target), fuse.OK
	}
	it, err := fs.files.get(fs, s, n)
	if err != nil {
		return nil, fs.failed(s, err)
	}
	return []byte(it.entry.Target), fuse.OK
}

// StatFs implements fuse.RawFileSystem.
func (fs *fileSystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, nameMax
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, s := range fs.top.slots {
		if s != nil {
			out.Files += s.a.Entries
			out.Blocks += s.a.Size / 4096
		}
	}
	return fuse.OK
}

// xattr returns the value of an extended attribute; ok is false if there is no
// such.
func (fs *fileSystem) xattr(e *archive.Entry, name string) (value []byte, ok bool, err error) {
	for i := range e.Xattrs {
		x := &e.Xattrs[i]
		if x.Name != name {
			continue
		}
		if x.Spilled == nil {
			return x.Value, true, nil
		}
		value = make([]byte, x.Spilled.Size())
		_, err = fs.content.Open(x.Spilled, fs.meta.get).ReadAt(fs.context(), value, 0)
		return value, true, err
	}
	for _, a := range e.Attrs {
		if xattrOf(attr.Tag(a.Tag)) == name {
			acl, err := attr.DecodePosix(a.Value)
			return acl.Linux(), true, err
		}
	}
	return nil, false, nil
}

// xattrOf returns the extended attribute that an ACL is to Linux, or nothing.
func xattrOf(tag attr.Tag) string {
	switch tag {
	case attr.AccessACL:
		return attr.LinuxAccessACL
	case attr.DefaultACL:
		return attr.LinuxDefaultACL
	}
	return ""
}

// GetXAttr implements fuse.RawFileSystem.
func (fs *fileSystem) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, name string, to []byte) (uint32, fuse.Status) {
	it, s, status := fs.item(h.NodeId)
	if !status.Ok() {
		return 0, status
	}
	value, ok, err := fs.xattr(it.entry, name)
	if err != nil {
		return 0, fs.failed(s, fmt.Errorf("extended attribute %q of %s: %w", name, it.entry.Path, err))
	}
	if !ok {
		return 0, fuse.ENOATTR
	}
	return give(to, value)
}

// ListXAttr implements fuse.RawFileSystem.
func (fs *fileSystem) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, to []byte) (uint32, fuse.Status) {
	it, _, status := fs.item(h.NodeId)
	if status == fuse.ENOATTR {
		return 0, fuse.OK
	}
	if !status.Ok() {
		return 0, status
	}
	var list []byte
	for i := range it.entry.Xattrs {
		list = append(append(list, it.entry.Xattrs[i].Name...), 0)
	}
	for _, a := range it.entry.Attrs {
		if name := xattrOf(attr.Tag(a.Tag)); name != "" {
			list = append(append(list, name...), 0)
		}
	}
	return give(to, list)
}

// give copies value, or says how long it is.
func give(to, value []byte) (uint32, fuse.Status) {
	if len(value) > len(to) {
		return uint32(len(value)), fuse.ERANGE
	}
	return uint32(copy(to, value)), fuse.OK
}

// item returns what a node of an archive is: ENOATTR if no archive has it.
func (fs *fileSystem) item(node uint64) (*item, *shown, fuse.Status) {
	n := fs.number(node)
	s, status := fs.shown(n)
	if !status.Ok() {
		return nil, s, status
	}
	if s == nil || n.low() == 0 {
		return nil, s, fuse.ENOATTR
	}
	it, err := fs.files.get(fs, s, n)
	if err != nil {
		return nil, s, fs.failed(s, err)
	}
	return it, s, fuse.OK
}
