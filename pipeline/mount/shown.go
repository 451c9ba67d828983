//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"sync"

	"cairn/objects/archive"
)

const (
	readersKept = 3       // of an archive, for whoever asks next
	setsMax     = 1 << 20 // hard links are counted of so many sets of an archive
)

// shown is an archive that is shown. Its methods may be called concurrently.
type shown struct {
	slot uint32
	a    Archive
	meta archive.Get

	mu      sync.Mutex
	readers []*archive.Reader // that nobody uses; guarded by mu

	counting sync.Mutex
	links    map[uint64]uint32 // members of sets, by linkInode; nil: not counted yet; guarded by counting
}

// reader returns a reader, to be given back.
func (s *shown) reader() *archive.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.readers); n > 0 {
		r := s.readers[n-1]
		s.readers = s.readers[:n-1]
		return r
	}
	return archive.NewReader(s.a.Root, s.meta)
}

func (s *shown) giveBack(r *archive.Reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) < readersKept {
		s.readers = append(s.readers, r)
	}
}

// at returns the entry of a node; the caller owns it, and nothing of its leaf.
func (s *shown) at(n number) (*archive.Entry, error) {
	r := s.reader()
	defer s.giveBack(r)
	e, err := r.At(n.low() - 1)
	if err != nil {
		return nil, err
	}
	return e.Clone(), nil
}

// path returns the path of a directory of the archive; that of the archive
// itself is empty.
func (s *shown) path(n number) (string, error) {
	if n.low() == 0 {
		return "", nil
	}
	r := s.reader()
	defer s.giveBack(r)
	e, err := r.At(n.low() - 1)
	if err != nil {
		return "", err
	}
	return e.Path, nil
}

// find returns the entry of a path, which the caller owns, and its rank.
func (s *shown) find(path string) (*archive.Entry, uint64, error) {
	r := s.reader()
	defer s.giveBack(r)
	return r.Find(path)
}

// members returns how many names of its set of hard links e has in the archive.
// The first call goes through the whole archive. Where there are too many sets,
// or some of them cannot be read, it is 2 for those that are not known, which
// says that there are others.
func (s *shown) members(e *archive.Entry) uint32 {
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.links == nil {
		s.count()
	}
	if n := s.links[linkInode(s.slot, e.Link)]; n > 0 {
		return n
	}
	return 2
}

// count needs counting.
func (s *shown) count() {
	s.links = map[uint64]uint32{}
	r := s.reader()
	defer s.giveBack(r)
	for e, err := range r.All() {
		if err != nil || !e.HasLink {
			continue // whoever lists the directory is told
		}
		inode := linkInode(s.slot, e.Link)
		if _, known := s.links[inode]; known || len(s.links) < setsMax {
			s.links[inode]++
		}
	}
}

// device returns a device number as the kernel takes it.
func device(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | minor&^0xff<<12
}
