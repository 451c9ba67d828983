package servers

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// PkgSFTPOptions of PkgSFTP. The zero value is useful.
type PkgSFTPOptions struct {
	// Connections is how many the server lets in at the same time; 0 means any
	// number. It closes the others at once, as a server does that is full.
	Connections int
	// Hidden names an extension that the server does not offer.
	Hidden string
}

// PkgSFTP starts a server in this process for the time of the test. It flushes
// nothing, its renames replace what is there, and it passes on the words of the
// system. It needs no program, so that tests with -short may use it.
func PkgSFTP(t testing.TB, o PkgSFTPOptions) *SSH {
	t.Helper()
	s, err := startPkgSFTP(t, o)
	if err != nil {
		t.Fatalf("start an SFTP server: %v", err)
	}
	return s
}

func startPkgSFTP(t testing.TB, o PkgSFTPOptions) (*SSH, error) {
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &SSH{
		Addr: listener.Addr().String(), User: "somebody",
		Home: filepath.Join(dir, "home"), Dir: filepath.Join(dir, "data"), Root: filepath.Join(dir, "data"),
	}
	public, err := s.prepare(dir)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), public.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	text, err := os.ReadFile(filepath.Join(dir, "host_ed25519"))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	host, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	config.AddHostKey(host)
	d := &sftpd{config: config, options: o, dir: s.Dir, conns: make(map[net.Conn]bool)}
	d.group.Go(func() { d.accept(listener) })
	t.Cleanup(func() {
		listener.Close()
		d.hangUp()
		d.group.Wait()
	})
	return s, nil
}

// sftpd is an SFTP server in this process.
type sftpd struct {
	config  *ssh.ServerConfig
	options PkgSFTPOptions
	dir     string
	group   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu
	over  bool              // guarded by mu
}

func (d *sftpd) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if !d.admit(conn) {
			conn.Close()
			continue
		}
		d.group.Go(func() {
			d.serve(conn)
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.conns, conn)
		})
	}
}

func (d *sftpd) admit(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || d.options.Connections > 0 && len(d.conns) >= d.options.Connections {
		return false
	}
	d.conns[conn] = true
	return true
}

func (d *sftpd) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	for conn := range d.conns {
		conn.Close()
	}
}

func (d *sftpd) serve(conn net.Conn) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, d.config)
	if err != nil {
		return
	}
	defer server.Close()
	d.group.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		d.group.Go(func() {
			for r := range asked {
				ok := r.Type == "subsystem" && string(r.Payload[4:]) == "sftp"
				_ = r.Reply(ok, nil)
				if ok {
					d.group.Go(func() { d.session(channel) })
				}
			}
		})
	}
}

func (d *sftpd) session(channel ssh.Channel) {
	defer channel.Close()
	server, err := sftp.NewServer(&hiding{Channel: channel, name: d.options.Hidden}, sftp.WithServerWorkingDirectory(d.dir))
	if err == nil {
		_ = server.Serve()
	}
}

// hiding is a channel that does not let the name of an extension through.
type hiding struct {
	ssh.Channel
	name string
}

// Write implements io.Writer.
func (h *hiding) Write(p []byte) (int, error) {
	if h.name != "" && bytes.Contains(p, []byte(h.name)) {
		p = bytes.ReplaceAll(p, []byte(h.name), bytes.Repeat([]byte("x"), len(h.name)))
	}
	return h.Channel.Write(p)
}
