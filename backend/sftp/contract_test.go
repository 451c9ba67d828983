package sftp_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/sftp"
	"cairn/test/servers"
)

// dial connects to a directory of the server, which may not be there yet.
func dial(t testing.TB, s *servers.SSH, name string) *sftp.Store {
	t.Helper()
	l, err := sftp.Parse(s.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; {
		store, err := sftp.Dial(t.Context(), l, sftp.Options{Home: s.Home, User: s.User})
		if err == nil {
			return store
		}
		// Tests that begin at the same time may be too many for the server.
		if !errors.Is(err, backend.ErrUnavailable) || time.Since(begun) > time.Minute {
			t.Fatal(err)
		}
	}
}

// opener returns a function that makes new stores on the server.
func opener(s *servers.SSH) func(t testing.TB) *sftp.Store {
	var made atomic.Int64
	return func(t testing.TB) *sftp.Store {
		t.Helper()
		store := dial(t, s, fmt.Sprintf("store%d", made.Add(1)))
		if err := store.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		return store
	}
}

// skipLong skips a test that takes long, though it needs no server but one in
// this process.
func skipLong(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}

// runAll holds stores on a server to both contracts.
func runAll(t *testing.T, s *servers.SSH) {
	skipLong(t)
	open := opener(s)
	t.Run("objects", func(t *testing.T) {
		backendtest.Run(t, func(t *testing.T) backend.Backend { return open(t) })
	})
	t.Run("register", func(t *testing.T) {
		backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
			store := open(t)
			t.Cleanup(func() { store.Close() })
			return store
		})
	})
}

func TestOpenSSH(t *testing.T) {
	t.Parallel()
	runAll(t, servers.OpenSSH(t, servers.OpenSSHOptions{}))
}

// TestChroot holds the contracts where people are given a directory and nothing
// else, on a server that lets in few at the same time.
func TestChroot(t *testing.T) {
	t.Parallel()
	runAll(t, servers.OpenSSH(t, servers.OpenSSHOptions{Chroot: true, Lines: []string{"MaxSessions 1", "MaxStartups 3"}}))
}

func TestPkgSFTP(t *testing.T) {
	t.Parallel()
	runAll(t, servers.PkgSFTP(t, servers.PkgSFTPOptions{}))
}

// TestOneConnection holds that a store works through a single connection.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	skipLong(t)
	backendtest.Run(t, func(t *testing.T) backend.Backend {
		return opener(servers.PkgSFTP(t, servers.PkgSFTPOptions{Connections: 1}))(t)
	})
}

// TestNoHardLinks holds what a server can that neither links nor renames
// exclusively: nothing is written there.
func TestNoHardLinks(t *testing.T) {
	t.Parallel()
	s := opener(servers.PkgSFTP(t, servers.PkgSFTPOptions{Hidden: "hardlink@openssh.com"}))(t)
	defer s.Close()
	_, swapErr := s.Swap(t.Context(), "", []byte("v"))
	for _, err := range []error{s.Put(t.Context(), "k", []byte("x")), swapErr} {
		if !errors.Is(err, backend.ErrDenied) {
			t.Errorf("got %v, want ErrDenied", err)
		}
	}
}

// TestRenames holds that a server without hard links is good enough if its
// renames leave alone what is there.
func TestRenames(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{Denied: "hardlink"})
	open := opener(server)
	backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
		store := open(t)
		t.Cleanup(func() { store.Close() })
		return store
	})
}
