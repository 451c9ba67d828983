// Package content reads what files of an archive hold: any range of one file, or
// one file after another with what comes next fetched ahead.
//
// Chunks are compared with their IDs before a byte of them is handed out, and
// every frame is opened once while it is kept. Memory: Options.Keep and
// Options.Ahead of opened frames, and for each worker one read.
package content

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
)

// Chunks is where file data comes from. Its methods are called concurrently.
type Chunks interface {
	// Lookup finds a chunk, or says why it cannot.
	Lookup(ctx context.Context, id objects.ID) (index.Place, error)

	// Elsewhere finds a chunk again after reading it from pack gone has answered
	// err, or returns why it cannot: see repository.Elsewhere.
	Elsewhere(ctx context.Context, id, gone objects.ID, err error) (index.Place, error)

	// Read returns length bytes of a pack from off on. The caller owns them.
	Read(ctx context.Context, pack objects.ID, off, length int64) ([]byte, error)

	// OpenFrame opens the sealed bytes of a frame into dst[:0]; sealed may be
	// overwritten.
	OpenFrame(dst []byte, kind objects.Kind, key pack.Key, frame pack.Frame, sealed []byte) ([]byte, error)
}

// Options say how much is kept and fetched. The zero Options are usable.
type Options struct {
	Keep    int64 // bytes of opened frames that are kept while nobody reads them; 0: 32 MiB
	Ahead   int64 // bytes that are fetched ahead of a reader; 0: 8 MiB
	ReadMax int64 // bytes of a pack that one read asks for, unless a single frame is longer; 0: 4 MiB
	Workers int   // goroutines that fetch; 0: one more than cores
}

// Reader reads contents. Its methods may be called concurrently.
type Reader struct {
	chunks  Chunks
	o       Options
	frames  cache
	hashers sync.Pool      // of *crypt.Hasher
	ahead   errgroup.Group // fetches ahead of files; never fails
}

// New returns a reader of chunks that the keys name. Close must be called.
func New(chunks Chunks, keys *crypt.Keys, o Options) *Reader {
	if o.Keep <= 0 {
		o.Keep = 32 << 20
	}
	if o.Ahead <= 0 {
		o.Ahead = 8 << 20
	}
	if o.ReadMax <= 0 {
		o.ReadMax = 4 << 20
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 1
	}
	r := &Reader{chunks: chunks, o: o}
	r.frames.init(o.Keep)
	r.hashers.New = func() any { return keys.NewHasher() }
	r.ahead.SetLimit(o.Workers)
	return r
}

// Close waits for what is being fetched ahead.
func (r *Reader) Close() { _ = r.ahead.Wait() }

// sum returns the ID of a data chunk.
func (r *Reader) sum(chunk []byte) objects.ID {
	h := r.hashers.Get().(*crypt.Hasher)
	defer r.hashers.Put(h)
	return h.Sum(objects.Data, chunk)
}
