package servers

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo starts a server that says what it is told.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return listener.Addr().String()
}

// said sends n bytes and returns how many of them come back, and how long that
// took.
func said(t *testing.T, p *Proxy, n int) (back int, took time.Duration) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := bytes.Repeat([]byte("cairn"), n/5+1)[:n]
	begun := time.Now()
	go func() { _, _ = c.Write(sent) }()
	got, _ := io.ReadAll(io.LimitReader(c, int64(n)))
	if !bytes.Equal(got, sent[:len(got)]) {
		t.Errorf("what came back is not what was sent")
	}
	return len(got), time.Since(begun)
}

// TestDelay: every answer is late by as much, and a long one by no more.
func TestDelay(t *testing.T) {
	t.Parallel()
	const delay = 200 * time.Millisecond
	p := Between(t, echo(t), Faults{Delay: delay})
	for _, n := range []int{1, 4 << 20} {
		if back, took := said(t, p, n); back != n || took < delay || took > 20*delay {
			t.Errorf("%d bytes: got %d back after %s, want all of them after %s, and not %s for every piece", n, back, took, delay, delay)
		}
	}
}

// TestRate: bytes take their time, those of several connections together.
func TestRate(t *testing.T) {
	t.Parallel()
	const rate, n = 2 << 20, 1 << 19
	p := Between(t, echo(t), Faults{Rate: rate})
	begun := time.Now()
	done := make(chan bool)
	for range 2 {
		go func() {
			back, _ := said(t, p, n)
			done <- back == n
		}()
	}
	if a, b := <-done, <-done; !a || !b {
		t.Error("not everything came back")
	}
	if took, least := time.Since(begun), time.Second*2*n/rate; took < least || took > 4*least {
		t.Errorf("took %s, want %s and little more", took, least)
	}
	if got := p.Sent(); got != 2*n {
		t.Errorf("got %d bytes sent, want %d", got, 2*n)
	}
}

// TestCuts: connections are cut where they should be, and as often.
func TestCuts(t *testing.T) {
	t.Parallel()
	const every, cuts = 1 << 20, 2
	p := Between(t, echo(t), Faults{CutEvery: every, Cuts: cuts})
	for i := range cuts {
		if back, _ := said(t, p, 2*every); back >= 2*every {
			t.Errorf("connection %d: got all back, want it cut", i)
		}
		if got := p.Cuts(); got != i+1 {
			t.Errorf("got %d cuts, want %d", got, i+1)
		}
	}
	if back, _ := said(t, p, 3*every); back != 3*every || p.Cuts() != cuts {
		t.Errorf("got %d bytes back and %d cuts, want all of them and %d", back, p.Cuts(), cuts)
	}
	p = Between(t, echo(t), Faults{CutAfter: every})
	for range cuts {
		if back, _ := said(t, p, 2*every); back >= 2*every {
			t.Error("got all back, want it cut")
		}
	}
}
