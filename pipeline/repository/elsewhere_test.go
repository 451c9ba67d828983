package repository_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/objects"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
)

// interrupted is a store in which something happens at the first read of a header.
type interrupted struct {
	*mem.Store

	mu     sync.Mutex
	happen func() // nil: nothing, or it has; guarded by mu
}

func (i *interrupted) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if h := i.happen; h != nil && strings.HasPrefix(string(key), "packs/") && r.Off == 0 {
		i.happen = nil
		h()
	}
	return i.Store.Get(ctx, key, r)
}

// While a reader looks where others have moved a chunk to, they move it again, and
// delete what it is about to read the headers of: it looks once more.
func TestMovedTwice(t *testing.T) {
	t.Parallel()
	const many = 200 // packs: their headers are more than records carry
	s, key := newStore(t)
	here, there := newMachine(t, s, key), newMachine(t, s, key)
	slow := &interrupted{Store: s}
	here.backend = slow
	// move stores all chunks anew, and condemns and deletes the packs they were in.
	move := func() (old []objects.ID) {
		there.use(t, func(r *repository.Repository) {
			for p := range r.State().Packs.All() {
				old = append(old, p.ID)
			}
		})
		y := &synthetic{}
		y.run(t, there, many)
		if len(old) == 0 {
			return nil
		}
		there.condemn(t, old...)
		for _, k := range keys(t, s, "bundles/") {
			must(t, s.Delete(t.Context(), k))
		}
		for _, id := range old {
			must(t, s.Delete(t.Context(), packer.Key(id)))
		}
		return old
	}
	move()
	warnings := here.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		move()
		slow.happen = func() { move() }
		for n := many - 1; n >= 0; n-- { // the headers of the last ones come from packs
			chunk := chunkOf(n, 0)
			place, err := r.Lookup(t.Context(), chunk)
			must(t, err)
			for {
				_, err = r.Read(t.Context(), place.Pack, int64(place.Frame.Off), int64(place.Frame.Stored))
				if err == nil {
					break
				}
				if place, err = r.Elsewhere(t.Context(), chunk, place.Pack, err); err != nil {
					t.Fatalf("chunk of pack %d: %v", n, err)
				}
			}
		}
	})
	if len(warnings) > 0 {
		t.Errorf("got warnings %q, want none", warnings)
	}
}
