package locking_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/record"
)

// What must be true of every commit and every delete, whoever makes it.

// sawCommit holds the rules of a swap that commits. It needs mu.
func (w *world) sawCommit(ctx context.Context, by string, prev, next *record.Head) {
	if next.Generation == prev.Generation {
		if next.Commit != prev.Commit {
			w.violate("%s replaced generation %d", by, prev.Generation)
		}
		return
	}
	w.tally.Commits++
	r, err := w.open().Record(ctx, locking.Mark{Generation: next.Generation, Commit: next.Commit})
	if err != nil {
		w.violate("%s committed a record that is not there: %v", by, err)
		return
	}
	if err := w.state.Apply(next.Commit, r); err != nil {
		w.violate("%s committed %s out of order: %v", by, r.User, err)
		return
	}
	mine := func(p record.Participant) bool { return p.Command == r.Host }
	if !slices.ContainsFunc(prev.Holders, mine) {
		for _, p := range slices.Concat(prev.Holders, prev.Queue) {
			if w.exclude(record.Participant{Mode: record.Append}, p) {
				w.violate("%s committed without being a holder, beside %s", r.User, p.Command)
			}
		}
	}
	if slices.ContainsFunc(next.Queue, mine) {
		w.tally.Yields++
	}
	if len(r.Condemned) > 0 {
		w.sawCondemned(ctx, prev, next, r)
	}
	if len(r.Archives)+len(r.Condemned) > 0 {
		w.wantAll(ctx, r.User)
	}
}

// sawCondemned holds the rules of a commit that condemns. It needs mu.
func (w *world) sawCondemned(ctx context.Context, prev, next *record.Head, r *record.Commit) {
	w.tally.Condemned++
	if next.GC != prev.GC+1 || next.Unswept != prev.Unswept+1 {
		w.violate("%s condemned, and head does not count it", r.User)
	}
	info, err := w.store.Stat(ctx, backend.Key(record.CommitKey(next.Generation, next.Commit)))
	if err != nil {
		w.violate("%s: %v", r.User, err)
	}
	for _, id := range r.Condemned {
		if _, again := w.condemned[id]; !again {
			w.condemned[id] = info.ModTime
		}
	}
}

// wantAll wants every archive to have every chunk in a pack that is live and
// there. It needs mu.
func (w *world) wantAll(ctx context.Context, when string) {
	there := map[int]bool{}
	for p := range w.state.Packs.All() {
		if _, err := w.store.Stat(ctx, packKey(p.ID)); err != nil {
			continue
		}
		for _, c := range w.chunks[p.ID] {
			there[c] = true
		}
	}
	for a := range w.state.Archives.All() {
		for _, c := range chunksOf(&a.Archive) {
			if !there[c] {
				w.violate("%s: archive %s lacks chunk %d%s", when, a.Name, c, w.whereabouts(c))
			}
		}
	}
}

// wantUnswept wants h to count every condemning commit whose packs are there
// and were never deleted. It needs mu.
func (w *world) wantUnswept(ctx context.Context, h *record.Head) {
	left := map[time.Time]bool{}
	for id, date := range w.condemned {
		if _, err := w.store.Stat(ctx, packKey(id)); err == nil && !w.swept[id] {
			left[date] = true
		}
	}
	if h.Unswept < uint64(len(left)) {
		w.violate("head counts %d unswept commits, and there are %d", h.Unswept, len(left))
	}
}

// whereabouts says what became of the packs that hold a chunk. It needs mu.
func (w *world) whereabouts(chunk int) string {
	var b strings.Builder
	for id, chunks := range w.chunks {
		if slices.Contains(chunks, chunk) {
			live := w.state.Packs.Has(id)
			_, missing := w.store.Stat(context.Background(), packKey(id))
			fmt.Fprintf(&b, "; pack %s: live %t, condemned %v, there %t", id.Short(), live, w.condemned[id], missing == nil)
		}
	}
	return b.String()
}

// delete applies a delete, and holds that nothing live goes.
func (w *world) delete(key backend.Key) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id, ok := parsePackKey(key); ok {
		if w.state.Packs.Has(id) {
			w.violate("a live pack was deleted")
		}
		if _, dead := w.condemned[id]; dead {
			w.tally.Swept++
			w.swept[id] = true
		}
	}
	return w.store.Delete(context.Background(), key)
}

// put applies a put.
func (w *world) put(key backend.Key, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id, ok := parsePackKey(key); ok && w.swept[id] {
		w.tally.Risen++
	}
	return w.store.Put(context.Background(), key, data)
}

func packKey(id objects.ID) backend.Key {
	return backend.Key(fmt.Sprintf("packs/%s/%s", id.String()[:2], id))
}

func parsePackKey(key backend.Key) (objects.ID, bool) {
	name, ok := strings.CutPrefix(string(key), "packs/")
	if !ok {
		return objects.ID{}, false
	}
	id, err := objects.ParseID(name[3:])
	return id, err == nil
}

// In the model an archive's comment lists its chunks.
func withChunks(a record.Archive, chunks []int) record.Archive {
	a.Comment = fmt.Sprint(chunks)
	return a
}

func chunksOf(a *record.Archive) []int {
	var chunks []int
	for _, s := range strings.Fields(strings.Trim(a.Comment, "[]")) {
		var n int
		fmt.Sscan(s, &n)
		chunks = append(chunks, n)
	}
	return chunks
}
