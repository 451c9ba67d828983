// Package backup makes archives: it walks the roots, takes over what has not
// changed, stores what has, and commits the result.
//
//	walk ─ compare with the previous archive ─┬ unchanged ───────────────┐
//	                                          ├ small files ─ opened ahead ─ workers
//	                                          └ big files ─ readers ─ workers
//	                                                        in archive order:
//	                                                        entries → tree → commit
//
// The scan makes a slot for every entry, in order; the assembly takes the
// slots in the same order and waits for each one's content. Small files are
// opened, and asked for, up to three batches before a worker reads them. Every
// stage has a fixed width. Memory: the packs of package packer, and for each worker one
// small file, two frames and an encoder, for each reader and worker two
// segments, and the slots that the scan is ahead.
package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/chunker"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/fileattr"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
	"cairn/pipeline/walk"
)

const (
	readers       = 2    // big files read at the same time
	segmentsAhead = 1024 // segments of one file that may wait for the assembly
)

// Options say what to back up and how. Roots, Archive and Now are required.
type Options struct {
	Roots   []walk.Root
	Walk    walk.Options   // what to leave out
	Archive record.Archive // name, host, user, series and what else people say of it; Start zero: now; Roots nil: those above
	Now     func() time.Time

	AccessTimes bool            // keep when files were last read
	BirthTimes  bool            // keep when they were made, where the file system says so
	Labels      fileattr.Labels // what to do with what the system itself writes to files

	ReadAll          bool // read every file, whatever the previous archive says
	IgnoreInode      bool // a file is unchanged whatever its inode: for network file systems
	IgnoreChangeTime bool // likewise whatever its time of change, which chmod sets, and restores cannot
	DryRun           bool // compare only: read no content, store nothing

	// SkipUnchanged makes no archive that would say what the one before says. The
	// times of directories above the roots, of streams and of what ReadSpecial
	// reads do not count, and stay as they were in an archive that is made.
	SkipUnchanged bool

	CheckpointEvery time.Duration // how long a run goes on before it commits what it has reached; 0: 5 minutes

	// Stream is stored instead of roots, of which there are none then; may be nil.
	Stream *Stream

	// ReadSpecial stores block devices and fifos, and what is a symbolic link to
	// one, as files with their content. A fifo is read until its writers are gone.
	ReadSpecial bool

	// Fixed returns the size of the chunks, bytes, that a file is cut into at
	// fixed places, or 0 to cut it by content; FixedUnit asks for the
	// repository's, and CheckFixed says which others there are. Devices are always
	// cut at fixed places. nil: no file is.
	Fixed func(source string) uint32

	Workers    int        // goroutines that compress and seal; 0: one for each processor
	Uploads    int        // packs stored at the same time; 0: 3
	PackTarget int        // bytes; 0: 8 MiB
	Level      pack.Level // 0: pack.Fastest
	Try        packer.Try // on which chunks compression is tried

	Warn     func(path string, err error) // a file that is left out or not as it should be; may be nil
	Note     func(path string)            // cairn's own, left out because Walk.Skip says so; may be nil
	List     Lister                       // every entry in order, and every failure; may be nil
	Earlier  func([]repository.Archive)   // what the archive is compared with, the newest first; may be nil
	Progress *Progress                    // counts as the run goes; may be nil
}

// Lister is told what became of an entry, and why it is not taken over from the
// archive before if that has it.
type Lister func(s Status, why Difference, path string)

// FixedUnit stands for the repository's own size of chunks at fixed places.
const FixedUnit = math.MaxUint32

// run is one backup under way.
type run struct {
	o         Options
	stopping  func() bool // whether to end early
	repo      *repository.Repository
	packer    *packer.Packer // nil in a dry run
	stored    packer.Stats   // by it, and those before it where files were read again
	cut       *chunker.Chunker
	frameSize int
	buffers   chan *buffer
	progress  *Progress
	names     *names
	spill     *spill               // nil in a dry run
	before    []repository.Archive // what the scan compares with; the scan's until it ends
	skipped   bool                 // no archive was made, because nothing has changed
	warning   sync.Mutex           // serialises Options.Warn and Note

	checkpoints checkpoints
}

