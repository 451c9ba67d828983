package repository_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/index"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
)

// sideBySide returns machines that may write at the same time, and archives that
// one of them has made, with a chunk of each.
func sideBySide(t *testing.T) (here, there *machine, one, two objects.ID) {
	t.Helper()
	s, key := newStore(t)
	here, there = newMachine(t, s, key), newMachine(t, s, key)
	one, two = here.backup(t, "one"), here.backup(t, "two")
	here.use(t, func(r *repository.Repository) {
		_, err := r.Set(t.Context(), locking.WritersSetting, locking.Parallel.String(), time.Now())
		must(t, err)
	})
	return here, there, one, two
}

// writing begins a run that holds the lease.
func writing(t *testing.T, r *repository.Repository) (*repository.Writer, context.Context) {
	t.Helper()
	must(t, r.Sync(t.Context()))
	w, ctx, err := r.Begin(t.Context(), t.Context())
	must(t, err)
	must(t, w.Ensure(ctx, ctx))
	return w, ctx
}

// like returns an archive of another name with the tree of one that is there.
func like(t *testing.T, r *repository.Repository, name string, kind record.ArchiveKind) record.Archive {
	t.Helper()
	a, err := r.Find(name)
	must(t, err)
	again := a.Archive
	again.Name, again.Kind = "like "+name, kind
	return again
}

// A run takes over what an older archive has. Then that is deleted, and what it
// needed condemned. The run makes a checkpoint that has nothing of it yet, and then
// its archive, which has: what that needs is stored anew.
func TestCondemnedBeforeCheckpoint(t *testing.T) {
	t.Parallel()
	here, there, one, _ := sideBySide(t)
	here.use(t, func(r *repository.Repository) {
		w, ctx := writing(t, r)
		whole, part := like(t, r, "one", record.Full), like(t, r, "two", record.Checkpoint)
		place, err := r.Lookup(ctx, one)
		must(t, err)
		there.use(t, func(r *repository.Repository) {
			a, err := r.Find("one")
			must(t, err)
			must(t, r.Delete(t.Context(), t.Context(), time.Now(), a.ID))
		})
		there.condemn(t, place.Pack)
		made, err := w.Checkpoint(ctx, &record.Commit{Made: time.Now(), Archives: []record.Archive{part}})
		if !made || err != nil {
			t.Fatalf("checkpoint: got %v, %v, want that it was made", made, err)
		}
		must(t, w.Commit(ctx, &record.Commit{Made: time.Now(), Archives: []record.Archive{whole}}))
		must(t, w.End(t.Context()))
	})
	newMachine(t, here.store, here.key).finds(t, one)
}

// What was condemned after the index was loaded and before the run began is held
// against its commit, also if the process has read of it for another purpose.
func TestCondemnedBeforeBegin(t *testing.T) {
	t.Parallel()
	here, there, one, _ := sideBySide(t)
	here.use(t, func(r *repository.Repository) {
		must(t, r.Sync(t.Context()))
		whole := like(t, r, "one", record.Full)
		place, err := r.Lookup(t.Context(), one)
		must(t, err)
		there.use(t, func(r *repository.Repository) {
			a, err := r.Find("one")
			must(t, err)
			must(t, r.Delete(t.Context(), t.Context(), time.Now(), a.ID))
		})
		there.condemn(t, place.Pack)
		_, err = r.Watch().Look(t.Context())
		must(t, err)
		w, ctx, err := r.Begin(t.Context(), t.Context())
		must(t, err)
		must(t, w.Commit(ctx, &record.Commit{Made: time.Now(), Archives: []record.Archive{whole}}))
		must(t, w.End(t.Context()))
	})
	newMachine(t, here.store, here.key).finds(t, one)
}

// onItsWay returns a pack with a chunk that is nowhere else, and its header.
func onItsWay() (p index.Pack, h *pack.Header, chunk objects.ID) {
	p = index.Pack{ID: objects.ID{1}, Kind: objects.Data, Len: 1000, HeaderLen: 100}
	chunk = objects.ID{2}
	return p, &pack.Header{
		Kind: objects.Data, Keys: []pack.Key{{AEAD: crypt.AES256GCM, Epoch: 1}},
		Frames: []pack.Frame{{Stored: 100, Raw: 84, Count: 1}}, Chunks: []pack.Chunk{{ID: chunk, Len: 84}},
	}, chunk
}

