package sftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	pkgsftp "github.com/pkg/sftp"

	"cairn/backend"
)

const (
	// stall is how long a server may take to answer anything at all. Its disk
	// may be slow to flush.
	stall = 2 * time.Minute
	// grace is how long a cancelled transfer may take to end in order, so that
	// the connection can be kept and the unfinished file removed.
	grace = 2 * time.Second
	// inFlight bounds the bytes of one transfer that were sent or asked for and
	// not answered yet. Servers let no more than 2 MiB under way.
	inFlight = 4 << 20
	// usualPacket is what every server takes in one request, maxPacket what the
	// client can take in one reply; bytes.
	usualPacket = 32 << 10
	maxPacket   = 255 << 10
)

// What a server may offer beyond the third version of the protocol.
const (
	extFsync   = "fsync@openssh.com"
	extLink    = "hardlink@openssh.com"
	extStatVFS = "statvfs@openssh.com"
	extLimits  = "limits@openssh.com"
)

// A conn is one SFTP session on a connection of its own. Its methods may be
// called concurrently.
type conn struct {
	*pkgsftp.Client
	transport *transport
	packet    int            // how many bytes are read and written in one request
	broken    atomic.Bool    // the session has ended
	left      sync.WaitGroup // of later

	mu      sync.Mutex
	waiting int         // calls that wait for the server; guarded by mu
	timer   *time.Timer // runs while they do; guarded by mu

	users  int  // guarded by pool.mu
	moving bool // one of them moves an object's bytes; guarded by pool.mu
}

// connect starts an SFTP session.
func connect(ctx context.Context, d *dialer, t *target) (*conn, error) {
	under, err := d.dial(ctx, t)
	if err != nil {
		return nil, err
	}
	c := &conn{transport: under}
	c.timer = time.AfterFunc(stall, func() { under.cut(fmt.Sprintf("no answer for %s", stall)) })
	stop := context.AfterFunc(ctx, func() { under.cut("cancelled") })
	defer stop()
	if c.Client, err = c.start(); err != nil {
		c.timer.Stop()
		under.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %s offers no SFTP: %v", backend.ErrUnavailable, t, err)
	}
	c.timer.Stop()
	return c, nil
}

func (c *conn) start() (*pkgsftp.Client, error) {
	session, err := c.transport.NewSession()
	if err != nil {
		return nil, err
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	in := &requests{WriteCloser: stdin, tap: c.transport.tap}
	out, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		return nil, err
	}
	hello, packet, err := negotiate(in, out)
	if err != nil {
		return nil, err
	}
	c.packet = packet
	return pkgsftp.NewClientPipe(
		io.MultiReader(bytes.NewReader(hello), &answers{Reader: out, c: c}),
		&afterHello{WriteCloser: in, skip: len(initPacket())},
		pkgsftp.UseConcurrentWrites(true),
		pkgsftp.MaxPacketUnchecked(packet),
		pkgsftp.MaxConcurrentRequestsPerFile(inFlight/packet),
	)
}

// answers is what a server says; every word shows that it works.
type answers struct {
	io.Reader
	c *conn
}

// Read implements io.Reader.
func (a *answers) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	if n > 0 && a.c.waiting > 0 {
		a.c.timer.Reset(stall)
	}
	return n, err
}

// begin and end enclose a wait for the server. One that begins does not prolong
// those under way.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting++; c.waiting == 1 {
		c.timer.Reset(stall)
	}
}

func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		c.timer.Stop()
	}
}

// query makes one small request. When the context ends it returns at once, and
// the request is on its own: f must not touch what belongs to the caller.
func query[T any](ctx context.Context, c *conn, f func() (T, error)) (T, error) {
	type reply struct {
		value T
		err   error
	}
	if err := ctx.Err(); err != nil {
		return *new(T), err
	}
	replies := make(chan reply, 1)
	c.begin()
	c.transport.group.Go(func() {
		defer c.end()
		value, err := f()
		replies <- reply{value, err}
	})
	select {
	case r := <-replies:
		return r.value, c.lost(r.err)
	case <-ctx.Done():
		return *new(T), ctx.Err()
	}
}

