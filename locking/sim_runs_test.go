package locking_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/record"
)

// In the model there are so many chunks, everybody backs up some of them, and
// everybody can read any of them from his own files.
const allChunks = 10

// grace is that of the model: shorter than some runs take.
const grace = time.Hour

// patience is how long every run waits for one that is ahead. Nobody has to.
const patience = 24 * time.Hour

// process is one process of a host.
type process struct {
	*host
	name  string
	chain *locking.Chain
	cache *cache
}

// cache is what a process knows of the packs: its index.
type cache struct {
	at    locking.Mark
	packs map[objects.ID]bool
}

func newCache() *cache { return &cache{packs: map[objects.ID]bool{}} }

// load brings the cache to s. What it keeps besides are packs that the run has
// stored itself.
func (c *cache) load(s *record.State, own []record.Pack) {
	c.at = locking.Mark{Generation: s.Generation, Commit: s.Commit}
	clear(c.packs)
	for p := range s.Packs.All() {
		c.packs[p.ID] = true
	}
	for _, p := range own {
		c.packs[p.ID] = true
	}
}

// knows reports whether a chunk lies in a pack of the cache.
func (p *process) knows(chunk int) bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	for id := range p.cache.packs {
		if slices.Contains(p.chunks[id], chunk) {
			return true
		}
	}
	return false
}

// oneRun is one command.
func (p *process) oneRun(ctx context.Context, n int) {
	name := fmt.Sprint(p.name, ".", n)
	news, err := p.chain.Refresh(ctx)
	if err != nil {
		return
	}
	if p.cache.at == (locking.Mark{}) || p.chance(2, 3) {
		p.cache.load(news.State, nil)
	}
	switch p.intn(10) {
	case 0, 1, 2, 3:
		p.backup(ctx, name)
	case 4:
		p.remove(ctx, name)
	case 5, 6, 7:
		p.compact(ctx, name)
	case 8:
		p.sweep(ctx)
	case 9:
		p.exclusive(ctx, name)
	}
}

// begin begins a run.
func (p *process) begin(ctx context.Context, run locking.Run, name string) (*locking.Writer, context.Context, func()) {
	run.Host, run.Command, run.Wait, run.Base = p.name, name, patience, p.cache.at
	// Who is killed at the very moment of beginning is killed just after it.
	alive, die := context.WithCancelCause(context.WithoutCancel(ctx))
	w, running, err := p.chain.Begin(alive, run)
	if err != nil {
		panic(err)
	}
	stop := context.AfterFunc(ctx, func() { die(context.Cause(ctx)) })
	return w, running, func() { _ = w.Release(ctx); stop(); die(nil) }
}

// commit notes what a commit answered.
func (p *process) commit(c *record.Commit, run, label string, make func() error) error {
	c.Host, c.User = run, label
	err := make()
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.fates[label] = err
	switch {
	case errors.Is(err, locking.ErrOutcomeUnknown):
		p.tally.Unknown++
	case errors.Is(err, locking.ErrCondemned):
		p.violate("%s did all it should, and was refused: %v", label, err)
	case errors.Is(err, locking.ErrLocked):
		p.violate("%s waited for a day: %v", label, err)
	case errors.Is(err, locking.ErrMarkStale):
		p.tally.Stale++
	case err != nil:
		p.tally.Failed++
	}
	return err
}

// backup is one backup under way.
type backup struct {
	*process
	name    string
	w       *locking.Writer
	made    *record.Commit // the next commit
	claimed []int          // chunks that it counts on
	pending []record.Pack  // packs that it has stored and not committed
}

