package locking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/record"
)

// ErrHeadWhole: head is there and leads to every record that it needs.
var ErrHeadWhole = errors.New("the repository's head is whole: there is nothing to rebuild")

// A Survey is what the commit records of a repository add up to whose head is
// lost, or leads to a record that is (PROTOCOL.md §12).
type Survey struct {
	Tip  Mark      // the newest record of the line that is taken for the chain; zero: none leads to a whole state
	Made time.Time // when it was committed, by its host's clock

	// State is that after Tip, with the packs that records beside the line have
	// added, and without what these have removed or condemned. Its own mark
	// means nothing.
	State *record.State

	// Beside are archives of records that are not on the line and may have been in
	// effect, the oldest first. What they need may be gone.
	Beside  []record.Archive
	Damaged []error // records that cannot be read

	chain *Chain
	nodes map[Mark]*node
	line  map[Mark]bool
	base  uint64 // the generation from which the line is known
	tag   backend.Tag
	tip   *record.State // after Tip
	add   record.Commit // what Rebuild adds to the line
}

// node is one record that is there.
type node struct {
	link   Link
	stored time.Time // by the store's clock
	parent bool      // another record follows it: head was here for certain
}

// Survey reads every commit record, if head does not lead to them.
func (c *Chain) Survey(ctx context.Context) (*Survey, error) {
	_, err := c.Refresh(ctx)
	switch {
	case err == nil:
		return nil, ErrHeadWhole
	case !errors.Is(err, ErrNoHead) && !objects.IsCorrupt(err) && !errors.Is(err, backend.ErrNotExist):
		return nil, err
	}
	s := &Survey{chain: c, nodes: map[Mark]*node{}, line: map[Mark]bool{}}
	_, s.tag, err = c.options.Register.Load(ctx, "")
	if err != nil && !errors.Is(err, backend.ErrNotExist) {
		return nil, fmt.Errorf("load head: %w", err)
	}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	if err := s.choose(); err != nil {
		return nil, err
	}
	s.takeBeside()
	return s, nil
}