// call is query for a request whose reply holds nothing.
func (c *conn) call(ctx context.Context, f func() error) error {
	_, err := query(ctx, c, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// move makes the requests that move an object's bytes, and returns when f does.
// When the context ends, f has a moment to return by itself: then the
// connection is cut.
func (c *conn) move(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	stop := context.AfterFunc(ctx, func() {
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
			c.transport.cut("cancelled")
		}
	})
	defer stop()
	c.begin()
	defer c.end()
	err := f()
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return c.lost(err)
}

// later makes a request whose outcome changes nothing. Only settle waits for it.
func (c *conn) later(f func() error) {
	c.begin()
	c.left.Go(func() {
		defer c.end()
		_ = f()
	})
}

// settle returns when what was left for later is done, or has taken too long.
func (c *conn) settle() {
	late := time.AfterFunc(grace, func() { c.transport.cut("closed") })
	defer late.Stop()
	c.left.Wait()
}

// lost turns the error of a session that has ended into an ErrUnavailable that
// says why it did, and returns every other one as it is.
func (c *conn) lost(err error) error {
	if err == nil || err == io.EOF || !errors.Is(err, pkgsftp.ErrSSHFxConnectionLost) && !errors.Is(err, io.EOF) && !c.transport.ended() {
		return err
	}
	c.broken.Store(true)
	c.transport.cut("the server closed it")
	return fmt.Errorf("%w: connection to %s was lost: %s", backend.ErrUnavailable, c.transport.target, *c.transport.reason.Load())
}

// close ends the session and its connection, and waits for what belongs to them.
func (c *conn) close() {
	c.transport.cut("closed")
	_ = c.Client.Close()
	c.left.Wait()
	c.transport.close()
}

// usable reports whether the session has not ended, as far as is known.
func (c *conn) usable() bool { return !c.broken.Load() && !c.transport.ended() }

// offers reports whether the server has an extension.
func (c *conn) offers(name string) bool {
	_, ok := c.HasExtension(name)
	return ok
}

// The numbers of the packets that negotiate sends and reads.
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpExtended      = 200
	fxpExtendedReply = 201
	protocolVersion  = 3
)

func initPacket() []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 0, 0, 5, fxpInit}, protocolVersion)
}

// negotiate begins a session: it returns what the server says about itself, and
// how many bytes it reads and writes in one request. The client library does
// not ask for the latter, so this comes before it begins.
func negotiate(in io.Writer, out io.Reader) (hello []byte, packet int, err error) {
	if _, err := in.Write(initPacket()); err != nil {
		return nil, 0, err
	}
	kind, body, err := readPacket(out)
	if err != nil {
		return nil, 0, err
	}
	if kind != fxpVersion || len(body) < 4 {
		return nil, 0, errors.New("it does not begin as SFTP does")
	}
	hello = binary.BigEndian.AppendUint32(nil, uint32(1+len(body)))
	hello = append(append(hello, kind), body...)
	if !bytes.Contains(body, []byte(extLimits)) {
		return hello, usualPacket, nil
	}
	request := []byte{fxpExtended, 0, 0, 0, 0}
	request = binary.BigEndian.AppendUint32(request, uint32(len(extLimits)))
	request = append(request, extLimits...)
	if _, err := in.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return nil, 0, err
	}
	kind, body, err = readPacket(out)
	if err != nil {
		return nil, 0, err
	}
	if kind != fxpExtendedReply || len(body) < 4+4*8 {
		return hello, usualPacket, nil
	}
	packet = maxPacket
	for _, limit := range []int{1, 2} { // of reads and of writes; the first is that of whole packets
		if n := binary.BigEndian.Uint64(body[4+8*limit:]); n > 0 && n < uint64(packet) {
			packet = int(n)
		}
	}
	return hello, packet, nil
}

// readPacket reads one packet, its request's number included.
func readPacket(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 1 || n > 256<<10 {
		return 0, nil, errors.New("it does not begin as SFTP does: commands that the login runs there may print something")
	}
	body = make([]byte, n-1)
	_, err = io.ReadFull(r, body)
	return head[4], body, err
}

// afterHello drops the first bytes, which were sent before.
type afterHello struct {
	io.WriteCloser
	skip int
}

// Write implements io.Writer. It is not called concurrently.
func (a *afterHello) Write(p []byte) (int, error) {
	n := min(a.skip, len(p))
	a.skip -= n
	if n == len(p) {
		return n, nil
	}
	written, err := a.WriteCloser.Write(p[n:])
	return n + written, err
}
