package index

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"sort"
	"sync/atomic"

	"cairn/objects"
	"cairn/objects/pack"
)

// ErrDamaged says that a page of the cache is not what was written. The answer
// is in the headers of the packs: Reset the index and build it again.
var ErrDamaged = errors.New("index cache is damaged")

// run is an immutable sorted table in a mapped file. Its methods may be called
// concurrently, until close. Each returns the right answer or ErrDamaged, and
// then damaged is set; a mapped page that the disk fails to deliver counts as
// damaged too.
type run struct {
	path    string // for removing the file; "" if it has no name
	header  header
	layout  layout
	check   uint64 // of the header page, for the manifest
	data    []byte
	seen    []atomic.Uint32 // a bit for every page whose checksum held
	damaged atomic.Bool
}

// openRun maps f, which it closes. ErrDamaged: f is not a whole run of the
// repository with that salt.
func openRun(f *os.File, path string, repo objects.RepositoryID, salt uint64) (*run, error) {
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open index run: %w", err)
	}
	size := info.Size()
	if !info.Mode().IsRegular() || size < pageSize {
		return nil, ErrDamaged
	}
	if size > math.MaxInt {
		return nil, fmt.Errorf("open index run: %w: larger than the address space", fs.ErrInvalid)
	}
	data, err := mapFile(f, int(size))
	if err != nil {
		return nil, fmt.Errorf("open index run: map: %w", err)
	}
	r := &run{path: path, data: data}
	if err := r.readHeader(repo, salt); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *run) readHeader(repo objects.RepositoryID, salt uint64) (err error) {
	defer r.caught(debug.SetPanicOnFault(true), &err)
	h, ok := decodeHeader(r.data[:pageSize])
	if !ok || h.repository != repo || h.salt != salt || h.layout().size() != uint64(len(r.data)) {
		return ErrDamaged
	}
	r.header, r.layout = h, h.layout()
	r.check = sum(r.data[:pageSize], salt, 0)
	r.seen = make([]atomic.Uint32, len(r.data)/pageSize/32+1)
	return nil
}

// close unmaps the run; the file stays.
func (r *run) close() error {
	data := r.data
	r.data = nil
	return unmapFile(data)
}

