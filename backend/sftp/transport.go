package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"cairn/backend"
)

const (
	// keepalive is how often a sign of life is asked for, and silence how long
	// none may come: then the peer, or the way to it, is dead.
	keepalive = 15 * time.Second
	silence   = 45 * time.Second
	// maxHops bounds how many hosts may lead to one.
	maxHops = 8
)

// A transport is an authenticated connection to a host, and those it leads
// through. It ends by itself when the peer falls silent.
type transport struct {
	*ssh.Client
	target *target
	line   *line
	under  *transport // that it leads through, or nil
	tap    *backend.Tap
	group  sync.WaitGroup
	dead   chan struct{} // closed when the connection has ended
	reason atomic.Pointer[string]
}

// A line is a network connection that tells when nothing has come for long.
type line struct {
	net.Conn
	timer *time.Timer
}

// Read implements io.Reader.
func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.timer.Reset(silence)
	}
	return n, err
}

// A dialer connects to hosts.
type dialer struct {
	settings *settings
	ask      Ask // nil if there is nobody to ask
	tap      *backend.Tap
	secrets  secrets
}

// dial connects to t and logs in. The context bounds it, and nothing later.
func (d *dialer) dial(ctx context.Context, t *target) (*transport, error) {
	return d.dialVia(ctx, t, 0)
}

func (d *dialer) dialVia(ctx context.Context, t *target, hops int) (*transport, error) {
	if hops > maxHops {
		return nil, fmt.Errorf("%w: ~/.ssh/config leads to %s through more than %d hosts", backend.ErrInvalid, t.name, maxHops)
	}
	hop, err := d.settings.through(t)
	if err != nil {
		return nil, err
	}
	var under *transport
	if hop != nil {
		if under, err = d.dialVia(ctx, hop, hops+1); err != nil {
			return nil, err
		}
	}
	raw, err := d.reach(ctx, t, under)
	var made *transport
	if err == nil {
		made, err = d.handshake(ctx, t, raw, under)
	}
	if err != nil && under != nil {
		under.close()
	}
	return made, err
}

// reach opens a network connection to t.
func (d *dialer) reach(ctx context.Context, t *target, under *transport) (net.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var conn net.Conn
	var err error
	if under != nil {
		conn, err = under.DialContext(dialing, "tcp", t.address())
	} else {
		conn, err = (&net.Dialer{}).DialContext(dialing, "tcp", t.address())
		if err == nil {
			conn = d.tap.Wrap(conn)
		}
	}
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", t.timeout)
	}
	return nil, fmt.Errorf("%w: connect to %s: %v: is the address right, and does the server run%s?",
		backend.ErrUnavailable, t.address(), cause(err), d.settings.note())
}

// cause returns the part of a network error that says what happened.
func cause(err error) error {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.As(err, &dns):
		return dns
	}
	return err
}

// handshake makes a transport of a network connection, which it closes when
// that fails.
func (d *dialer) handshake(ctx context.Context, t *target, raw net.Conn, under *transport) (*transport, error) {
	known, err := trust(t)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	made := &transport{target: t, under: under, tap: d.tap, dead: make(chan struct{})}
	made.line = &line{Conn: raw}
	// A peer that falls silent during the handshake is found like any other.
	made.line.timer = time.AfterFunc(silence, func() { made.cut(fmt.Sprintf("nothing came for %s", silence)) })
	stop := context.AfterFunc(ctx, func() { made.cut("cancelled") })
	defer stop()

	l := &login{target: t, secrets: &d.secrets, ask: d.patient(made.line.timer)}
	defer l.close()
	conn, channels, requests, err := ssh.NewClientConn(made.line, known.address, &ssh.ClientConfig{
		User: t.user, Auth: l.methods(ctx),
		HostKeyCallback: known.verify, HostKeyAlgorithms: known.algorithms,
	})
	if err != nil {
		made.line.timer.Stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, d.refused(made, l, known.disagreed(err))
	}
	made.Client = ssh.NewClient(conn, channels, requests)
	made.group.Go(func() {
		_ = conn.Wait()
		made.line.timer.Stop()
		close(made.dead)
	})
	made.group.Go(made.stayAlive)
	return made, nil
}

// patient returns an Ask that stops a timer while a person thinks, or nil.
func (d *dialer) patient(timer *time.Timer) Ask {
	if d.ask == nil {
		return nil
	}
	return func(ctx context.Context, prompt string) ([]byte, error) {
		timer.Stop()
		defer timer.Reset(silence)
		return d.ask(ctx, prompt)
	}
}

// errHungUp is what a server does that has enough to do.
var errHungUp = errors.New("the server hung up")

// refused explains why a handshake failed.
func (d *dialer) refused(made *transport, l *login, err error) error {
	var key *HostKeyError
	t := made.target
	switch reason := made.reason.Load(); {
	case errors.As(err, &key):
		return key
	case errors.Is(err, backend.ErrDenied):
		return errors.Unwrap(err) // the library says only that it was a handshake
	case reason != nil:
		return fmt.Errorf("%w: log in to %s: %s", backend.ErrUnavailable, t, *reason)
	case errors.Is(err, errLocked):
		_, why, _ := strings.Cut(err.Error(), errLocked.Error()+": ")
		return fmt.Errorf("%w: log in to %s: %s", backend.ErrDenied, t, why)
	case strings.Contains(err.Error(), "unable to authenticate"), strings.Contains(err.Error(), "Too many authentication failures"):
		offered := "it was offered no key"
		if len(l.offered) > 0 {
			offered = "it took none of: " + strings.Join(l.offered, ", ")
		}
		for _, trouble := range l.trouble {
			offered += "; " + trouble
		}
		return fmt.Errorf("%w: %s does not let %s in: %s%s: add a key there, for example with: ssh-copy-id -p %s %s@%s",
			backend.ErrDenied, t.address(), t.user, offered, d.settings.note(), t.port, t.user, t.host)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: log in to %s: %w: it may allow no more connections now", backend.ErrUnavailable, t, errHungUp)
	}
	return fmt.Errorf("%w: log in to %s: %v", backend.ErrUnavailable, t, err)
}

// stayAlive asks for signs of life until the connection ends.
func (t *transport) stayAlive() {
	tick := time.NewTicker(keepalive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, _, err := t.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		case <-t.dead:
			return
		}
	}
}

// cut ends the connection at once, for the given reason. Whoever waits for the
// peer is let go.
func (t *transport) cut(reason string) {
	t.reason.CompareAndSwap(nil, &reason)
	if t.under != nil {
		t.under.cut(reason) // what goes through it would wait for its peer to agree
	}
	_ = t.line.Close()
}

// ended reports whether the connection has ended.
func (t *transport) ended() bool {
	select {
	case <-t.dead:
		return true
	default:
		return false
	}
}

// close ends the connection and waits for what belongs to it.
func (t *transport) close() {
	t.cut("closed")
	t.group.Wait()
	if t.under != nil {
		t.under.close()
	}
}
