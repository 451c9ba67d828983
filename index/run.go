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
	return r.rowAt(t, i, i/t.perPage, i%t.perPage*t.size)
}

// rowAt is row where the caller has reckoned the page in the table and the
// offset in that: it does so without a division if it knows the size.
func (r *run) rowAt(t *table, i, page, off uint32) ([]byte, error) {
	if i >= t.rows {
		return nil, r.rotten()
	}
	n := t.page + uint64(page)
	if r.seen[n/32].Load()&(1<<(n%32)) == 0 {
		if err := r.verify(n); err != nil {
			return nil, err
		}
	}
	at := n*pageSize + uint64(off)
	return r.data[at : at+uint64(t.size)], nil
}

// verify compares the checksum of a page.
func (r *run) verify(n uint64) error {
	if !sealed(r.data[n*pageSize:(n+1)*pageSize], r.header.salt, n) {
		return r.rotten()
	}
	r.seen[n/32].Or(1 << (n % 32))
	return nil
}

// find returns a row of chunk id.
func (r *run) find(id *objects.ID) (i uint32, ok bool, err error) {
	defer r.caught(debug.SetPanicOnFault(true), &err)
	l, in, err := r.line(id)
	if err != nil || !l.mayHave(id) {
		return 0, false, err
	}
	return r.search(l, in, id, nil)
}

// each calls f with the rows of chunk id, of which there is one for every pack
// that holds it, until f wants no more or fails. They stand one behind another.
func (r *run) each(id *objects.ID, f func(i uint32, c chunkRow) (more bool, err error)) (err error) {
	i, found, err := r.find(id)
	if !found || err != nil {
		return err
	}
	defer r.caught(debug.SetPanicOnFault(true), &err)
	for ; i > 0; i-- {
		if c, err := r.chunk(i - 1); err != nil || c.id != *id {
			break
		}
	}
	for ; i < r.header.counts.chunks; i++ {
		c, err := r.chunk(i)
		if err != nil || c.id != *id {
			return err
		}
		if more, err := f(i, c); !more || err != nil {
			return err
		}
	}
	return nil
}

// place reports whether a row is that of chunk id, and then sets p to its place,
// whose lead is at. It does not catch faults.
func (r *run) place(id *objects.ID, row uint32, at lead, p *Place) (bool, error) {
	chunk, err := r.chunkBytes(row)
	if err != nil {
		return false, err
	}
	frame, err := r.frameBytes(at.frame)
	if err != nil {
		return false, err
	}
	in, err := r.packBytes(at.pack)
	if err != nil {
		return false, err
	}
	// Memory is asked for all three within few instructions: how far a processor
	// looks ahead while it waits is limited, to half of that where two threads
	// share a core. And each field goes straight to where it stays: reading back
	// a copy of several waits for them all.
	key, own := u32(frame, 0), decodeOwned(in)
	if *(*objects.ID)(chunk) != *id {
		return false, nil
	}
	if !own.has(at.frame, key) {
		return false, r.rotten()
	}
	p.Pack, p.Kind = objects.ID(in), objects.Kind(u32(in, 32))
	if key == 0 {
		decodeKey(in[60:], &p.Key)
	} else if p.Key, err = r.key(own.other(key)); err != nil {
		return false, err
	}
	p.Off, p.Len = u32(chunk, 32), u32(chunk, 36)
	p.Frame.Key, p.Frame.Number, p.Frame.Compression = key, u32(frame, 4), pack.Compression(frame[8])
	p.Frame.Off, p.Frame.Stored, p.Frame.Raw = u32(frame, 12), u32(frame, 16), u32(frame, 20)
	p.Frame.First, p.Frame.Count = 0, 0
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
	b, err := r.packBytes(i)
	if err != nil {
		return packRow{}, err
	}
	var p packRow
	p.decode(b)
	return p, nil
}

func (r *run) packBytes(i uint32) ([]byte, error) {
	const perPage = pageBody / packSize
	return r.rowAt(&r.layout.packs, i, i/perPage, i%perPage*packSize)
}

func (r *run) key(i uint32) (pack.Key, error) {
	b, err := r.row(&r.layout.keys, i)
	if err != nil {
		return pack.Key{}, err
	}
	var k pack.Key
	decodeKey(b, &k)
	return k, nil
}

func (r *run) frame(i uint32) (frameRow, error) {
	b, err := r.frameBytes(i)
	if err != nil {
		return frameRow{}, err
	}
	return decodeFrame(b), nil
}

func (r *run) frameBytes(i uint32) ([]byte, error) {
	const perPage = pageBody / frameSize
	return r.rowAt(&r.layout.frames, i, i/perPage, i%perPage*frameSize)
}

func (r *run) chunk(i uint32) (chunkRow, error) {
	b, err := r.chunkBytes(i)
	if err != nil {
		return chunkRow{}, err
	}
	id := (*objects.ID)(b)
	l, in, err := r.line(id)
	if err != nil {
		return chunkRow{}, err
	}
	n := i - l.first()
	if n >= l.chunks() {
		return chunkRow{}, r.rotten()
	}
	at, err := r.lead(l, in, n)
	return decodeChunk(b, at), err
}

func (r *run) chunkBytes(i uint32) ([]byte, error) {
	const perPage = pageBody / chunkSize
	return r.rowAt(&r.layout.chunks, i, i/perPage, i%perPage*chunkSize)
}