// remove unmaps the run and removes its file, if that has a name.
func (r *run) remove() error {
	err := r.close()
	if r.path == "" {
		return err
	}
	if e := os.Remove(r.path); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// caught is deferred around every use of the mapping. A page that cannot be
// read (a bad sector, a file that somebody cut short) is a fault in memory:
// without this it would end the program.
func (r *run) caught(before bool, err *error) {
	debug.SetPanicOnFault(before)
	p := recover()
	if p == nil {
		return
	}
	if !isFault(p) {
		panic(p)
	}
	*err = r.rotten()
}

// isFault reports whether a recovered panic is a fault in memory.
func isFault(p any) bool {
	_, ok := p.(interface{ Addr() uintptr })
	return ok
}

// rotten remembers that the run is damaged.
func (r *run) rotten() error {
	r.damaged.Store(true)
	return ErrDamaged
}

// row returns the bytes of row i of t, whose page is verified at its first use.
func (r *run) row(t *table, i uint32) ([]byte, error) {
	if i >= t.rows {
		return nil, r.rotten()
	}
	n, off := t.place(i)
	at := n * pageSize
	if r.seen[n/32].Load()&(1<<(n%32)) == 0 {
		if !sealed(r.data[at:at+pageSize], r.header.salt, n) {
			return nil, r.rotten()
		}
		r.seen[n/32].Or(1 << (n % 32))
	}
	at += uint64(off)
	return r.data[at : at+uint64(t.size)], nil
}

// find returns a row of chunk id.
func (r *run) find(id *objects.ID) (i uint32, ok bool, err error) {
	defer r.caught(debug.SetPanicOnFault(true), &err)
	if !r.mayHold(id) {
		return 0, false, nil
	}
	return r.search(id)
}

// search is find for an id that may well be there. It does not catch faults.
func (r *run) search(id *objects.ID) (i uint32, ok bool, err error) {
	lo, hi, err := r.bucket(bucket(id, r.header.fanBits))
	if err != nil {
		return 0, false, err
	}
	// IDs are spread evenly: the row is mostly where it would be if they were
	// spread exactly so, or next to there, on the same lines of memory.
	mid := lo + uint32(uint64(hi-lo)*uint64(within(id, r.header.fanBits))>>32)
	for tries := uint32(0); lo < hi; tries++ {
		b, err := r.row(&r.layout.chunks, mid)
		if err != nil {
			return 0, false, err
		}
		less := false
		switch bytes.Compare(b[:len(id)], id[:]) {
		case 0:
			return mid, true, nil
		case -1:
			lo, less = mid+1, true
		default:
			hi = mid
		}
		switch {
		case tries >= nearTries:
			mid = lo + (hi-lo)/2
		case less:
			mid = min(lo+tries, max(hi, 1)-1)
		default:
			mid = max(hi-min(hi, 1+tries), lo)
		}
	}
	return 0, false, nil
}

// nearTries is how many rows beside the first guess are looked at before the
// rest of a bucket is halved.
const nearTries = 4

// bucket returns the range of chunks whose ID begins with b.
func (r *run) bucket(b uint32) (lo, hi uint32, err error) {
	first, err := r.row(&r.layout.fan, b)
	if err != nil {
		return 0, 0, err
	}
	next, err := r.row(&r.layout.fan, b+1)
	if err != nil {
		return 0, 0, err
	}
	return u32(first, 0), u32(next, 0), nil
}

// lookup returns a place of chunk id, which may well be there; p nil: only
// whether there is one.
func (r *run) lookup(id *objects.ID, p *Place) (ok bool, err error) {
	defer r.caught(debug.SetPanicOnFault(true), &err)
	i, found, err := r.search(id)
	if !found || err != nil || p == nil {
		return found && err == nil, err
	}
	c, err := r.chunk(i)
	if err != nil {
		return false, err
	}
	if *p, err = placeOf(r, c); err != nil {
		return false, r.rotten()
	}
	return true, nil
}

// findPack reports whether the run holds the pack, and the row of it or of
// the first pack with a greater ID.
func (r *run) findPack(id objects.ID) (i uint32, ok bool, err error) {
	defer r.caught(debug.SetPanicOnFault(true), &err)
	var failed error
	n := sort.Search(int(r.header.counts.packs), func(i int) bool {
		b, err := r.row(&r.layout.packs, uint32(i))
		if err != nil {
			failed = err
			return true
		}
		return bytes.Compare(b[:len(id)], id[:]) >= 0
	})
	if failed != nil || n == int(r.header.counts.packs) {
		return uint32(n), false, failed
	}
	b, err := r.row(&r.layout.packs, uint32(n))
	return uint32(n), err == nil && objects.ID(b[:32]) == id, err
}

// The methods of a source. They do not catch faults: who calls them does.

func (r *run) counts() counts { return r.header.counts }

func (r *run) pack(i uint32) (packRow, error) {
	b, err := r.row(&r.layout.packs, i)
	if err != nil {
		return packRow{}, err
	}
	return decodePack(b), nil
}

func (r *run) key(i uint32) (pack.Key, error) {
	b, err := r.row(&r.layout.keys, i)
	if err != nil {
		return pack.Key{}, err
	}
	return decodeKey(b), nil
}

func (r *run) frame(i uint32) (frameRow, error) {
	b, err := r.row(&r.layout.frames, i)
	if err != nil {
		return frameRow{}, err
	}
	return decodeFrame(b), nil
}

func (r *run) chunk(i uint32) (chunkRow, error) {
	b, err := r.row(&r.layout.chunks, i)
	if err != nil {
		return chunkRow{}, err
	}
	return decodeChunk(b), nil
}
