package pace_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend/pace"
)

// TestLimits holds that connections share what is allowed in a second, each way.
func TestLimits(t *testing.T) {
	t.Parallel()
	const rate, n = 64 << 10, 1 << 20
	sent := bytes.Repeat([]byte("0123456789abcdef"), n/16)
	for name, c := range map[string]struct {
		limits *pace.Limits
		least  time.Duration
	}{
		"none": {pace.NewLimits(0, 0), 0},
		"up":   {pace.NewLimits(rate, 0), 2 * n / rate * time.Second},
		"down": {pace.NewLimits(0, rate), 2 * n / rate * time.Second},
		"both": {pace.NewLimits(rate, 2*rate), 2 * n / rate * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				done := make(chan bool)
				for range 2 {
					here, there := net.Pipe()
					go func() { _, _ = io.Copy(there, there) }()
					conn := c.limits.Conn(here)
					go func() {
						if n, err := conn.Write(sent); n != len(sent) || err != nil {
							t.Errorf("write: got %d, %v", n, err)
						}
					}()
					go func() {
						got := make([]byte, n)
						_, err := io.ReadFull(conn, got)
						conn.Close()
						done <- err == nil && bytes.Equal(got, sent)
					}()
				}
				if a, b := <-done, <-done; !a || !b {
					t.Error("what came back is not what was sent")
				}
				// The first piece goes at once.
				if took := time.Since(begun); took < c.least-time.Second || took > c.least+2*time.Second {
					t.Errorf("took %s, want about %s", took, c.least)
				}
			})
		})
	}
}

// TestLimitEndsWithTheConnection: whoever waits for his turn on a connection
// that is closed waits no longer.
func TestLimitEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		conn := pace.NewLimits(1, 0).Conn(here)
		ended := make(chan error)
		go func() {
			_, err := conn.Write(make([]byte, 64<<10))
			ended <- err
		}()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		synctest.Wait()
		begun := time.Now()
		conn.Close()
		if err := <-ended; err == nil || time.Since(begun) > 0 {
			t.Errorf("write: got %v after %s, want an error at once", err, time.Since(begun))
		}
	})
}
