package locking

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/backend"
	"cairn/objects/record"
)

// recentLinks is how many commit records are kept at hand: what others commit
// during a run is looked at several times.
const recentLinks = 64

// A Chain is one repository's history as this process knows it. Its methods
// may be called concurrently.
type Chain struct {
	options Options // with the defaults filled in
	cell    *cell
	records recordStore

	gate     gate
	known    *record.State // never changed in place; nil: nothing yet; guarded by gate
	recent   []Link        // some that lead there, read last; guarded by gate
	seen     Mark          // the newest state seen in the store; guarded by gate
	rollback Rollback      // for the next refresh; guarded by gate
}

// A Link is a commit record in its place in the chain.
type Link struct {
	At     Mark
	Record *record.Commit // not to be changed
}

// News is the state of the repository and what led there.
type News struct {
	Head  record.Head   // as loaded; not to be changed
	State *record.State // after Head.Commit; not to be changed

	// Records, oldest first, lead from Since to State. Since is what was known
	// before, if the chain still leads there; else a generation with a
	// snapshot, or the zero Mark.
	Since   Mark
	Records []Link
}

// New returns the chain that o reaches. It makes no request.
func New(o Options) (*Chain, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("open chain: %w", err)
	}
	return &Chain{
		options:  o,
		cell:     &cell{register: o.Register, keys: o.Keys, random: o.Random, now: o.Now, gate: newGate()},
		records:  recordStore{store: o.Records, keys: o.Keys, random: o.Random, warn: o.Warn},
		gate:     newGate(),
		known:    o.Known,
		rollback: o.Rollback,
	}, nil
}

// Init creates the head of a new repository. One that is there stays.
func (c *Chain) Init(ctx context.Context) error { return c.cell.create(ctx) }

// Refresh reads what is new. When nothing is, it costs one request, whatever
// the size of the repository. Besides the store's errors it answers ErrNoHead,
// ErrRolledBack, ErrForked, and ErrBroken: beside it, for a record that is damaged
// a *objects.CorruptError, for one that is missing backend.ErrNotExist.
func (c *Chain) Refresh(ctx context.Context) (News, error) {
	if err := c.gate.enter(ctx); err != nil {
		return News{}, err
	}
	defer c.gate.leave()
	// Before head is loaded: see Witness.Mark.
	witnessed, err := c.witnessed()
	if err != nil {
		return News{}, err
	}
	s, err := c.cell.load(ctx)
	if err != nil {
		return News{}, err
	}
	return c.follow(ctx, s.head, witnessed)
}

// Record reads the record at m, a place that a later record of the chain, or
// head, named.
func (c *Chain) Record(ctx context.Context, m Mark) (*record.Commit, error) {
	return c.records.get(ctx, m)
}

// current returns what is known, refreshing only if nothing was seen yet.
func (c *Chain) current(ctx context.Context) (*record.State, error) {
	if err := c.gate.enter(ctx); err != nil {
		return nil, err
	}
	known, seen := c.known, c.seen
	c.gate.leave()
	if known != nil && stateMark(known) == seen {
		return known, nil
	}
	news, err := c.Refresh(ctx)
	return news.State, err
}

// shown returns the state that the last Refresh returned, nil if there was none.
func (c *Chain) shown(ctx context.Context) (*Mark, error) {
	if err := c.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer c.gate.leave()
	if c.known == nil || stateMark(c.known) != c.seen {
		return nil, nil
	}
	seen := c.seen
	return &seen, nil
}

// upToHead returns the state at the head last known, reading what is missing.
// Its Since and Records say nothing.
func (c *Chain) upToHead(ctx context.Context) (News, error) {
	state, err := c.current(ctx)
	if err != nil {
		return News{}, err
	}
	head, err := c.cell.last(ctx)
	if err != nil {
		return News{}, err
	}
	if headMark(head) != stateMark(state) {
		return c.catchUp(ctx)
	}
	return News{Head: head, State: state}, nil
}

// catchUp reads what leads to the head last known, without loading it again.
func (c *Chain) catchUp(ctx context.Context) (News, error) {
	if err := c.gate.enter(ctx); err != nil {
		return News{}, err
	}
	defer c.gate.leave()
	head, err := c.cell.last(ctx)
	if err != nil {
		return News{}, err
	}
	// What others have witnessed meanwhile may be newer than this head.
	return c.follow(ctx, head, c.seen)
}