func (p *process) backup(ctx context.Context, name string) {
	b := &backup{process: p, name: name, made: &record.Commit{}}
	w, run, release := p.begin(ctx, locking.Run{Moved: b.moved}, name)
	defer release()
	defer func() {
		if len(b.pending) > 0 { // what was stored and not committed is not known
			p.cache = newCache()
		}
	}()
	b.w = w
	want := []int{p.intn(allChunks), p.intn(allChunks), p.intn(allChunks), p.intn(allChunks)}
	for i, chunk := range want {
		if p.work(run) != nil || b.claim(run, chunk) != nil {
			return
		}
		if i == 1 && p.chance(1, 3) { // a checkpoint, after which others may go first
			if b.finish(run, fmt.Sprint(name, " half"), record.Checkpoint, locking.Yield) != nil {
				return
			}
		}
	}
	if p.work(run) != nil || p.mishap(1, 10) {
		return
	}
	_ = b.finish(run, name, record.Full, locking.Release)
}

// claim makes sure that a chunk is stored.
func (b *backup) claim(ctx context.Context, chunk int) error {
	b.claimed = append(b.claimed, chunk)
	if b.knows(chunk) {
		return nil
	}
	if err := b.w.Ensure(ctx); err != nil {
		return b.ensured(err)
	}
	if b.w.Orphans() > 0 {
		if err := b.adopt(ctx); err != nil {
			return err
		}
	}
	if b.knows(chunk) {
		return nil // by now
	}
	return b.store(ctx, []int{chunk})
}

func (p *process) ensured(err error) error {
	if errors.Is(err, locking.ErrLocked) {
		p.fail("a run waited for a day: %v", err)
	}
	return err
}

// store stores chunks in a new pack, for the next commit.
func (b *backup) store(ctx context.Context, chunks []int) error {
	pack, err := b.putPack(ctx, chunks)
	if err != nil {
		return err
	}
	b.pending = append(b.pending, pack)
	b.cache.packs[pack.ID] = true
	b.made.Packs = b.pending
	return nil
}

// putPack stores a pack.
func (p *process) putPack(ctx context.Context, chunks []int) (record.Pack, error) {
	id := p.packName(chunks)
	var err error
	for range 4 {
		err = p.Put(ctx, packKey(id), []byte{1})
		if err == nil || errors.Is(err, backend.ErrExist) {
			return packOf(id), nil
		}
	}
	return record.Pack{}, err
}

// packName names a new pack: as nobody else names any, for its bytes are random.
func (p *process) packName(chunks []int) (id objects.ID) {
	if p.mutant == repeatedNames {
		id = sha256.Sum256(fmt.Append(nil, chunks))
	} else {
		id = sha256.Sum256(fmt.Append(nil, p.host.name, chunks, p.intn(math.MaxInt32), p.intn(math.MaxInt32)))
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	p.chunks[id] = slices.Clone(chunks)
	return id
}

func packOf(id objects.ID) record.Pack {
	return record.Pack{ID: id, Kind: objects.Data, Length: 1000, HeaderLen: 100}
}

// adopt takes over packs that nobody names.
func (b *backup) adopt(ctx context.Context) error {
	news, err := b.chain.Refresh(ctx)
	if err != nil {
		return err
	}
	for info, err := range b.List(ctx, "packs/") {
		if err != nil {
			return err
		}
		id, ok := parsePackKey(info.Key)
		if !ok || !locking.MayAdopt(news.State, id) && !b.forgot(id) || b.cache.packs[id] {
			continue
		}
		b.pending = append(b.pending, packOf(id))
		b.cache.packs[id] = true
		b.count(func(t *tally) { t.Adopted++ })
	}
	b.made.Packs = b.pending
	b.w.Adopted()
	return nil
}

// forgot reports whether a mutant has forgotten that id is condemned, since it
// was swept.
func (p *process) forgot(id objects.ID) bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.mutant == forgottenNames && p.swept[id]
}