// A pack is condemned while the run that stores it has no answer yet: another one
// has seen and adopted it. When the answer comes it vouches for nothing.
func TestCondemnedOnItsWay(t *testing.T) {
	t.Parallel()
	here, there, _, _ := sideBySide(t)
	mine, header, chunk := onItsWay()
	here.use(t, func(r *repository.Repository) {
		w, ctx := writing(t, r)
		if !r.Index.Claim(chunk) {
			t.Fatal("the chunk is known already")
		}
		there.condemn(t, mine.ID)
		must(t, r.Refresh(ctx))
		made, err := w.Checkpoint(ctx, &record.Commit{Made: time.Now()}) // shows what is new
		if !made || err != nil {
			t.Fatalf("checkpoint: got %v, %v, want that it was made", made, err)
		}
		must(t, r.Index.Add(mine, header))
		if known, err := r.Index.Has(chunk); known || err != nil {
			t.Errorf("got known %v, %v, want that it is not", known, err)
		}
		if !r.Index.Claim(chunk) {
			t.Error("nobody is to store the chunk anew")
		}
		must(t, w.End(t.Context()))
	})
}

// The answer comes while the run takes in what others have committed: it vouches
// for nothing then, too.
func TestCondemnedAsItArrives(t *testing.T) {
	t.Parallel()
	here, there, _, _ := sideBySide(t)
	slow := &interrupted{Store: here.store}
	here.backend = slow
	mine, header, chunk := onItsWay()
	here.use(t, func(r *repository.Repository) {
		w, ctx := writing(t, r)
		if !r.Index.Claim(chunk) {
			t.Fatal("the chunk is known already")
		}
		y := &synthetic{}
		y.run(t, there, 200) // packs: their headers are more than records carry
		for _, k := range keys(t, here.store, "bundles/") {
			must(t, here.store.Delete(t.Context(), k))
		}
		there.condemn(t, mine.ID)
		arrived := false
		slow.happen = func() {
			arrived = true
			must(t, r.Index.Add(mine, header))
		}
		made, err := w.Checkpoint(ctx, &record.Commit{Made: time.Now()}) // shows what is new
		if !made || err != nil || !arrived {
			t.Fatalf("checkpoint: got %v, %v, and %v that a header was read, want all of it", made, err, arrived)
		}
		if known, err := r.Index.Has(chunk); known || err != nil {
			t.Errorf("got known %v, %v, want that it is not", known, err)
		}
		must(t, w.End(t.Context()))
	})
}

// What an interrupted run has left is swept by others while this one is about to
// take it over. It does without.
func TestSweptBeforeAdopted(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]mem.Op{"before it is read": mem.Get, "before it is made durable": mem.Put} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, key := newStore(t)
			here, there := newMachine(t, s, key), newMachine(t, s, key)
			here.use(t, func(r *repository.Repository) {
				w, _ := writing(t, r)
				many().store(t, r, w, 2)
				must(t, w.End(t.Context()))
			})
			left := keys(t, s, "packs/")
			var swept atomic.Bool
			s.Hook = func(op mem.Op, key backend.Key, at mem.Moment) error {
				if op == moment && at == mem.Before && key == left[0] && !swept.Swap(true) {
					return s.Delete(t.Context(), key)
				}
				return nil
			}
			there.use(t, func(r *repository.Repository) {
				w, _ := writing(t, r)
				if got := w.Adopted(); len(got) != 1 || packer.Key(got[0]) != left[1] {
					t.Errorf("got %v taken over, want %v", got, left[1:])
				}
				must(t, w.End(t.Context()))
			})
			if got := keys(t, s, "packs/"); !swept.Load() || !slices.Equal(got, left[1:]) {
				t.Errorf("got swept %v and packs %v, want %v", swept.Load(), got, left[1:])
			}
		})
	}
}
