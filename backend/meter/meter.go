// Package meter counts what goes to a store and comes from it: requests by kind,
// and bytes each way.
//
// It sits where requests leave this machine, not around a backend.Backend: a
// call may be several requests, or none, and is repeated where something goes
// wrong. What costs money and time is what goes over the wire.
package meter

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// A Meter counts. The zero value is ready for use, must not be copied, and may
// be used by any number of goroutines and connections.
type Meter struct {
	sent, received atomic.Uint64 // bytes

	mu       sync.Mutex
	requests map[string]uint64 // by kind; guarded by mu
}

// Request counts a request that is sent. Its kind is whatever the protocol calls
// it.
func (m *Meter) Request(kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests == nil {
		m.requests = map[string]uint64{}
	}
	m.requests[kind]++
}

// Conn returns a connection whose bytes are counted: all that the protocols above
// TCP send and receive, what repeats a request and what encrypts it included.
func (m *Meter) Conn(under net.Conn) net.Conn { return &conn{under, m} }

type conn struct {
	net.Conn
	meter *Meter
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.received.Add(uint64(n))
	return n, err
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.sent.Add(uint64(n))
	return n, err
}

// Total is what was counted.
type Total struct {
	Requests       map[string]uint64 // by kind
	Sent, Received uint64            // bytes
}

// Total returns what was counted until now.
func (m *Meter) Total() Total {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Total{maps.Clone(m.requests), m.sent.Load(), m.received.Load()}
}

// All returns how many requests there were.
func (t Total) All() (n uint64) {
	for _, some := range t.Requests {
		n += some
	}
	return n
}

// Kinds returns the kinds of requests there were, the most frequent ones first.
func (t Total) Kinds() []string {
	return slices.SortedFunc(maps.Keys(t.Requests), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.Requests[b], t.Requests[a]), cmp.Compare(a, b))
	})
}
