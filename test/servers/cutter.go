package servers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync/atomic"
	"testing"
)

// Cut is how a connection to a Cutter breaks.
type Cut int

const (
	LostRequest Cut = iota // half of what is sent arrives, and the server learns nothing of it
	LostReply              // the server does what it is asked, and its answer is lost
	DeadLine               // as LostReply, and from then on no request gets through
)

// String names the cut.
func (c Cut) String() string { return [...]string{"lost request", "lost reply", "dead line"}[c] }

// A Cutter is an address of a server that breaks the connection of one of the
// requests it gets.
type Cutter struct {
	Endpoint string // host:port, without TLS

	how  Cut
	at   int64
	seen atomic.Int64
	on   http.Handler
}

// Cutting returns a Cutter in front of s that breaks the connection of the
// request with the number at, the first being 1. 0 breaks none.
func (s *S3) Cutting(t testing.TB, how Cut, at int) *Cutter {
	c := &Cutter{how: how, at: int64(at), on: s.Handler(func(*httputil.ProxyRequest) {})}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.Endpoint = server.Listener.Addr().String()
	return c
}

// Seen returns how many requests have come.
func (c *Cutter) Seen() int { return int(c.seen.Load()) }

// ServeHTTP implements http.Handler.
func (c *Cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := c.seen.Add(1)
	switch {
	case c.at == 0 || n < c.at || n > c.at && c.how != DeadLine:
		c.on.ServeHTTP(w, r)
		return
	case n > c.at:
	case c.how == LostRequest:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	default:
		c.on.ServeHTTP(httptest.NewRecorder(), r)
	}
	panic(http.ErrAbortHandler) // breaks the connection, and says nothing of it
}
