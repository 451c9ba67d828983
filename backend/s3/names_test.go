package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/retry"
	"cairn/backend/s3"
)

// What a DNS server answers, as RFC 1035 §4.1.1 numbers it.
const (
	nameIsThere   = 0
	serverFailure = 2
	nameUnknown   = 3
)

// A nameServer answers for every name what says returns, and the address of the
// loopback where that is nameIsThere.
type nameServer struct {
	says  func() int
	asked atomic.Int64
}

// resolve makes a nameServer the one that this process asks until the end of the
// test. That is everybody's: no test beside this one may run.
func resolve(t *testing.T, says func() int) *nameServer {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	s, done := &nameServer{says: says}, make(chan struct{})
	go func() {
		defer close(done)
		s.serve(conn)
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		conn.Close()
		<-done
	})
	return s
}

// serve answers until the connection is closed.
func (s *nameServer) serve(conn *net.UDPConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		_, _ = conn.WriteToUDP(reply(buf[:n], s.says()), from)
		s.asked.Add(1)
	}
}

// reply returns the answer to a query with one question (RFC 1035 §4.1): the
// loopback's address, if one of version 4 is wanted.
func reply(query []byte, says int) []byte {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5 // the root's label, the type and the class
	p := append([]byte(nil), query[:end]...)
	p[2], p[3] = 0x81, 0x80|byte(says) // an answer; recursion was wanted, and can be had
	clear(p[6:12])
	if says == nameIsThere && query[end-3] == 1 { // type A
		p[7] = 1
		p = append(p, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1)
	}
	return p
}

// named opens the store of a server that holds nothing, under a name that the
// DNS has to know. A call is repeated for as long as the greeting takes.
func named(t *testing.T, greeting time.Duration) (*retry.Store, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	o := s3.Options{Scheme: s3.PlainHTTP, Host: "store.example.:" + port, Bucket: "bucket", Region: "us-east-1"}
	s := retry.New(open(t, o, "key", "secret", ""), retry.Options{
		Peer: new(retry.Peer), FirstWait: time.Millisecond, MaxWait: 10 * time.Millisecond, Greeting: greeting,
	})
	t.Cleanup(func() { s.Close() })
	return s, server
}

// TestNameUnknown: a name that does not exist is given up at once.
func TestNameUnknown(t *testing.T) { // not parallel: see resolve
	names := resolve(t, func() int { return nameUnknown })
	s, _ := named(t, time.Minute)
	_, err := s.Stat(t.Context(), "packs/x")
	if !errors.Is(err, backend.ErrNowhere) || !strings.Contains(fmt.Sprint(err), "store.example") {
		t.Errorf("got %v, want that nobody is there", err)
	}
	if n := names.asked.Load(); n > 2 {
		t.Errorf("the DNS was asked %d times, want once for each kind of address", n)
	}
}

// TestNameServerFails: what the DNS cannot say now it may say in a moment, but
// the wait for a store that nobody has met has an end.
func TestNameServerFails(t *testing.T) { // not parallel: see resolve
	names := resolve(t, func() int { return serverFailure })
	s, _ := named(t, time.Second)
	_, err := s.Stat(t.Context(), "packs/x")
	if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNowhere) {
		t.Errorf("got %v, want that the store is unavailable", err)
	}
	if n := names.asked.Load(); n <= 4 { // twice for each kind of address, by one attempt
		t.Errorf("the DNS was asked %d times, want again and again", n)
	}
}

// TestNameServerRecovers: the DNS fails at first; later it knows nothing of a
// store that was there a moment ago. Neither is the end.
func TestNameServerRecovers(t *testing.T) { // not parallel: see resolve
	var says atomic.Int64
	var fails atomic.Int64 // answers before the name is there again
	resolve(t, func() int {
		if fails.Add(-1) >= 0 {
			return int(says.Load())
		}
		return nameIsThere
	})
	s, server := named(t, time.Minute)
	for _, trouble := range []int64{serverFailure, nameUnknown} {
		says.Store(trouble)
		fails.Store(8)
		server.CloseClientConnections() // so that the name is asked for again
		if _, err := s.Stat(t.Context(), "packs/x"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("after answer %d of the DNS: got %v, want the store's own answer", trouble, err)
		}
		if fails.Load() > 0 {
			t.Errorf("after answer %d of the DNS: it was not asked", trouble)
		}
	}
}
