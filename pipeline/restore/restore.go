package restore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
	"cairn/objects/pack"
)

// Chunks is where file data comes from. Its methods are called concurrently.
type Chunks interface {
	// Lookup finds a chunk, or says why it cannot.
	Lookup(ctx context.Context, id objects.ID) (index.Place, error)

	// Read returns length bytes of a pack from off on. The caller owns them.
	Read(ctx context.Context, pack objects.ID, off, length int64) ([]byte, error)

	// Elsewhere finds a chunk again after reading it from pack gone has
	// answered err: others may have moved it. It answers err if they have not.
	Elsewhere(ctx context.Context, id, gone objects.ID, err error) (index.Place, error)

	// OpenFrame opens the sealed bytes of a frame into dst[:0]; sealed may be
	// overwritten.
	OpenFrame(dst []byte, kind objects.Kind, key pack.Key, frame pack.Frame, sealed []byte) ([]byte, error)
}

// Source is what an archive is restored from.
type Source struct {
	Chunks Chunks
	Meta   archive.Get // metadata chunks; never called concurrently
	Keys   *crypt.Keys // for the IDs of chunks
}

// Choice says what to do with an entry.
type Choice uint8

const (
	Skip Choice = iota // neither it nor anything below it is wanted
	Look               // something below it may be; it is made as a parent then, and left alone if it is there
	Take               // it is wanted
)

// Options say what is restored, and where. Target is required.
type Options struct {
	Target string // a directory; made if missing

	// Select chooses among the entries; nil takes all. It is asked once for
	// each entry, in the archive's order, but not below what was skipped.
	Select func(path string, is archive.Type) Choice

	Overwrite Overwrite // what becomes of what is there already
	Strip     int       // leading components that paths lose; what has no more of them is not restored
	Sparse    bool      // what is zero becomes a hole, whatever it was
	Verify    bool      // read back what was restored, and compare it
	DryRun    bool      // change nothing; Progress, List and Warn say what would be done

	// Delete reports whether what the archive does not have is removed from the
	// directory that has this path in the archive, the empty one for the target
	// itself. Only directories that Select takes are asked about. What Select
	// would skip stays, and so do file systems that are mounted there. nil:
	// nothing is removed.
	Delete func(dir string) bool

	// Protected are paths, links followed, of what is never removed: cairn's own.
	Protected []string

	Without       Part // what is not restored of entries
	NumericOwners bool // owners, and those whom ACLs name, by number, whatever their names are here
	Partial       bool // restore files that were cut short, as name.partial

	// ReadMax is how many bytes of a pack one read asks for, unless a single
	// frame is longer; 0: 4 MiB. Each worker holds a read, and until the
	// garbage collector comes by the one before it. Stores that count requests
	// want more.
	ReadMax int64

	Workers  int                 // goroutines that fetch, open and write; 0: one more than cores
	Progress *Progress           // counts; may be nil
	Warn     func(string, error) // what went wrong with one path; called one at a time; may be nil

	// List is told what became of every path of the target that is not a mere
	// parent, as things are done; called one at a time; may be nil.
	List func(s Status, path string)
}

// Progress counts what a restore has done so far. Its fields may be read at any
// time, from any goroutine.
type Progress struct {
	Files, Dirs, Others atomic.Uint64 // in place; others are symlinks, devices, fifos
	Links               atomic.Uint64 // of Files and Others: hard links to one that was in place
	Bytes               atomic.Uint64 // content in place or on its way, holes included
	Fetched             atomic.Uint64 // bytes read from packs
	Reads               atomic.Uint64 // of packs
	Failed              atomic.Uint64 // entries that are not in place
	Damaged             atomic.Uint64 // entries that the source could not give whole; mostly of Failed, some lack an attribute
	Warnings            atomic.Uint64 // everything Warn was told, failures included
	Kept                atomic.Uint64 // of Files: those that were there already
	Left                atomic.Uint64 // entries that Overwrite left alone; not counted elsewhere
	Deleted             atomic.Uint64 // what was removed, files and directories
	Mismatched          atomic.Uint64 // files that do not read as they were written
}

