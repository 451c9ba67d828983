package sftp

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"cairn/backend"
)

// A pool keeps the connections of a Store. Each one moves the bytes of one
// object at a time; small requests share, but go where no bytes are moving, so
// that the register does not wait behind uploads. So there is one connection
// more than transfers at most.
//
// A server that lets in fewer is served with those there are.
type pool struct {
	connect func(ctx context.Context) (*conn, error)
	moves   chan struct{} // one for every transfer under way
	dialing chan struct{} // of one place, taken while a connection is made for small requests

	mu       sync.Mutex
	conns    []*conn // that were usable when last seen; guarded by mu
	withheld int     // places of moves that the server has no connection for; guarded by mu
	crowded  bool    // the server let in no more than there are; guarded by mu
}

func newPool(transfers int, connect func(ctx context.Context) (*conn, error)) *pool {
	return &pool{connect: connect, moves: make(chan struct{}, transfers), dialing: make(chan struct{}, 1)}
}

const (
	// startTries is how often the first connection is tried when the server
	// hangs up: it may let in few at the same time, and others log in now.
	startTries = 5
	startWait  = 300 * time.Millisecond
)

// start makes the first connection.
func (p *pool) start(ctx context.Context) error {
	for try := 1; ; try++ {
		c, err := p.forCall(ctx)
		if err == nil {
			p.done(c, calling)
			return nil
		}
		if try == startTries || !errors.Is(err, errHungUp) {
			return err
		}
		select {
		case <-time.After(startWait/2 + rand.N(startWait)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forMove returns a connection that nothing else moves bytes on. The caller
// gives it back with done.
func (p *pool) forMove(ctx context.Context) (*conn, error) {
	for {
		select {
		case p.moves <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if c := p.pick(func(c *conn) bool { return !c.moving }, moving); c != nil {
			return c, nil
		}
		c, err := p.connect(ctx)
		if err == nil {
			p.add(c, moving)
			return c, nil
		}
		if !p.crowd(ctx, err) {
			<-p.moves
			return nil, err
		}
		p.withhold()
	}
}

// forCall returns a connection for small requests, which others use too. The
// caller gives it back with done.
func (p *pool) forCall(ctx context.Context) (*conn, error) {
	quiet := func(c *conn) bool { return !c.moving || p.crowded }
	if c := p.pick(quiet, calling); c != nil {
		return c, nil
	}
	select {
	case p.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.dialing }()
	if c := p.pick(quiet, calling); c != nil {
		return c, nil
	}
	c, err := p.connect(ctx)
	if err == nil {
		p.add(c, calling)
		return c, nil
	}
	if p.crowd(ctx, err) {
		if c := p.pick(func(*conn) bool { return true }, calling); c != nil {
			return c, nil
		}
	}
	return nil, err
}

// A use is what a connection is taken for.
type use int

const (
	calling use = iota
	moving
)

// pick takes a usable connection that is fit, if there is one: the one with the
// fewest users. fit is called with mu held.
func (p *pool) pick(fit func(*conn) bool, u use) *conn {
	p.mu.Lock()
	ended := p.sift()
	var best *conn
	for _, c := range p.conns {
		if fit(c) && (best == nil || c.users < best.users) {
			best = c
		}
	}
	if best != nil {
		best.users++
		best.moving = best.moving || u == moving
	}
	p.mu.Unlock()
	closeAll(ended)
	return best
}

// sift takes out the connections that have ended. It returns those that nobody
// uses any more: the others are closed by their last user. It needs mu.
func (p *pool) sift() (unused []*conn) {
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool {
		if c.usable() {
			return false
		}
		if c.users == 0 {
			unused = append(unused, c)
		}
		return true
	})
	return unused
}

// add takes in a new connection.
func (p *pool) add(c *conn, u use) {
	p.mu.Lock()
	ended := p.sift()
	if len(p.conns) == 0 { // the server is another one now, or was away
		p.crowded = false
		for ; p.withheld > 0; p.withheld-- {
			<-p.moves
		}
	}
	c.users, c.moving = 1, u == moving
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	closeAll(ended)
}

// crowd reports whether err means that one has to do with the connections there
// are.
func (p *pool) crowd(ctx context.Context, err error) bool {
	if ctx.Err() != nil || backend.Permanent(err) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crowded = slices.ContainsFunc(p.conns, (*conn).usable)
	return p.crowded
}

// withhold keeps a place of moves taken for as long as there is no connection
// for it, unless it is the last one.
func (p *pool) withhold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.withheld+1 < cap(p.moves) {
		p.withheld++
	} else {
		<-p.moves
	}
}

// done gives back a connection that was taken for u.
func (p *pool) done(c *conn, u use) {
	p.mu.Lock()
	c.users--
	if u == moving {
		c.moving = false
	}
	over := c.users == 0 && !slices.Contains(p.conns, c)
	p.mu.Unlock()
	if u == moving {
		<-p.moves
	}
	if over {
		c.close()
	}
}

// close ends all connections, when what was left to them is done. Nobody uses
// one any more.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.settle()
	}
	closeAll(p.conns)
	p.conns = nil
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}
