package walk

import (
	"cmp"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	blockItems = 512       // entries of a block, at most
	blockText  = 64 << 10  // bytes of paths of a block, unless it has one entry
	itemSize   = 208       // about what an Item takes
	maxPath    = 1<<16 - 1 // FORMAT.md §8.1
	bufferSize = 32 << 10  // for reading directories
)

// node is a directory below (or at) a root. Its fields are set while its first
// block is read and belong to the consumer once that is done.
type node struct {
	dir    *dir
	cut    int    // Source of an entry, cut here, is its Path
	rules  Rules  // of what contains it, and once it was listed of what is in it; nil: none
	device uint64 // likewise: of the file system

	stat  Stat
	err   error
	names *names // when they take more than one block
	first *block // nil once the consumer has come to it, so that it does not stay with the node
}

// block is some neighbouring entries of a directory: the unit of work. The
// first block of a node opens and lists it too.
type block struct {
	node  *node
	key   string // where in archive order: blocks with lower keys are wanted first
	from  int    // index of the first name; zero only in the first block of a node
	items []Item
	subs  []sub // those of items that are directories
	next  *block

	// Guarded by ahead.mu.
	state blockState
	index int // in ahead.queue, while it waits
}

type sub struct {
	item int
	node *node
}

type blockState uint8

const (
	fresh blockState = iota
	waiting
	running
	done
)

func newNode(d *dir, cut int, path string) *node {
	n := &node{dir: d, cut: cut}
	n.first = &block{node: n, key: path}
	return n
}

// size returns about how many bytes the entries of b take.
func (b *block) size() int {
	size := itemSize * len(b.items)
	if len(b.items) > 0 {
		size += len(b.items) * len(b.items[0].Source)
	}
	return size
}

// reader reads blocks. It belongs to one goroutine.
type reader struct {
	options *Options
	ahead   *ahead
	skip    map[FileID]bool
	buf     []byte
	names   names
	text    []byte
	todo    []todo
}

// todo is an item of the block that is being read that needs its Stat.
type todo struct {
	inode uint64
	item  int
}

// read does all that there is to do for b, which the caller took from ahead.
func (r *reader) read(b *block) {
	n := b.node
	list := n.names
	fd := -1
	var err error
	if b.from == 0 {
		list = &r.names
		fd = r.list(n)
	} else {
		fd, err = n.dir.acquire()
	}
	to, text := r.cutBlock(b, list)
	if to < len(list.entries) {
		if b.from == 0 {
			list = list.clone()
			n.names = list
		}
		b.next = &block{node: n, from: to}
		b.next.key = string(n.dir.appendPath(nil, list.name(&list.entries[to])))[n.cut:]
		r.ahead.add(b)
	}
	if to > b.from {
		r.fill(b, fd, err, list.entries[b.from:to], text)
	}
	if fd != -1 {
		n.dir.release()
	}
	r.ahead.finish(b)
}

// cutBlock returns where b ends and the text of its entries' Sources.
func (r *reader) cutBlock(b *block, list *names) (to int, text string) {
	r.text = r.text[:0]
	for to = b.from; to < len(list.entries) && to < b.from+blockItems; to++ {
		if to > b.from && len(r.text) >= blockText {
			break
		}
		r.text = b.node.dir.appendPath(r.text, list.name(&list.entries[to]))
	}
	return to, string(r.text)
}

// list opens and lists n and returns its descriptor, to be released, or −1. It
// leaves the names, sorted, in r.names.
func (r *reader) list(n *node) int {
	r.names.reset()
	d := n.dir
	parent, err := d.parent.acquire()
	if err != nil {
		n.err = &fs.PathError{Op: "open", Path: d.source, Err: err}
		return -1
	}
	defer d.parent.release()
	n.stat, err = d.owner.openBelow(d.parent, d)
	if err != nil {
		r.unlisted(n, parent, err)
		return -1
	}
	if r.skip[n.stat.ID] {
		n.stat, n.err = Stat{ID: n.stat.ID}, ErrSkipped
		d.release()
		return -1
	}
	in, below := r.admit(n)
	if !in {
		n.stat, n.err = Stat{}, errOmitted
		d.release()
		return -1
	}
	if !below {
		return d.fd
	}
	if err := readNames(d.fd, r.buf, &r.names); err != nil {
		n.err = &fs.PathError{Op: "list", Path: d.source, Err: err}
	}
	r.names.sort()
	if n.rules != nil {
		n.rules = n.rules.Enter(&Listing{Source: d.source, fd: d.fd, names: &r.names})
	}
	return d.fd
}

