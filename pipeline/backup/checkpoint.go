package backup

import (
	"context"
	"sync/atomic"
	"time"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/record"
	"cairn/pipeline/repository"
)

// checkpointEvery is how long a run goes on before it commits what it has
// reached, unless Options say otherwise.
const checkpointEvery = 5 * time.Minute

// checkpoints is what a run remembers of those it has made. It is the
// assembly's, but for made, which the end of the run reads.
type checkpoints struct {
	writer *repository.Writer
	begin  time.Time // of the run
	last   time.Time // of the last one, or of the run
	packs  uint64    // that were stored by then
	made   []objects.ID
}

// checkpointDue reports whether it is time for a checkpoint, and there is
// something that would have to be read again without one.
func (r *run) checkpointDue() bool {
	return r.o.Now().Sub(r.checkpoints.last) >= r.o.CheckpointEvery &&
		r.stored.Packs.Load() > r.checkpoints.packs
}

// checkpoint commits the entries that the assembly has taken, and of partial,
// unless it is nil, what was stored of its content. The run goes on from there.
func (a *assembly) checkpoint(ctx context.Context, partial *archive.Entry) error {
	tree := a.tree.Fork()
	if partial != nil {
		if err := tree.Add(partial); err != nil {
			return err
		}
	}
	root, err := tree.Finish()
	if err != nil {
		return err
	}
	if err := a.framer.Flush(ctx); err != nil {
		return err
	}
	if err := a.settle(ctx); err != nil {
		return err
	}
	return a.r.commitCheckpoint(ctx, root)
}

// settle makes every chunk durable that an entry of the assembly names. Some
// are still being gathered by a worker, which need not be the one that had the
// entry's file.
func (a *assembly) settle(ctx context.Context) error {
	m := &meeting{expected: int64(a.r.o.Workers), all: make(chan struct{})}
	for range a.r.o.Workers {
		if err := send(ctx, a.work, job{meeting: m}); err != nil {
			return err
		}
	}
	if err := wait(ctx, m.all); err != nil {
		return err
	}
	if err := a.r.spill.flush(ctx); err != nil {
		return err
	}
	return a.r.packer.Settle(ctx)
}

// A meeting is a job for every worker at once: each seals what it has gathered,
// and waits for the others, so that none takes the job of another.
type meeting struct {
	expected int64
	arrived  atomic.Int64
	all      chan struct{} // closed when everybody has arrived
}

func (w *worker) meet(ctx context.Context, m *meeting) error {
	if err := w.framer.Flush(ctx); err != nil {
		return err
	}
	if m.arrived.Add(1) == m.expected {
		close(m.all)
	}
	return wait(ctx, m.all)
}

// commitCheckpoint commits root in place of the checkpoint before it. One that
// cannot get its turn is left out: the run's own commit waits, this one does not.
func (r *run) commitCheckpoint(ctx context.Context, root archive.Root) error {
	c := &r.checkpoints
	d := r.describe(root, c.begin)
	d.Kind = record.Checkpoint
	stored := r.stored.Packs.Load()
	c.writer.Add(r.packer.Take())
	made, err := c.writer.Checkpoint(ctx, &record.Commit{
		Made: d.End, Archives: []record.Archive{d}, Removed: r.superseded(),
	})
	c.last = r.o.Now()
	if err != nil || !made {
		return err
	}
	c.packs, c.made = stored, []objects.ID{d.ID(r.repo.Keys.NewHasher())}
	r.progress.Checkpoints.Add(1)
	return nil
}

// partial returns the entry of a file that is still being read: its extents so
// far are in content. It is nil if there are none.
func partial(e *archive.Entry, content *archive.ContentWriter) (*archive.Entry, error) {
	so, err := content.Fork().Finish()
	if err != nil || so.Size() == 0 {
		return nil, err
	}
	p := *e
	p.Content, p.Size, p.Partial = so, so.Size(), true
	return &p, nil
}