// Run makes one archive and commits it. Files that cannot be read are warned
// about and left out; any other error ends the run, and nothing that was
// committed before is touched.
//
// A run of the same source that is under way on this machine ends this one at
// once, with a *locking.RunningError.
//
// When stop ends, the run ends early: what it has reached is committed as a
// checkpoint, from which the next run goes on. When ctx ends, nothing is
// committed any more. With SkipUnchanged the archive may be the one before:
// Summary.Skipped says so.
func Run(ctx, stop context.Context, repo *repository.Repository, o Options) (record.Archive, Summary, error) {
	r, err := newRun(repo, o)
	if err != nil {
		return record.Archive{}, Summary{}, err
	}
	r.stopping = func() bool { return stop.Err() != nil }
	begin := o.Now()
	if o.DryRun {
		err := r.compare(ctx)
		return record.Archive{}, r.summary(begin), err
	}
	a, err := r.write(ctx, stop, begin)
	s := r.summary(begin)
	if err == nil {
		s.Interrupted = a.Kind == record.Checkpoint // whatever came after
	}
	return a, s, err
}

func newRun(repo *repository.Repository, o Options) (*run, error) {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Uploads == 0 {
		o.Uploads = 3
	}
	if o.PackTarget == 0 {
		o.PackTarget = 8 << 20
	}
	if o.Level == 0 {
		o.Level = pack.Fastest
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = checkpointEvery
	}
	if o.Walk.LookAhead == 0 {
		o.Walk.LookAhead = 4 << 20
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	cut, err := chunker.New(repo.Keys.ChunkerKey(), chunker.Params{Unit: repo.Config.ChunkUnit})
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	r := &run{o: o, repo: repo, cut: cut, frameSize: int(repo.Config.FrameSize), progress: o.Progress, names: newNames()}
	n := 2*readers + o.Workers
	r.buffers = make(chan *buffer, n)
	for range n {
		r.buffers <- &buffer{}
	}
	return r, nil
}

// fixed returns how f is cut at fixed places, if it is.
func (r *run) fixed(f *source) (cut chunker.Fixed, ok bool) {
	size := uint32(0)
	if f.special {
		size = FixedUnit
	}
	if r.o.Fixed != nil {
		size = cmp.Or(r.o.Fixed(f.name()), size)
	}
	if size == 0 {
		return cut, false
	}
	if size == FixedUnit {
		size = r.repo.Config.FixedUnit
	}
	cut, err := chunker.NewFixed(size)
	return cut, err == nil
}

// CheckFixed returns an error if chunks cannot have this size, bytes.
func CheckFixed(size uint32) error {
	_, err := chunker.NewFixed(size)
	return err
}

// write makes the archive and commits it.
func (r *run) write(ctx, stop context.Context, begin time.Time) (a record.Archive, err error) {
	mine := r.mine()
	release, err := r.repo.Claim(&mine)
	if err != nil {
		return a, fmt.Errorf("back up: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := r.repo.Sync(stop); err != nil {
		return a, err
	}
	w, ctx, err := r.repo.Begin(ctx, stop)
	if err != nil {
		return a, err
	}
	defer func() {
		if err != nil { // what was claimed and not stored is not known
			r.repo.Index.Discard()
		}
		err = errors.Join(err, w.End(context.WithoutCancel(ctx)))
	}()
	r.checkpoints = checkpoints{writer: w, begin: begin, last: begin}
	for again := 0; ; again++ {
		root, err := r.store(ctx, stop, w)
		if err != nil {
			return a, err
		}
		if before, ok := r.repeated(root); ok {
			return before.Archive, nil
		}
		a = r.describe(root, begin)
		err = w.Commit(ctx, &record.Commit{Made: r.o.Now(), Archives: []record.Archive{a}, Removed: r.superseded()})
		if !errors.Is(err, repository.ErrGone) || again == rereads || stop.Err() != nil || r.o.Stream != nil {
			return a, err
		}
		// What the index no longer counts on is read again this time. What is
		// not there any more is not in the archive.
		r.progress.again()
	}
}

// rereads is how often a run goes through its roots again because others
// removed what it counted on.
const rereads = 3

// store reads and stores everything that the archive needs.
func (r *run) store(ctx, stop context.Context, w *repository.Writer) (archive.Root, error) {
	p, ctx := packer.New(ctx, packer.Options{
		Keys: r.repo.Keys, Store: r.repo.Backend(), Index: r.repo.Index,
		Entropy: r.entropy, Stats: &r.stored,
		FrameSize: r.frameSize, Target: r.o.PackTarget, Uploads: r.o.Uploads, Level: r.o.Level, Try: r.o.Try,
		Size:   r.repo.PackSize(),
		Before: func(ctx context.Context) error { return w.Ensure(ctx, stop) },
		Stored: r.repo.KeepPack,
	})
	r.packer = p
	root, err := r.fill(ctx)
	packs, closeErr := p.Close()
	if closeErr != nil {
		return root, closeErr // the cause; err is what it did to the others
	}
	w.Add(packs)
	return root, err
}

// entropy tells this run's packs from those of a machine cloned from this one.
func (r *run) entropy() []byte {
	return fmt.Appendf(nil, "%s %d %d", r.o.Archive.Host, os.Getpid(), r.o.Now().UnixNano())
}

// fill runs the stages, and hands everything they made to the Packer.
func (r *run) fill(ctx context.Context) (archive.Root, error) {
	framer, err := r.packer.NewFramer(objects.Data)
	if err != nil {
		return archive.Root{}, err
	}
	r.spill = &spill{cut: r.cut, packer: r.packer, data: framer}
	root, err := r.stages(ctx)
	if err != nil {
		return archive.Root{}, err
	}
	return root, r.spill.flush(ctx)
}

// stages runs walk, readers, workers and assembly until the tree is complete.
func (r *run) stages(ctx context.Context) (archive.Root, error) {
	group, ctx := errgroup.WithContext(ctx)
	var (
		work  = make(chan job, r.o.Workers)
		small = make(chan *batch)
		big   = make(chan *bigJob)
		slots = make(chan []*slot, runsAhead)
		root  archive.Root
		feed  sync.WaitGroup // of work: who opens ahead, the readers and the assembly
	)
	feed.Add(2 + readers)
	group.Go(func() error {
		defer close(slots)
		defer close(big)
		defer close(small)
		return r.scan(ctx, scan{slots: slots, small: small, big: big})
	})
	group.Go(func() error {
		defer feed.Done()
		return r.openAhead(ctx, small, work)
	})
	for range readers {
		group.Go(func() error {
			defer feed.Done()
			return r.readBig(ctx, big, work)
		})
	}
	group.Go(func() error {
		feed.Wait()
		close(work)
		return nil
	})
	for range r.o.Workers {
		group.Go(func() error { return r.work(ctx, work) })
	}
	group.Go(func() (err error) {
		defer feed.Done()
		root, err = r.assemble(ctx, slots, work, func(b *bigJob) {
			group.Go(func() error { return r.reader(work).read(ctx, b) })
		})
		return err
	})
	err := group.Wait()
	return root, err
}

func (r *run) scan(ctx context.Context, s scan) error {
	r.before = r.earlier()
	if r.o.Earlier != nil {
		r.o.Earlier(r.before)
	}
	previous := openPrevious(ctx, r.repo, r.before, r)
	defer previous.close()
	s.r, s.previous = r, previous
	s.lists = archive.NewReader(archive.Root{}, r.repo.NewMetaReader().Fetch(ctx))
	s.hasher, s.links = r.repo.Keys.NewHasher(), map[walk.FileID]*linkSet{}
	return s.run(ctx)
}

func (r *run) readBig(ctx context.Context, big <-chan *bigJob, work chan<- job) error {
	rd := r.reader(work)
	for b := range big {
		if err := rd.read(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) reader(work chan<- job) *reader { return &reader{r: r, cut: r.cut, work: work} }

func (r *run) work(ctx context.Context, work <-chan job) error {
	framer, err := r.packer.NewFramer(objects.Data)
	if err != nil {
		return err
	}
	w := &worker{r: r, cut: r.cut, framer: framer}
	return w.run(ctx, work)
}

func (r *run) assemble(ctx context.Context, slots <-chan []*slot, work chan<- job, read func(*bigJob)) (archive.Root, error) {
	framer, err := r.packer.NewFramer(objects.Meta)
	if err != nil {
		return archive.Root{}, err
	}
	a := newAssembly(ctx, framer, r.repo.Keys.TreeSeed(), r, work)
	a.read = read
	return a.run(ctx, slots)
}

func (r *run) note(path string) {
	if r.o.Note == nil {
		return
	}
	r.warning.Lock()
	defer r.warning.Unlock()
	r.o.Note(path)
}

func (r *run) warn(path string, err error) {
	r.progress.Warnings.Add(1)
	if r.o.Warn == nil {
		return
	}
	r.warning.Lock()
	defer r.warning.Unlock()
	r.o.Warn(path, err)
}
