package compact

import (
	"cmp"
	"slices"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/record"
)

// A plan says what becomes of the packs. What was done is taken from its front.
type plan struct {
	dead []record.Pack // nothing of them is needed, and they are in no pack's place
	move []candidate   // what is needed of them is to be moved
	join []candidate   // likewise, but only to have fewer packs

	unused uint64 // bytes, about, that nothing needs of packs that stay
}

// A candidate is a pack to be emptied.
type candidate struct {
	record.Pack
	unused float64 // the share of it that nothing needs
}

// freed is what emptying the pack frees, bytes.
func (c candidate) freed() float64 { return float64(c.Length) * c.unused }

// packShare says how much of one pack may stay unused: so many times the share
// of the repository that may. Emptying a pack costs the more for each byte that
// it frees, the more of it is needed. A fourth of a pack, where a twentieth of the
// repository may, is three bytes that are moved for one that is freed.
const packShare = 5

// limit is the share of the repository that may stay unused.
func (o *Options) limit() float64 { return max(0, o.MaxUnused/100) }

// asItIs reports whether a frame is moved as it is: what of it nothing needs is
// no more than may stay unused. So a pack that was made by moving has no more
// than that either, and is never moved because of that again.
func (o *Options) asItIs(f need) bool {
	return float64(uint64(f.Raw)-f.kept) <= o.limit()*float64(f.Raw)
}

// smallShare says which packs are small: those below that share of the target.
const smallShare = 4

// plan decides for every pack. Those that the index does not know, because they
// cannot be read, stay, and so do those that were taken over.
func (c *compaction) plan(m *mark) (*plan, error) {
	p := new(plan)
	var partly []candidate
	var needed float64 // bytes of the packs that are left out of it
	state := c.repo.State()
	err := m.Weights(func(w index.Weight) error {
		entry, live := state.Packs.Get(w.ID)
		switch {
		case !live || c.taken[w.ID]:
		case w.Kept+w.Spare == 0:
			p.dead = append(p.dead, entry)
		case w.Kept == w.Chunks && !c.small(entry):
			needed += float64(entry.Length)
		default:
			partly = append(partly, candidate{entry, 1 - float64(w.Kept)/float64(w.Chunks)})
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	// What frees most for the least work comes first.
	slices.SortFunc(partly, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.unused, a.unused), a.ID.Compare(b.ID))
	})
	n := 0
	if c.o.MaxUnused < 100 {
		n = c.o.tooEmpty(partly, needed)
		p.move, p.join = partly[:n], c.worthJoining(partly[n:])
	}
	for _, stays := range partly[n:] {
		p.unused += uint64(stays.freed())
	}
	return p, nil
}

// tooEmpty returns how many packs are to be emptied: those of which more is
// unused than may of one pack, and more while too much of all of them is. The
// list begins with the emptiest; beside it there are so many bytes of packs that
// are needed wholly.
func (o *Options) tooEmpty(list []candidate, needed float64) (n int) {
	all, unused := needed, 0.0
	for _, c := range list {
		all += float64(c.Length)
		unused += c.freed()
	}
	for ; n < len(list); n++ {
		c := list[n]
		if c.unused <= o.limit() || c.unused < packShare*o.limit() && unused <= o.limit()*all {
			break
		}
		all -= c.freed()
		unused -= c.freed()
	}
	return n
}

// worthJoining returns the packs of a list that are small, where there are so
// many of a kind that joining them helps.
func (c *compaction) worthJoining(list []candidate) (join []candidate) {
	for _, kind := range []objects.Kind{objects.Data, objects.Meta} {
		var small []candidate
		var sum uint64
		for _, p := range list {
			if p.Kind == kind && c.small(p.Pack) {
				small, sum = append(small, p), sum+p.Length
			}
		}
		if len(small) > 1 && (len(small) >= joinFrom || sum >= uint64(c.target(kind))/smallShare) {
			join = append(join, small...)
		}
	}
	return join
}

// small reports whether a pack is one of those that are joined.
func (c *compaction) small(p record.Pack) bool { return p.Length < uint64(c.target(p.Kind))/smallShare }

// target is the length of a full pack of a kind, bytes.
func (c *compaction) target(kind objects.Kind) int {
	if kind == objects.Meta {
		return c.o.PackTarget / 4
	}
	return c.o.PackTarget
}

// joinFrom is how many small packs are joined even if that makes a small one:
// what a pack holds is then moved a logarithmic number of times.
const joinFrom = 8

// len returns how many packs are left to be done.
func (p *plan) len() int { return len(p.dead) + len(p.move) + len(p.join) }

// deadAtOnce is how many dead packs a commit condemns: 32 bytes each.
const deadAtOnce = 4096

// nextDead takes dead packs from the plan, as many as a commit condemns.
func (p *plan) nextDead() (dead []record.Pack) {
	n := min(len(p.dead), deadAtOnce)
	dead, p.dead = p.dead[:n], p.dead[n:]
	return dead
}

// nextMove takes a pack from the plan that is to be moved. Where the way to the
// store carries only packs that are as small, none is to be joined.
func (c *compaction) nextMove(p *plan) (next candidate, ok bool) {
	from := &p.move
	if len(p.move) == 0 {
		from = &p.join
		if c.slow() {
			p.join = nil
		}
	}
	if len(*from) == 0 {
		return candidate{}, false
	}
	next, *from = (*from)[0], (*from)[1:]
	return next, true
}

// stay returns how much that nothing needs stays if nothing more is done, bytes.
func (p *plan) stay() uint64 {
	n := p.unused
	for _, m := range slices.Concat(p.move, p.join) {
		n += uint64(m.freed())
	}
	return n
}

// estimate tells what the plan would do.
func (p *plan) estimate(s *Summary) {
	s.Unused = p.unused
	for _, d := range p.dead {
		s.Condemned++
		s.CondemnedBytes += d.Length
	}
	for _, m := range slices.Concat(p.move, p.join) {
		s.Condemned++
		s.Moved++
		s.CondemnedBytes += m.Length
		s.NewBytes += uint64(float64(m.Length) - m.freed())
	}
}
