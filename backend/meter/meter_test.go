package meter_test

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"cairn/backend/meter"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	var m meter.Meter
	if got := m.Total(); got.All() != 0 || got.Sent+got.Received != 0 || len(got.Kinds()) != 0 {
		t.Errorf("at first: got %+v, want nothing", got)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			here, there := net.Pipe()
			group.Go(func() {
				_, _ = io.ReadFull(there, make([]byte, 5))
				_, _ = there.Write([]byte("abc"))
				there.Close()
			})
			conn := m.Conn(here)
			m.Request("PUT")
			m.Request("GET")
			m.Request("GET")
			_, _ = conn.Write([]byte("12345"))
			_, _ = io.ReadAll(conn)
			conn.Close()
		})
	}
	group.Wait()
	got := m.Total()
	if got.Sent != 20 || got.Received != 12 || got.All() != 12 || got.Requests["GET"] != 8 {
		t.Errorf("got %+v, want 20 bytes sent, 12 received, 8 GET of 12 requests", got)
	}
	if kinds := got.Kinds(); !slices.Equal(kinds, []string{"GET", "PUT"}) {
		t.Errorf("kinds: got %q, want the most frequent first", kinds)
	}
}
