package sftp_test

import (
	"errors"
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
			// want takes the shortest of some tries: the machine may be busy.
			want := func(what string, most, tries int, do func() error) {
				t.Helper()
				took := time.Hour
				for range tries {
					begun := time.Now()
					if err := do(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					took = min(took, time.Since(begun))
				}
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
			n := 0
			swap := func(s *sftp.Store) func() error {
				return func() (err error) {
					n++
					tag, err = s.Swap(t.Context(), tag, fmt.Appendf(nil, "value %d", n))
					return err
				}
			}
			// The first ones of a process take some more.
			want("load of the same", 3, 3, load(far, tag))
			want("swap", 6, 4, swap(far))
			want("load of an own value", 3, 2, load(far, ""))
			want("load of a change", 5, 3, func() error { return errors.Join(swap(near)(), load(far, "")()) })
		})
	}
}

// trip is long beside what the server and this machine need for anything.
const trip = 200 * time.Millisecond
