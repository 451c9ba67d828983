package repository

import (
	"context"
	"fmt"

	"cairn/objects"
)

// settleAbsent finds out about packs that the store does not have: whether they
// were condemned since State was read, and deleted. What is really missing is
// warned about. If State has moved on, Sync has to begin again with it.
func (r *Repository) settleAbsent(ctx context.Context) (again bool, err error) {
	r.doubting.Lock()
	absent := r.absent
	r.absent = nil
	r.doubting.Unlock()
	if len(absent) == 0 {
		return false, nil
	}
	before := r.State().Commit
	if err := r.Refresh(ctx); err != nil {
		return false, err
	}
	state := r.State()
	for id, err := range absent {
		if state.Condemned.Has(id) {
			r.doubting.Lock()
			delete(r.doubted, id)
			r.doubting.Unlock()
			continue
		}
		r.warnDoubt(id, err)
	}
	return state.Commit != before, nil
}

// tellAbsent warns about packs that the store does not have.
func (r *Repository) tellAbsent() {
	r.doubting.Lock()
	absent := r.absent
	r.absent = nil
	r.doubting.Unlock()
	for id, err := range absent {
		r.warnDoubt(id, err)
	}
}

func (r *Repository) warnDoubt(id objects.ID, err error) {
	r.warn(fmt.Errorf("pack %s cannot be used, run cairn check to see what it held: %w", id, err))
}
