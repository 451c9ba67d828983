package repository

import (
	"context"
	"errors"
	"fmt"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
)

// Elsewhere returns where chunk id is now, after reading it from pack gone has
// answered err. Readers take no lease, so packs that others have emptied and
// condemned may be deleted under them. If it is not that, err is returned;
// nobody is asked twice about one pack. What it returns may be gone in its
// turn: a pack at a time, so that asking again comes to an end.
func (r *Repository) Elsewhere(ctx context.Context, id, gone objects.ID, err error) (index.Place, error) {
	if !errors.Is(err, backend.ErrNotExist) {
		return index.Place{}, err
	}
	r.moving.Lock()
	defer r.moving.Unlock()
	place, lookErr := r.Lookup(ctx, id)
	if lookErr == nil && place.Pack != gone {
		return place, nil // somebody has asked before
	}
	if !r.State().Condemned.Has(gone) && !r.missed[gone] {
		if err := r.Refresh(ctx); err != nil {
			return index.Place{}, fmt.Errorf("look for what was moved from pack %s: %w", gone, err)
		}
	}
	if !r.State().Condemned.Has(gone) {
		if r.missed == nil {
			r.missed = map[objects.ID]bool{}
		}
		r.missed[gone] = true
		return index.Place{}, err
	}
	if err := r.catchUp(ctx); err != nil {
		return index.Place{}, fmt.Errorf("look for what was moved from pack %s: %w", gone, err)
	}
	place, lookErr = r.Lookup(ctx, id)
	if lookErr != nil || place.Pack == gone {
		return index.Place{}, fmt.Errorf("it was removed from the repository meanwhile: %w", err)
	}
	return place, nil
}

// catchUp brings the index to State, and State on to where the packs are that
// others have deleted in the middle of that.
func (r *Repository) catchUp(ctx context.Context) error {
	for {
		if err := r.bring(ctx, r.State()); err != nil {
			return err
		}
		again, err := r.settleAbsent(ctx)
		if err != nil || !again {
			return err
		}
	}
}
