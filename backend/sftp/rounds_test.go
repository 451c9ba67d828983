package sftp_test

import (
	"fmt"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/sftp"
	"cairn/test/servers"
)

// TestRoundTrips holds how often the register waits for the server: that many
// times as long as a proxy delays every answer.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	skipLong(t)
	for name, server := range map[string]*servers.SSH{
		"OpenSSH": servers.OpenSSH(t, servers.OpenSSHOptions{}),
		"pkg":     servers.PkgSFTP(t, servers.PkgSFTPOptions{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, _ := create(t, server)
			far := dial(t, server.Via(t, servers.Between(t, server.Addr, servers.Faults{Delay: trip})), "store")
			defer far.Close()
			tag, err := near.Swap(t.Context(), "", []byte("value 0"))
			if err != nil {
				t.Fatal(err)
			}
			want := func(what string, most int, do func() error) {
				t.Helper()
				begun := time.Now()
				if err := do(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				took := time.Since(begun)
				t.Logf("%s: %.1f round trips", what, took.Seconds()/trip.Seconds())
				if took > time.Duration(most)*trip+trip*3/4 {
					t.Errorf("%s: took %s, want %d round trips of %s", what, took, most, trip)
				}
			}
			load := func(s *sftp.Store, known backend.Tag) func() error {
				return func() (err error) {
					_, tag, err = s.Load(t.Context(), known)
					return err
				}
			}
			swap := func(s *sftp.Store, value string) func() error {
				return func() (err error) {
					tag, err = s.Swap(t.Context(), tag, []byte(value))
					return err
				}
			}
			want("first load", 10, load(far, ""))
			want("load of the same", 3, load(far, tag))
			// The first swap of a process looks whether the directory is durable.
			want("first swap", 7, swap(far, "value 1"))
			for i := range 3 {
				want("swap", 6, swap(far, fmt.Sprintf("value %d", 2+i)))
			}
			want("load of an own value", 3, load(far, ""))
			if err := swap(near, "another's")(); err != nil {
				t.Fatal(err)
			}
			want("load of a change", 5, load(far, ""))
		})
	}
}

// trip is long beside what the server and this machine need for anything.
const trip = 150 * time.Millisecond
