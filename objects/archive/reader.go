package archive

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"cairn/objects"
)

// Errors of a Reader's questions; neither says that anything is damaged.
var (
	// ErrNotFound says that an archive has no entry of a path.
	ErrNotFound = errors.New("no such entry in the archive")
	// ErrNotDir says that an entry is no directory.
	ErrNotDir = errors.New("entry is not a directory")
)

// NodeError says which entries cannot be read because a node cannot: those with
// From ≤ path, and path < To unless To is empty. Err is a *objects.CorruptError
// if the node is not what FORMAT.md allows there, and otherwise what Get
// returned. Entries of that range may have been read before it was found out.
type NodeError struct {
	ID       objects.ID
	From, To string
	Err      error
}

func (e *NodeError) Error() string {
	if e.To == "" {
		return fmt.Sprintf("read entries from %q on: %v", e.From, e.Err)
	}
	return fmt.Sprintf("read entries from %q up to %q: %v", e.From, e.To, e.Err)
}

func (e *NodeError) Unwrap() error { return e.Err }

// Reader reads an archive. It keeps some inner nodes, 4 MiB at most, and
// nothing else. It is not for concurrent use, but one goroutine may ask it
// something while it iterates. Readers cost little: make one for each goroutine.
type Reader struct {
	root  Root
	get   Get
	inner cache
}

// NewReader returns a reader of the archive with this root. It reads nothing
// yet.
func NewReader(root Root, get Get) *Reader { return &Reader{root: root, get: get} }

// All returns all entries in order: see From.
func (r *Reader) All() iter.Seq2[*Entry, error] { return r.From("") }

// From returns the entries whose path is not below path, in order. It reads a
// node when its turn has come, and memory does not grow with the archive.
//
// An entry and its slices are valid until the next one is asked for; strings in
// it stay valid, but keep their neighbours alive. Clone it to keep it.
//
// Each error is a *NodeError and comes without an entry. Whoever goes on after
// it gets the entries behind the damaged node.
func (r *Reader) From(path string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		c := cursor{r: r}
		e, err := c.seek(path)
		for e != nil || err != nil {
			if !yield(e, err) {
				return
			}
			e, err = c.next()
		}
	}
}

// Lookup returns the entry of path, or ErrNotFound. It reads one node of each
// level at most. The caller owns the entry, which keeps its leaf alive.
func (r *Reader) Lookup(path string) (*Entry, error) {
	e, _, err := r.Find(path)
	return e, err
}

// Find is Lookup, and also returns the entry's rank: how many entries come
// before it. Ranks stand for entries where paths are too long; they are as
// lasting as the archive.
func (r *Reader) Find(path string) (e *Entry, rank uint64, err error) {
	c := cursor{r: r}
	err = c.place(path)
	for err == nil && c.in && c.leaf.left > 0 {
		if e, err = c.next(); err == nil && e.Path == path {
			return e, c.rank - 1, nil
		}
	}
	if err == nil {
		err = ErrNotFound
	}
	return nil, 0, fmt.Errorf("look up %q: %w", path, err)
}

// At returns the entry of a rank, or ErrNotFound if there are not so many. It
// costs what Lookup does, and the caller owns the entry likewise.
func (r *Reader) At(rank uint64) (*Entry, error) {
	c := cursor{r: r}
	e, err := c.seekRank(rank)
	if err != nil {
		return nil, fmt.Errorf("look up entry %d: %w", rank, err)
	}
	return e, nil
}

// Children returns the entries of a directory, without those below them, in
// order; "" is the directory above all. It costs one search for each child that
// is a directory with entries beyond its leaf. Entries and errors are as From
// says; ErrNotFound and ErrNotDir end the iteration.
func (r *Reader) Children(dir string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for l := r.List(dir); ; {
			if e, _, err := l.Next(); e == nil && err == nil || !yield(e, err) {
				return
			}
		}
	}
}

// childOf returns the child of dir that path is, if direct, or is below of. It
// is not ok if path is not below dir.
func childOf(dir, path string) (child string, direct, ok bool) {
	begin := 0
	if dir != "" {
		if begin = len(dir) + 1; len(path) < begin || path[:len(dir)] != dir || path[len(dir)] != '/' {
			return "", false, false
		}
	}
	end := strings.IndexByte(path[begin:], '/')
	if end < 0 {
		return path, true, true
	}
	return path[:begin+end], false, true
}
