package repository

import (
	"context"
	"errors"
	"time"

	"cairn/objects"
	"cairn/objects/record"
)

// Delete removes archives from the repository. What only they need stays in the
// store until it is compacted. Archives that are not there any more are no
// error. Others who write are waited for until stop ends.
func (r *Repository) Delete(ctx, stop context.Context, made time.Time, archives ...objects.ID) (err error) {
	w, ctx, err := r.Begin(ctx, stop)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.End(context.WithoutCancel(ctx))) }()
	return w.Commit(ctx, &record.Commit{Made: made, Removed: archives})
}