// moved brings the backup to what others did meanwhile: it stores again what it
// counts on and no live pack holds.
func (b *backup) moved(ctx context.Context, news locking.News) error {
	b.count(func(t *tally) { t.Moved++ })
	if news.Since.Generation > b.cache.at.Generation {
		b.fail("%s was shown what came after %s, and knew %s", b.name, news.Since, b.cache.at)
	}
	b.pending = slices.DeleteFunc(b.pending, func(p record.Pack) bool {
		return news.State.Condemned.Has(p.ID) && !b.forgot(p.ID)
	})
	b.cache.load(news.State, b.pending)
	b.made.Packs = b.pending
	for _, chunk := range b.claimed {
		if b.knows(chunk) {
			continue
		}
		b.count(func(t *tally) { t.Replaced++ })
		if err := b.w.Ensure(ctx); err != nil {
			return err
		}
		if err := b.store(ctx, []int{chunk}); err != nil {
			return err
		}
	}
	return nil
}

// finish commits an archive of what is claimed.
func (b *backup) finish(ctx context.Context, label string, kind record.ArchiveKind, after locking.After) error {
	b.made.Archives = []record.Archive{withChunks(record.Archive{Kind: kind, Name: label}, b.claimed)}
	err := b.process.commit(b.made, b.name, label, func() error { return b.w.Commit(ctx, b.made, after) })
	if err == nil {
		b.made, b.pending = &record.Commit{}, nil
		err = b.remember(ctx)
	}
	return err
}

// remember brings the cache to the state after a commit of the run.
func (p *process) remember(ctx context.Context) error {
	news, err := p.chain.Known(ctx)
	if err == nil && news.State == nil {
		news, err = p.chain.Refresh(ctx)
	}
	if err != nil {
		p.cache = newCache()
		return err
	}
	p.cache.load(news.State, nil)
	return nil
}

// remove removes archives.
func (p *process) remove(ctx context.Context, name string) {
	w, run, release := p.begin(ctx, locking.Run{}, name)
	defer release()
	news, err := p.chain.Refresh(ctx)
	if err != nil || news.State.Archives.Len() == 0 {
		return
	}
	c := &record.Commit{}
	for a := range news.State.Archives.All() {
		if p.chance(1, 2) {
			c.Removed = append(c.Removed, a.ID)
		}
	}
	if p.commit(c, name, name, func() error { return w.Commit(run, c, locking.Release) }) == nil {
		p.count(func(t *tally) { t.Removed += len(c.Removed) })
	}
}

// compact condemns what no archive needs.
func (p *process) compact(ctx context.Context, name string) {
	shown := func(context.Context, locking.News) error { return nil }
	w, run, release := p.begin(ctx, locking.Run{Moved: shown}, name)
	defer release()
	for try := range 3 {
		basis, state, err := w.Basis(run)
		if err != nil {
			_ = p.ensured(err)
			return
		}
		c, err := p.mark(run, state)
		if err != nil || len(c.Condemned) == 0 || p.work(run) != nil {
			return
		}
		if p.mutant == notCondemned {
			for _, id := range c.Condemned {
				_ = p.Delete(run, packKey(id))
			}
			return
		}
		label := fmt.Sprint(name, " try ", try)
		err = p.commit(c, name, label, func() error { return w.Condemn(run, c, basis, locking.Release) })
		if !errors.Is(err, locking.ErrMarkStale) {
			return
		}
	}
}

// mark finds what no archive of s needs, and sometimes moves what is needed out
// of a pack.
func (p *process) mark(ctx context.Context, s *record.State) (*record.Commit, error) {
	c, place := &record.Commit{}, p.places(s)
	var moving objects.ID
	for named := range s.Packs.All() {
		if _, needed := place[named.ID]; !needed {
			c.Condemned = append(c.Condemned, named.ID)
		} else if p.chance(1, 4) {
			moving = named.ID
		}
	}
	if chunks := place[moving]; len(chunks) > 0 {
		pack, err := p.putPack(ctx, chunks)
		if err != nil {
			return nil, err
		}
		c.Packs, c.Condemned = []record.Pack{pack}, append(c.Condemned, moving)
		p.count(func(t *tally) { t.Rewritten++ })
	}
	if p.chance(1, 3) { // what nobody names, be it of a run under way
		for info := range p.List(ctx, "packs/") {
			id, ok := parsePackKey(info.Key)
			if ok && locking.MayAdopt(s, id) && (len(c.Packs) == 0 || c.Packs[0].ID != id) {
				c.Condemned = append(c.Condemned, id)
			}
		}
	}
	return c, nil
}

