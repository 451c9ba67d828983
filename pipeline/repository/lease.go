package repository

import (
	"context"
	"errors"

	"cairn/locking"
	"cairn/objects/record"
)

// Watch looks at who holds the lease and who waits for it. It takes part in
// nothing.
func (r *Repository) Watch() *locking.Watch { return r.chain.Watch() }

// Break takes p out of holders and queue, and reports whether it was there. A
// run that is alive loses nothing by it: it queues again.
func (r *Repository) Break(ctx context.Context, p record.Participant) (bool, error) {
	return r.chain.Break(ctx, p)
}

// Hold waits until nobody else writes to the repository, and runs f while
// nobody can. The context that f is given ends with ctx, and with
// locking.ErrLeaseLost as its cause if another run takes the lease over,
// because this process was paused or cut off for too long.
func (r *Repository) Hold(ctx context.Context, f func(ctx context.Context) error) (err error) {
	lease, held, err := r.chain.Begin(ctx, locking.Run{
		Mode: record.Exclusive, Host: r.o.Host, User: r.o.User, Command: r.o.Command,
		Wait: r.o.Wait, Waiting: r.o.Waiting,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
	if err := lease.Ensure(held); err != nil {
		return err
	}
	return f(held)
}
