package s3_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend/s3"
)

// TestSilence: whoever waits for an answer is not left waiting for ever, but as
// long as something is sent the other side may be silent.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		c := s3.Watch(here)
		defer c.Close()
		begun := time.Now()
		ended := make(chan time.Duration)
		go func() {
			_, err := c.Read(make([]byte, 1))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: got %v, want ErrDeadlineExceeded", err)
			}
			ended <- time.Since(begun)
		}()
		const sends, every = 5, s3.Silence * 2 / 3
		for range sends {
			time.Sleep(every)
			go func() { _, _ = there.Read(make([]byte, 1)) }()
			if _, err := c.Write([]byte{1}); err != nil {
				t.Errorf("write: %v", err)
			}
		}
		if got, want := <-ended, sends*every+s3.Silence; got != want {
			t.Errorf("the wait ended after %v, want %v", got, want)
		}
	})
}
