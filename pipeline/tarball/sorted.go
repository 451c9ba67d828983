package tarball

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"sort"

	"cairn/objects"
	"cairn/objects/archive"
)

const (
	memoryMax    = 32 << 20 // bytes of entries in memory, about, before they are spilled
	entrySize    = 700      // about what an entry takes beside what it holds, bytes
	pieceEntries = 128      // entries that are read together, at most
)

// sorted keeps entries by path, of those with one path the last. What is too much
// for memory lies in runs, sorted, in a temporary file without a name. The zero
// sorted is empty; it is not for concurrent use.
type sorted struct {
	max    int // bytes in memory; 0: memoryMax
	latest map[string]*archive.Entry
	size   int // about what latest takes, bytes
	file   *os.File
	end    int64
	runs   []run // the oldest first
}

// run is a stretch of the file with entries by rising path, in pieces.
type run struct {
	pieces []piece
	to     int64 // where the last one ends
}

// piece is where some entries lie.
type piece struct {
	first string // the path of the first one
	at    int64
}

// put takes an entry, and forgets one with the same path.
func (s *sorted) put(e *archive.Entry) error {
	if s.latest == nil {
		s.latest = map[string]*archive.Entry{}
	}
	s.latest[e.Path] = e
	s.size += entrySize + len(e.Path) + len(e.Content.Inline)
	for i := range e.Xattrs {
		s.size += len(e.Xattrs[i].Value)
	}
	if s.size < cmp.Or(s.max, memoryMax) {
		return nil
	}
	return s.spill()
}

// close gives up the file.
func (s *sorted) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// spill makes a run of what is in memory.
func (s *sorted) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "cairn-import-*")
		if err != nil {
			return fmt.Errorf("make room for the list of members: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("make room for the list of members: %w", err)
		}
	}
	r := run{to: s.end}
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.end), 1<<20)
	for paths := range slices.Chunk(s.paths(), pieceEntries) {
		p, err := s.encode(paths)
		if err == nil {
			_, err = w.Write(p)
		}
		if err != nil {
			return fmt.Errorf("write the list of members: %w", err)
		}
		r.pieces = append(r.pieces, piece{paths[0], r.to})
		r.to += int64(len(p))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the list of members: %w", err)
	}
	s.runs, s.end = append(s.runs, r), r.to
	s.latest, s.size = nil, 0
	return nil
}

func (s *sorted) paths() []string {
	return slices.SortedFunc(maps.Keys(s.latest), archive.ComparePaths)
}

// find returns the entry of a path, or nil. The caller owns it.
func (s *sorted) find(path string) (*archive.Entry, error) {
	if e := s.latest[path]; e != nil {
		found := *e
		return &found, nil
	}
	for _, r := range slices.Backward(s.runs) {
		n := sort.Search(len(r.pieces), func(i int) bool { return archive.ComparePaths(r.pieces[i].first, path) > 0 })
		if n == 0 {
			continue
		}
		list, err := s.read(&r, n-1)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if e.Path == path {
				return e, nil
			}
		}
	}
	return nil, nil
}

// all returns the entries by rising path.
func (s *sorted) all() iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) {
		var heads []*head // the later ones count
		for _, r := range s.runs {
			next, stop := iter.Pull2(s.inRun(&r))
			defer stop()
			heads = append(heads, &head{next: next})
		}
		next, stop := iter.Pull2(s.inMemory())
		defer stop()
		heads = append(heads, &head{next: next})
		for _, h := range heads {
			h.advance()
		}
		for {
			e, err := lowest(heads)
			if e == nil && err == nil || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// head is the next entry of a run.
type head struct {
	next  func() (*archive.Entry, error, bool)
	entry *archive.Entry // nil at the end
	err   error
}

func (h *head) advance() { h.entry, h.err, _ = h.next() }

// lowest returns the entry that comes first, from the last of the runs that have
// one of its path, and moves all of them behind it.
func lowest(heads []*head) (first *archive.Entry, err error) {
	for _, h := range heads {
		if h.err != nil {
			return nil, h.err
		}
		if h.entry != nil && (first == nil || archive.ComparePaths(h.entry.Path, first.Path) <= 0) {
			first = h.entry
		}
	}
	for _, h := range heads {
		if first != nil && h.entry != nil && h.entry.Path == first.Path {
			h.advance()
		}
	}
	return first, nil
}

func (s *sorted) inMemory() iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) {
		for _, path := range s.paths() {
			if !yield(s.latest[path], nil) {
				return
			}
		}
	}
}

func (s *sorted) inRun(r *run) iter.Seq2[*archive.Entry, error] {
	return func(yield func(*archive.Entry, error) bool) {
		for i := range r.pieces {
			list, err := s.read(r, i)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// encode returns a piece: an archive (FORMAT.md §8) of what has these paths, in
// which the entries have numbers for names. Its nodes and the paths stand one
// behind another, each behind its length; in front are how many there are, and
// what else is to be known of the archive.
func (s *sorted) encode(paths []string) ([]byte, error) {
	var nodes []byte
	count := uint64(0)
	w := archive.NewWriter(0, func(plain []byte) (id objects.ID, err error) {
		binary.BigEndian.PutUint64(id[:], count)
		count++
		nodes = appendField(nodes, plain)
		return id, nil
	})
	for i, path := range paths {
		e := *s.latest[path]
		e.Path = fmt.Sprintf("%03d", i)
		if err := w.Add(&e); err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
	}
	root, err := w.Finish()
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, n := range []uint64{uint64(root.Level), root.Entries, root.Files, root.Dirs, root.Size, count} {
		b = binary.AppendUvarint(b, n)
	}
	b = append(b, nodes...)
	for _, path := range paths {
		b = appendField(b, []byte(path))
	}
	return b, nil
}

func appendField(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// read returns the entries of a piece.
func (s *sorted) read(r *run, n int) ([]*archive.Entry, error) {
	to := r.to
	if n+1 < len(r.pieces) {
		to = r.pieces[n+1].at
	}
	b := make([]byte, to-r.pieces[n].at)
	_, err := s.file.ReadAt(b, r.pieces[n].at)
	var list []*archive.Entry
	if err == nil {
		list, err = decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of members: %w", err)
	}
	return list, nil
}

// decode returns what encode was given.
func decode(b []byte) (list []*archive.Entry, err error) {
	var head [6]uint64
	for i := range head {
		if head[i], b, err = cutNumber(b); err != nil {
			return nil, err
		}
	}
	root := archive.Root{Level: uint8(head[0]), Entries: head[1], Files: head[2], Dirs: head[3], Size: head[4]}
	fields := make([][]byte, head[5]+head[1]) // nodes, then paths
	for i := range fields {
		if fields[i], b, err = cutField(b); err != nil {
			return nil, err
		}
	}
	binary.BigEndian.PutUint64(root.ID[:], head[5]-1) // it was put last
	get := func(id objects.ID) ([]byte, error) { return fields[binary.BigEndian.Uint64(id[:])], nil }
	for e, err := range archive.NewReader(root, get).All() {
		if err != nil {
			return nil, err
		}
		e = e.Clone()
		e.Path = string(fields[head[5]+uint64(len(list))])
		list = append(list, e)
	}
	return list, nil
}

func cutNumber(b []byte) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return n, b[size:], nil
}

func cutField(b []byte) (field, rest []byte, err error) {
	n, b, err := cutNumber(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return b[:n], b[n:], nil
}
