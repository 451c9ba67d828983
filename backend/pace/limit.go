package pace

import (
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound how many bytes go through connections in a second, all of them
// together. The zero value bounds nothing. They must not be copied.
type Limits struct {
	up, down *rate.Limiter // nil: no limit
}

// piece is how many bytes go at a time where there is a limit: what waits for its
// turn must not come late for those that watch for signs of life.
const piece = 16 << 10

// NewLimits returns limits in bytes a second; 0 is none.
func NewLimits(up, down int64) *Limits {
	limiter := func(bytes int64) *rate.Limiter {
		if bytes == 0 {
			return nil
		}
		return rate.NewLimiter(rate.Limit(bytes), piece)
	}
	return &Limits{up: limiter(up), down: limiter(down)}
}

// Conn returns a connection that keeps to the limits.
func (l *Limits) Conn(under net.Conn) net.Conn {
	if l.up == nil && l.down == nil {
		return under
	}
	return &limited{Conn: under, limits: l, closed: make(chan struct{})}
}

type limited struct {
	net.Conn
	limits *Limits
	closed chan struct{} // closed by Close, for who waits
	once   sync.Once
}

// Read implements io.Reader. What has come is held back until its turn: the
// other side notices, and slows down.
func (c *limited) Read(p []byte) (int, error) {
	if c.limits.down == nil {
		return c.Conn.Read(p)
	}
	n, err := c.Conn.Read(p[:min(len(p), piece)])
	c.wait(c.limits.down, n)
	return n, err
}

// Write implements io.Writer.
func (c *limited) Write(p []byte) (int, error) {
	if c.limits.up == nil {
		return c.Conn.Write(p)
	}
	written := 0
	for written < len(p) {
		next := p[written:min(len(p), written+piece)]
		c.wait(c.limits.up, len(next))
		n, err := c.Conn.Write(next)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// wait returns when n bytes may go, or when the connection is closed.
func (c *limited) wait(l *rate.Limiter, n int) {
	timer := time.NewTimer(l.ReserveN(time.Now(), n).Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closed:
	}
}

// Close implements net.Conn.
func (c *limited) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