// Summary is what a finished restore did.
type Summary struct {
	Files, Dirs, Others uint64
	Links               uint64 // of Files and Others
	Bytes               uint64
	Fetched, Reads      uint64
	Failed, Warnings    uint64
	Damaged             uint64 // entries that the source could not give whole
	Kept, Left, Deleted uint64
	Mismatched          uint64        // files that do not read as they were written
	Lacks               []Lack        // what many entries are not restored with, for one reason each
	Sync                time.Duration // of the wait for the disk at the end
}

// run is one restore.
type run struct {
	source   Source
	o        Options
	tree     *tree
	owners   *owners
	progress *Progress

	protected map[fileID]bool // what is never removed

	free chan *window // those that nobody plans or works on

	mu         sync.Mutex
	redo       []*file            // guarded by mu: to be planned once more
	unfinished map[*file]struct{} // guarded by mu: with a temporary file
	lacks      map[lackKey]*Lack  // guarded by mu
	absent     map[string]bool    // guarded by mu: what Verify need not look for, by path

	warning sync.Mutex // held while Warn is called
}

// ErrFull says that there is no room at the target for what is restored.
var ErrFull = errors.New("the target is full")

// Run restores what Options.Select chooses of the archive with the given root.
//
// What goes wrong with one entry is told to Warn and counted, and the rest goes
// on; nothing of a file that failed stays. The error says why the restore as a
// whole could not go on: the store cannot be reached, the target is full
// (ErrFull), the context ended. Temporary files are removed then, and what is in place stays.
// When Run returns nil, what it restored is on disk (Linux; see
// syncFilesystem).
func Run(ctx context.Context, source Source, root archive.Root, o Options) (Summary, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 1
	}
	if o.ReadMax <= 0 {
		o.ReadMax = 4 << 20
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	tree, err := openTree(o.Target, o.DryRun)
	if err != nil {
		return Summary{}, explain(err)
	}
	defer tree.close()
	r := &run{
		source: source, o: o, tree: tree, progress: o.Progress,
		owners: newOwners(o.NumericOwners), protected: identifyAll(o.Protected),
		unfinished: make(map[*file]struct{}), absent: make(map[string]bool),
		lacks: make(map[lackKey]*Lack), free: make(chan *window, windows),
	}
	for range windows {
		r.free <- newWindow()
	}
	err = r.restore(ctx, root)
	if err != nil {
		r.cleanUp()
	}
	r.lowerAll()
	if err != nil {
		return r.summary(), fmt.Errorf("restore to %s: %w", o.Target, explain(err))
	}
	if o.DryRun {
		return r.summary(), nil
	}
	begun := time.Now()
	if err := tree.sync(); err != nil {
		return r.summary(), fmt.Errorf("write %s to disk: %w", o.Target, explain(err))
	}
	took := time.Since(begun)
	if o.Verify {
		if err := r.verify(ctx, root); err != nil {
			return r.summary(), fmt.Errorf("verify %s: %w", o.Target, err)
		}
	}
	s := r.summary()
	s.Sync = took
	return s, nil
}

// restore plans and works at once.
func (r *run) restore(ctx context.Context, root archive.Root) error {
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan job)
	group.Go(func() error {
		defer close(jobs)
		return r.plan(ctx, root, jobs)
	})
	for range r.o.Workers {
		group.Go(func() error { return r.work(ctx, jobs) })
	}
	return group.Wait()
}

// cleanUp removes the temporary files of a restore that came to nothing.
func (r *run) cleanUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f := range r.unfinished {
		f.discard()
	}
}

// fatal reports whether what hit one file would hit all others.
func fatal(err error) bool {
	for _, end := range []error{
		context.Canceled, context.DeadlineExceeded, backend.ErrUnavailable,
		unix.ENOSPC, unix.EDQUOT, unix.EROFS,
	} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// explain says in words what stopped the restore.
func explain(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (r *run) summary() Summary {
	p := r.progress
	return Summary{
		Files: p.Files.Load(), Dirs: p.Dirs.Load(), Others: p.Others.Load(), Links: p.Links.Load(),
		Bytes: p.Bytes.Load(), Fetched: p.Fetched.Load(), Reads: p.Reads.Load(),
		Failed: p.Failed.Load(), Warnings: p.Warnings.Load(),
		Damaged: p.Damaged.Load(), Lacks: r.allLacks(),
		Kept: p.Kept.Load(), Left: p.Left.Load(), Deleted: p.Deleted.Load(), Mismatched: p.Mismatched.Load(),
	}
}