// read reads all records that are there.
func (s *Survey) read(ctx context.Context) error {
	records := s.chain.records
	var group errgroup.Group
	group.SetLimit(fetchWidth)
	found := newGate()
	for info, err := range records.store.List(ctx, "commits/") {
		if err != nil {
			return fmt.Errorf("list commit records: %w", err)
		}
		gen, id, err := record.ParseCommitKey(string(info.Key))
		if err != nil {
			continue // nothing of ours
		}
		at := Mark{Generation: gen, Commit: id}
		group.Go(func() error {
			r, err := records.get(ctx, at)
			if err != nil && !objects.IsCorrupt(err) && !errors.Is(err, backend.ErrNotExist) {
				return err
			}
			if err := found.enter(ctx); err != nil {
				return err
			}
			defer found.leave()
			if err != nil {
				s.Damaged = append(s.Damaged, err)
				return nil
			}
			s.nodes[at] = &node{link: Link{At: at, Record: r}, stored: info.ModTime}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, n := range s.nodes {
		if p := s.nodes[n.link.prev()]; p != nil {
			p.parent = true
		}
	}
	return nil
}

// choose takes the line for the chain that leads furthest from the beginning
// or a snapshot; one that this machine has seen before all others. Where none
// does, that is the beginning itself, with nothing in it, and what records are
// left are beside it.
func (s *Survey) choose() error {
	var seen Mark
	if w := s.chain.options.Witness; w != nil {
		seen, _ = w.Mark() // it only helps to choose
	}
	var best []*node // from the tip down to where the state is known
	var bestSeen bool
	for _, n := range s.nodes {
		line, grounded := s.down(n)
		if !grounded {
			continue
		}
		has := slices.ContainsFunc(line, func(n *node) bool { return n.link.At == seen })
		if best == nil || has != bestSeen && has || has == bestSeen && later(n, best[0]) {
			best, bestSeen = line, has
		}
	}
	switch {
	case best != nil:
		return s.follow(best)
	case len(s.nodes) == 0 && len(s.Damaged) > 0:
		return fmt.Errorf("head is lost, and no commit record can be read: %w", errors.Join(s.Damaged...))
	}
	s.tip = record.NewState(s.chain.options.Keys)
	return nil
}

// down returns the line from n down to the first snapshot or the beginning, and
// whether it gets there.
func (s *Survey) down(n *node) (line []*node, grounded bool) {
	for n != nil {
		line = append(line, n)
		if n.link.Record.Snapshot != nil || n.link.At.Generation == 1 {
			return line, true
		}
		n = s.nodes[n.link.prev()]
	}
	return line, false
}

// later reports whether a is the better tip than b.
func later(a, b *node) bool {
	switch {
	case a.link.At.Generation != b.link.At.Generation:
		return a.link.At.Generation > b.link.At.Generation
	case !a.stored.Equal(b.stored):
		return a.stored.After(b.stored)
	}
	return a.link.At.Commit.Compare(b.link.At.Commit) < 0
}

// follow makes line the one that is taken for the chain.
func (s *Survey) follow(line []*node) error {
	s.Tip, s.Made = line[0].link.At, line[0].link.Record.Made
	s.tip = record.NewState(s.chain.options.Keys)
	ground := line[len(line)-1]
	s.base = ground.link.At.Generation
	for _, n := range slices.Backward(line) {
		var err error
		if n == ground && n.link.Record.Snapshot != nil {
			err = s.tip.Load(n.link.At.Commit, n.link.Record)
		} else {
			err = s.tip.Apply(n.link.At.Commit, n.link.Record)
		}
		if err != nil {
			return err
		}
	}
	for n := line[0]; n != nil; n = s.nodes[n.link.prev()] {
		s.line[n.link.At] = true
	}
	return nil
}

// mayHaveCounted reports whether head may have been at n, which is not on the
// line. It was if another record follows it. It was not if one follows another
// record of its generation, and none follows it: the first was there instead.
func (s *Survey) mayHaveCounted(n *node) bool {
	if n.parent {
		return true
	}
	for _, other := range s.nodes {
		if other.link.At.Generation == n.link.At.Generation && other.parent {
			return false
		}
	}
	return true
}

// takeBeside collects what the records beside the line say, as far as they may
// have been in effect: what they condemn or remove counts, for it may be gone.
func (s *Survey) takeBeside() {
	var beside []*node
	for at, n := range s.nodes {
		if !s.line[at] && at.Generation >= s.base && s.mayHaveCounted(n) {
			beside = append(beside, n)
		}
	}
	slices.SortFunc(beside, func(a, b *node) int {
		if later(b, a) {
			return -1
		}
		return 1
	})
	for _, n := range beside {
		r := n.link.Record
		s.add.Condemned = append(s.add.Condemned, r.Condemned...)
		s.add.Removed = append(s.add.Removed, r.Removed...)
		s.add.Packs = append(s.add.Packs, r.Packs...)
		s.Beside = append(s.Beside, r.Archives...)
	}
	s.dropKnown()
	s.sum()
	s.Beside = slices.DeleteFunc(s.Beside, func(a record.Archive) bool {
		id := a.ID(s.chain.options.Keys.NewHasher())
		return slices.Contains(s.add.Removed, id) || s.State.Archives.Has(id)
	})
}

// sum makes State of the tip and of what is added to it.
func (s *Survey) sum() {
	s.State = s.tip.Clone()
	if err := s.State.Apply(s.Tip.Commit, following(s.tip, &s.add)); err != nil {
		panic(err) // it follows by construction
	}
}

// Adopt adds to State, and to what Rebuild writes, packs that are whole and
// durable: the records that named them may be lost. Those that MayAdopt does not
// allow are left out.
func (s *Survey) Adopt(packs ...record.Pack) {
	for _, p := range packs {
		if MayAdopt(s.State, p.ID) {
			s.add.Packs = append(s.add.Packs, p)
		}
	}
	s.sum()
}

// dropKnown leaves in add what the line does not say already.
func (s *Survey) dropKnown() {
	seen := map[objects.ID]bool{}
	again := func(id objects.ID) bool {
		was := seen[id]
		seen[id] = true
		return was
	}
	s.add.Condemned = slices.DeleteFunc(s.add.Condemned, func(id objects.ID) bool {
		return s.tip.Condemned.Has(id) || again(id)
	})
	s.add.Packs = slices.DeleteFunc(s.add.Packs, func(p record.Pack) bool {
		return !MayAdopt(s.tip, p.ID) || again(p.ID)
	})
	clear(seen)
	s.add.Removed = slices.DeleteFunc(s.add.Removed, again)
}

// Rebuild writes a new head, and a record behind the tip that carries what the
// records beside the line say and those of the archives beside it that are to
// be kept: all of whose chunks are in packs of State. It answers the place of
// that record. A head that somebody else wrote meanwhile is an
// backend.ErrConflict.
func (s *Survey) Rebuild(ctx context.Context, made record.Commit, kept []record.Archive) (Mark, error) {
	c := s.chain
	next := s.add
	next.Made, next.Host, next.User, next.Archives = made.Made, made.Host, made.User, kept
	link, err := c.records.put(ctx, following(s.tip, &next))
	if err != nil {
		return Mark{}, err
	}
	head := s.head(link)
	value, err := record.EncodeHead(c.options.Keys, &head, c.options.Random)
	if err != nil {
		return Mark{}, err
	}
	_, err = c.options.Register.Swap(ctx, s.tag, value)
	if err == nil || errors.Is(err, backend.ErrUnknown) {
		err = s.wantHead(ctx, link.At)
	}
	if err != nil {
		return Mark{}, fmt.Errorf("write head: %w", err)
	}
	return link.At, nil
}

// wantHead returns an error unless head is at m.
func (s *Survey) wantHead(ctx context.Context, m Mark) error {
	at, err := s.chain.cell.load(ctx)
	if err == nil && headMark(at.head) != m {
		return backend.ErrConflict
	}
	return err
}

// head returns the head that leads to link. Its counts are as high as those of
// the lost one may have been: no reader takes gc for unchanged, the next run
// looks for orphans, and the next sweep for all that was ever condemned.
func (s *Survey) head(link Link) record.Head {
	h := record.Head{
		Generation: link.At.Generation, Commit: link.At.Commit,
		GC: link.At.Generation, Unswept: min(uint64(s.State.Condemned.Len()), link.At.Generation), Orphans: 1,
	}
	if link.Record.Snapshot != nil {
		h.SnapshotGeneration, h.Snapshot = h.Generation, h.Commit
		return h
	}
	for at := range s.line {
		if s.nodes[at].link.Record.Snapshot != nil && at.Generation > h.SnapshotGeneration {
			h.SnapshotGeneration, h.Snapshot = at.Generation, at.Commit
		}
	}
	return h
}
