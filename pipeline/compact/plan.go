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
}

// A candidate is a pack to be emptied.
type candidate struct {
	record.Pack
	kept float64 // the share of it that is to be moved
}

// smallShare says which packs are small: those below that share of the target.
const smallShare = 4

// plan decides for every pack. Those that the index does not know, because they
// cannot be read, stay.
func (c *compaction) plan(m *mark) (*plan, error) {
	p := new(plan)
	small := map[objects.Kind][]candidate{}
	state := c.repo.State()
	err := m.Weights(func(w index.Weight) error {
		entry, live := state.Packs[w.ID]
		kept := 0.0
		if w.Chunks > 0 {
			kept = float64(w.Kept) / float64(w.Chunks)
		}
		switch {
		case !live:
		case w.Kept+w.Spare == 0:
			p.dead = append(p.dead, entry)
		case c.o.Threshold < 0:
		case kept*100 < float64(c.o.Threshold):
			p.move = append(p.move, candidate{entry, kept})
		case w.Len < int64(c.target(w.Kind))/smallShare:
			small[w.Kind] = append(small[w.Kind], candidate{entry, kept})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for kind, list := range small {
		if c.worthJoining(kind, list) {
			p.move = append(p.move, list...)
		}
	}
	// What frees most for the least work comes first.
	slices.SortFunc(p.move, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.kept, b.kept), a.ID.Compare(b.ID))
	})
	return p, nil
}

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

func (c *compaction) worthJoining(kind objects.Kind, list []candidate) bool {
	var sum uint64
	for _, p := range list {
		sum += p.Length
	}
	return len(list) > 1 && (len(list) >= joinFrom || sum >= uint64(c.target(kind))/smallShare)
}

// more reports whether something is left to be done.
func (p *plan) more() bool { return len(p.dead)+len(p.move) > 0 }

// deadAtOnce is how many dead packs a commit condemns: 32 bytes each.
const deadAtOnce = 4096

// next takes a batch from the plan: dead packs first, which costs nothing, and
// then packs to be moved, bytes of them.
func (p *plan) next(bytes int64) (dead []record.Pack, move []candidate) {
	if n := min(len(p.dead), deadAtOnce); n > 0 {
		dead, p.dead = p.dead[:n], p.dead[n:]
		return dead, nil
	}
	n := 0
	for n < len(p.move) && bytes > 0 {
		bytes -= int64(p.move[n].Length)
		n++
	}
	move, p.move = p.move[:n], p.move[n:]
	return nil, move
}

// estimate tells what the plan would do.
func (p *plan) estimate(s *Summary) {
	for _, d := range p.dead {
		s.Condemned++
		s.CondemnedBytes += d.Length
	}
	for _, m := range p.move {
		s.Condemned++
		s.Moved++
		s.CondemnedBytes += m.Length
		s.NewBytes += uint64(float64(m.Length) * m.kept)
	}
}