// places says which pack is to keep each chunk that an archive of s needs.
func (p *process) places(s *record.State) map[objects.ID][]int {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	keep, done := map[objects.ID][]int{}, map[int]bool{}
	for a := range s.Archives.All() {
		for _, chunk := range chunksOf(&a.Archive) {
			if done[chunk] {
				continue
			}
			for pack := range s.Packs.All() {
				if slices.Contains(p.chunks[pack.ID], chunk) {
					keep[pack.ID], done[chunk] = append(keep[pack.ID], chunk), true
					break
				}
			}
		}
	}
	return keep
}

// sweep deletes what was condemned long enough ago.
func (p *process) sweep(ctx context.Context) {
	news, err := p.chain.Refresh(ctx)
	if err != nil {
		return
	}
	left := map[time.Time]bool{} // by the date of the record
	for id := range news.State.Condemned.All() {
		p.world.mu.Lock()
		date := p.condemned[id]
		p.world.mu.Unlock()
		if _, err := p.world.store.Stat(ctx, packKey(id)); err != nil {
			continue
		}
		if !locking.MaySweep(date, time.Now(), grace) || p.Delete(ctx, packKey(id)) != nil {
			left[date] = true
		}
	}
	_ = p.chain.Swept(ctx, news.Head, uint64(len(left)))
}

// exclusive makes two commits that nobody is to come between.
func (p *process) exclusive(ctx context.Context, name string) {
	w, run, release := p.begin(ctx, locking.Run{Mode: record.Exclusive}, name)
	defer release()
	if err := w.Ensure(run); err != nil {
		_ = p.ensured(err)
		return
	}
	for i, after := range []locking.After{locking.Keep, locking.Release} {
		if p.work(run) != nil {
			return
		}
		c, label := &record.Commit{}, fmt.Sprint(name, " part ", i)
		if p.commit(c, name, label, func() error { return w.Commit(run, c, after) }) != nil {
			return
		}
	}
}

// setPolicy is the first commit of a world.
func (h *host) setPolicy(ctx context.Context) {
	p := h.process(h.name+"/first", func() {})
	c := &record.Commit{Settings: []record.Setting{{Name: locking.WritersSetting, Value: []byte(h.writers.String())}}}
	w, run, release := p.begin(ctx, locking.Run{}, "first")
	defer release()
	if err := p.commit(c, "first", "first", func() error { return w.Commit(run, c, locking.Release) }); err != nil {
		panic(err)
	}
}

// last makes a backup, for which nobody is in the way for long.
func (h *host) last(ctx context.Context) {
	p := h.process(h.name+"/last", func() {})
	b := &backup{process: p, name: "last", made: &record.Commit{}}
	news, err := p.chain.Refresh(ctx)
	if err != nil {
		h.fail("the last run: %v", err)
		return
	}
	p.cache.load(news.State, nil)
	w, run, release := p.begin(ctx, locking.Run{Moved: b.moved}, "last")
	defer release()
	b.w = w
	start := time.Now()
	if err := w.Ensure(run); err != nil {
		h.fail("the last run: %v", err)
	}
	// A dead holder and dead tickets are watched at the same time.
	if waited := time.Since(start); waited > 9*time.Minute {
		h.fail("the last run waited %s for the dead", waited)
	}
	for chunk := range allChunks {
		if err := b.claim(run, chunk); err != nil {
			h.fail("the last run: %v", err)
		}
	}
	if err := b.finish(run, "last", record.Full, locking.Release); err != nil {
		h.fail("the last run: %v", err)
	}
}
