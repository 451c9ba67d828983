package backend

import "net"

// A Tap is put into what connects a store behind a network with it, by who wants
// to see or to hold up what goes there. A nil Tap, and a nil field, does
// nothing. The functions may be called concurrently.
type Tap struct {
	// Conn is given every new connection to a server, below all that speaks
	// through it, and returns what is used in its place.
	Conn func(net.Conn) net.Conn
	// Request is told of every request that is sent to the store, and what the
	// protocol calls it.
	Request func(kind string)
}

// Wrap returns the connection to use in place of c.
func (t *Tap) Wrap(c net.Conn) net.Conn {
	if t == nil || t.Conn == nil {
		return c
	}
	return t.Conn(c)
}

// Requested tells of a request.
func (t *Tap) Requested(kind string) {
	if t != nil && t.Request != nil {
		t.Request(kind)
	}
}