// order returns the policy at the head last known.
func (c *Chain) order(ctx context.Context) (Writers, error) {
	news, err := c.upToHead(ctx)
	if err != nil {
		return InTurn, err
	}
	return writersOf(news.State), nil
}

// follow brings what is known to head. The caller is inside the gate.
func (c *Chain) follow(ctx context.Context, head record.Head, witnessed Mark) (News, error) {
	at := headMark(head)
	if at.Generation < witnessed.Generation {
		return News{}, &RolledBackError{Witnessed: witnessed, Found: at}
	}
	w := walk{records: c.records, head: head, known: c.known, witnessed: witnessed}
	if err := w.run(ctx); err != nil {
		return News{}, fmt.Errorf("follow the chain back from %s: %w", at, err)
	}
	state, err := w.fold()
	if err != nil {
		return News{}, fmt.Errorf("follow the chain up to %s: %w", at, err)
	}
	if err := c.witness(at); err != nil {
		return News{}, err
	}
	c.known = state
	c.keep(w.links...)
	return News{Head: head, State: state, Since: w.since, Records: w.links}, nil
}

// extend adds a link that this process has just swapped in.
func (c *Chain) extend(ctx context.Context, link Link) error {
	if err := c.gate.enter(ctx); err != nil {
		return err
	}
	defer c.gate.leave()
	if c.known == nil || stateMark(c.known) != link.prev() {
		return nil // the next refresh reads it
	}
	next := c.known.Clone()
	if err := next.Apply(link.At.Commit, link.Record); err != nil {
		return err
	}
	c.known = next
	c.keep(link)
	return c.witness(link.At)
}

// witnessed returns what the repository must not fall behind, the zero Mark if
// it may. The caller is inside the gate.
func (c *Chain) witnessed() (Mark, error) {
	if c.rollback == AcceptRollback || c.options.Witness == nil {
		return c.seen, nil
	}
	m, err := c.options.Witness.Mark()
	if err == nil && m.Generation < c.seen.Generation {
		m = c.seen
	}
	return m, err
}

// witness remembers that m was seen. It answers an ErrForked if it must not be;
// that it cannot be remembered, for want of a writable place, keeps nobody from
// a restore. The caller is inside the gate.
func (c *Chain) witness(m Mark) error {
	// What is accepted may be the zero Mark, as seen is when nothing was.
	accepts := c.rollback == AcceptRollback
	if w := c.options.Witness; w != nil && (c.seen != m || accepts) {
		remember := w.Raise
		if accepts {
			remember = w.Accept
		}
		err := remember(m)
		if errors.Is(err, ErrForked) {
			return err
		}
		if err != nil {
			c.options.Warn(err)
		}
	}
	c.seen, c.rollback = m, RefuseRollback // what was accepted once was not accepted for ever
	return nil
}

func stateMark(s *record.State) Mark { return Mark{Generation: s.Generation, Commit: s.Commit} }

// prev returns the place that l follows.
func (l Link) prev() Mark {
	return Mark{Generation: l.At.Generation - 1, Commit: l.Record.Prev}
}

// keep holds links at hand that newly lead to what is known. The caller is
// inside the gate.
func (c *Chain) keep(links ...Link) {
	c.recent = append(c.recent, links...)
	if n := len(c.recent); n > recentLinks {
		c.recent = slices.Clone(c.recent[n-recentLinks:])
	}
}

// link returns the link at m, a place in the chain.
func (c *Chain) link(ctx context.Context, m Mark) (Link, error) {
	if err := c.gate.enter(ctx); err != nil {
		return Link{}, err
	}
	i := slices.IndexFunc(c.recent, func(l Link) bool { return l.At == m })
	if i >= 0 {
		defer c.gate.leave()
		return c.recent[i], nil
	}
	c.gate.leave()
	r, err := c.records.get(ctx, m)
	return Link{At: m, Record: r}, err
}

// since returns the links that lead from base to known, oldest first. Where
// records have been removed, after a snapshot had taken their place, it returns
// those that are left, and from where they lead.
func (c *Chain) since(ctx context.Context, base Mark, known *record.State) (from Mark, links []Link, err error) {
	at := stateMark(known)
	for at != base {
		if at.Generation <= base.Generation {
			return Mark{}, nil, errors.New("the chain does not lead to " + base.String())
		}
		link, err := c.link(ctx, at)
		if errors.Is(err, backend.ErrNotExist) && len(links) > 0 {
			break
		}
		if err != nil {
			return Mark{}, nil, err
		}
		links = append(links, link)
		at = link.prev()
	}
	slices.Reverse(links)
	return at, links, nil
}
