package servers

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Faults is what a Proxy does to what it passes on. The zero value is nothing.
type Faults struct {
	// Delay is how much later everything arrives that the server says. What
	// follows it is not held up more: it is the way that is long, not narrow.
	Delay time.Duration
	// Rate is how many bytes pass in a second, of all connections and each way;
	// 0 is any number.
	Rate int64
	// CutAfter cuts a connection when so many bytes have passed, both ways
	// together; 0 never does. What was asked by then still reaches the server;
	// what it answers to the last of it is lost.
	CutAfter int64
	// CutEvery cuts, in the same way, the connection through which every so many
	// bytes come towards the server, of all connections; 0 never does.
	CutEvery int64
	// Cuts is how many connections are cut at most; 0 is any number.
	Cuts int64
}

// A Proxy passes TCP connections of the loopback interface on to a server, and
// is as unreliable as it is told to be.
type Proxy struct {
	listener net.Listener
	server   string
	faults   Faults
	group    sync.WaitGroup
	cuts     atomic.Int64
	sent     atomic.Int64 // bytes towards the server
	quiet    atomic.Bool
	pace     [2]pace // towards the server, and back

	mu    sync.Mutex
	pairs map[*pair]bool // guarded by mu
}

// Between starts a Proxy to the server at addr for the time of the test.
func Between(t testing.TB, addr string, f Faults) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, server: addr, faults: f, pairs: make(map[*pair]bool)}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		p.Refuse()
		p.Cut()
		p.group.Wait()
	})
	return p
}

// Addr returns the host:port that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cuts returns how many connections were cut.
func (p *Proxy) Cuts() int { return int(p.cuts.Load()) }

// Sent returns how many bytes have come through towards the server.
func (p *Proxy) Sent() int64 { return p.sent.Load() }

// Cut cuts all connections. New ones are passed on as before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pair.close()
	}
}

// CutEach cuts all connections whenever so much time has passed, until stop is
// called, which returns how often it did.
func (p *Proxy) CutEach(d time.Duration) (stop func() int) {
	over, tick := make(chan struct{}), time.NewTicker(d)
	var group sync.WaitGroup
	cuts := 0
	group.Go(func() {
		for {
			select {
			case <-tick.C:
				cuts++
				p.Cut()
			case <-over:
				return
			}
		}
	})
	return func() int {
		tick.Stop()
		close(over)
		group.Wait()
		return cuts
	}
}

// Refuse makes the proxy refuse new connections from now on.
func (p *Proxy) Refuse() { p.listener.Close() }

// Silence makes the proxy swallow everything from now on. Connections stay open.
func (p *Proxy) Silence() { p.quiet.Store(true) }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		p.mu.Lock()
		p.pairs[c] = true
		p.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { p.pass(c, server, client, 0) })
		both.Go(func() { p.pass(c, client, server, 1) })
		p.group.Go(func() {
			both.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.pairs, c)
		})
	}
}

// A pair is one connection and its continuation.
type pair struct {
	client, server net.Conn
	passed         atomic.Int64 // bytes
	cut            atomic.Bool
}

func (c *pair) close() {
	c.client.Close()
	c.server.Close()
}

// lastWords is how long after a cut the server's half of a connection lives, so
// that what was asked is done.
const lastWords = 30 * time.Millisecond

// pass copies one way of a connection: 0 to the server, 1 back.
func (p *Proxy) pass(c *pair, to io.Writer, from io.Reader, way int) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1024)
	var writer sync.WaitGroup
	writer.Go(func() {
		for w := range pieces {
			time.Sleep(time.Until(w.due))
			if p.quiet.Load() || way == 1 && c.cut.Load() {
				continue
			}
			if _, err := to.Write(w.data); err != nil {
				c.close()
			}
		}
	})
	defer writer.Wait()
	defer close(pieces)
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if n > 0 {
			p.pace[way].wait(int64(n), p.faults.Rate)
			due := time.Time{}
			if way == 1 {
				due = time.Now().Add(p.faults.Delay)
			}
			pieces <- piece{buf[:n], due}
			if p.due(c, int64(n), way) && c.cut.CompareAndSwap(false, true) {
				p.group.Go(func() {
					time.Sleep(lastWords)
					c.close()
				})
			}
		}
		if err != nil {
			c.close()
			return
		}
	}
}

// due reports whether c is to be cut, now that n bytes more have passed.
func (p *Proxy) due(c *pair, n int64, way int) bool {
	over := p.faults.CutAfter > 0 && c.passed.Add(n) > p.faults.CutAfter
	if way == 0 {
		sent, every := p.sent.Add(n), p.faults.CutEvery
		over = over || every > 0 && sent/every > (sent-n)/every
	}
	if !over || c.cut.Load() {
		return false
	}
	cuts := p.cuts.Add(1)
	if p.faults.Cuts > 0 && cuts > p.faults.Cuts {
		p.cuts.Add(-1)
		return false
	}
	return true
}

// pace spreads bytes over time.
type pace struct {
	mu   sync.Mutex
	next time.Time // when the way is free again; guarded by mu
}

// wait returns when n bytes have passed at rate bytes a second.
func (p *pace) wait(n, rate int64) {
	if rate == 0 {
		return
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(rate))
	due := p.next
	p.mu.Unlock()
	time.Sleep(time.Until(due))
}