// unlisted says what stands in the place of the directory n, which could not
// be opened.
func (r *reader) unlisted(n *node, parent int, cause error) {
	links := unix.AT_SYMLINK_NOFOLLOW
	if n.dir.follow {
		links = 0
	}
	n.stat = Stat{}
	if err := statAt(parent, n.dir.name(), links, &n.stat); err != nil {
		n.err = &fs.PathError{Op: "lstat", Path: n.dir.source, Err: err}
		return
	}
	switch {
	case r.skip[n.stat.ID]:
		n.stat, n.err = Stat{ID: n.stat.ID}, ErrSkipped
	case n.stat.Type == Directory || n.dir.follow:
		n.err = &fs.PathError{Op: "open", Path: n.dir.source, Err: cause}
	}
	// Anything else took the directory's place: then that is what is stored.
}

// fill gives b its items. text holds their Sources; fd is the directory, unless
// opening it failed with failed.
func (r *reader) fill(b *block, fd int, failed error, entries []nameEntry, text string) {
	n := b.node
	b.items = make([]Item, 0, len(entries))
	r.todo = r.todo[:0]
	for i := range entries {
		e := &entries[i]
		size := n.dir.cut + int(e.len)
		b.items = append(b.items, Item{Path: text[n.cut:size], Source: text[:size], dir: n.dir})
		text = text[size:]
		item := &b.items[len(b.items)-1]
		kind := e.kind
		if kind == 0 && failed == nil {
			item.stat(fd)
			kind = item.Stat.Type
		}
		switch {
		case n.rules != nil && n.rules.Exclude(item.Path, item.Source, kind):
			b.items = b.items[:len(b.items)-1]
		case failed != nil:
			item.fail("lstat", failed)
		case len(item.Path) > maxPath:
			item.fail("lstat", unix.ENAMETOOLONG)
		case kind == Directory:
			// Its Stat is taken when it is open: then it is that of what is listed.
			item.Stat.Type = Directory
		case e.kind != 0:
			r.todo = append(r.todo, todo{e.inode, len(b.items) - 1})
		}
	}
	r.stat(b, fd)
	r.omit(b)
	r.finish(b)
}

// stat fills in what was left to do, by rising inode: that is how file systems
// lay them out, on disk and in memory.
func (r *reader) stat(b *block, fd int) {
	slices.SortFunc(r.todo, func(a, b todo) int { return cmp.Compare(a.inode, b.inode) })
	for _, t := range r.todo {
		b.items[t.item].stat(fd)
	}
}

// finish finds the directories among b's items and those to be skipped.
func (r *reader) finish(b *block) {
	for i := range b.items {
		item := &b.items[i]
		switch {
		case item.Err != nil:
		case item.Stat.Type == Directory:
			d := item.dir.owner.child(item.dir, item.Source)
			n := newNode(d, b.node.cut, item.Path)
			n.rules, n.device = b.node.rules, b.node.device
			b.subs = append(b.subs, sub{i, n})
		case r.skip[item.Stat.ID]:
			item.Stat, item.Err = Stat{ID: item.Stat.ID}, ErrSkipped
		}
	}
}

// stat fills in Stat, or else Err.
func (it *Item) stat(directory int) {
	if err := statAt(directory, it.name(), unix.AT_SYMLINK_NOFOLLOW, &it.Stat); err != nil {
		it.fail("lstat", err)
	}
}

// fail makes it an item that says nothing but that op failed.
func (it *Item) fail(op string, err error) {
	it.Stat, it.Err = Stat{}, &fs.PathError{Op: op, Path: it.Source, Err: err}
}
