package servers

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// An SSH is a running server that offers SFTP, and somebody who may use it.
type SSH struct {
	Addr string // host:port
	User string
	Home string // directory whose .ssh holds what is needed to log in
	Dir  string // directory on this machine that the server lets the user write to
	Root string // the same as clients name it
}

// URL returns the location of name below the server's directory.
func (s *SSH) URL(name string) string {
	return fmt.Sprintf("sftp://%s@%s%s", s.User, s.Addr, filepath.Join(s.Root, name))
}

// Via returns the server as one reaches it through p.
func (s *SSH) Via(t testing.TB, p *Proxy) *SSH {
	t.Helper()
	via := *s
	via.Addr, via.Home = p.Addr(), t.TempDir()
	key, keyErr := os.ReadFile(filepath.Join(s.Home, ".ssh", "id_ed25519"))
	known, knownErr := os.ReadFile(s.KnownHosts())
	known = bytes.ReplaceAll(known, []byte(knownhosts.Normalize(s.Addr)), []byte(knownhosts.Normalize(via.Addr)))
	dotSSH := filepath.Join(via.Home, ".ssh")
	err := errors.Join(keyErr, knownErr, os.Mkdir(dotSSH, 0o700),
		os.WriteFile(filepath.Join(dotSSH, "id_ed25519"), key, 0o600),
		os.WriteFile(via.KnownHosts(), known, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return &via
}

// OpenSSHOptions of OpenSSH. The zero value is a server as Debian sets it up.
type OpenSSHOptions struct {
	Chroot bool     // the user sees nothing but the directory; needs root
	Denied string   // a request that the server neither offers nor grants
	User   string   // who logs in; empty: whoever runs the tests
	Lines  []string // of the configuration; they count for more than the usual ones
}

// OpenSSH starts Debian's sshd for the time of the test.
func OpenSSH(t testing.TB, o OpenSSHOptions) *SSH {
	t.Helper()
	needed(t)
	s, dir, err := startOpenSSH(o)
	if dir != "" {
		t.Cleanup(func() { stop(dir) })
	}
	if err != nil {
		t.Fatalf("start sshd: %v", err)
	}
	return s
}

// StartOpenSSH is OpenSSH for those who have no testing.TB. They call stop, also
// after an error.
func StartOpenSSH(o OpenSSHOptions) (s *SSH, stopped func(), err error) {
	s, dir, err := startOpenSSH(o)
	return s, func() { stop(dir) }, err
}

// stop ends the server that keeps everything it has below dir.
func stop(dir string) {
	if alive, ok := pipes.LoadAndDelete(dir); ok {
		_ = alive.(io.Closer).Close()
	}
}

func startOpenSSH(o OpenSSHOptions) (s *SSH, dir string, err error) {
	if err := prepareSystem(); err != nil {
		return nil, "", err
	}
	if dir, err = os.MkdirTemp(o.base(), "cairn-sshd-"); err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, dir, err
	}
	who, err := o.user()
	if err != nil {
		return nil, dir, err
	}
	s = &SSH{
		Addr: fmt.Sprintf("127.0.0.1:%d", port), User: who.Username,
		Home: filepath.Join(dir, "home"), Dir: filepath.Join(dir, "root", "data"),
	}
	s.Root = s.Dir
	lines := append(o.Lines[:len(o.Lines):len(o.Lines)], "ListenAddress 127.0.0.1", fmt.Sprintf("Port %d", port),
		"AuthorizedKeysFile "+filepath.Join(dir, "authorized_keys"), "StrictModes no", "PidFile none", "UsePAM no", "UseDNS no",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
		// The server starts sftp-server by the user's shell: bash then reads no
		// ~/.bashrc, which may take seconds.
		"SetEnv SHLVL=1")
	switch {
	case o.Chroot:
		s.Root = "/data"
		lines = append(lines, "ChrootDirectory "+filepath.Dir(s.Dir), "Subsystem sftp internal-sftp")
	case o.User != "": // whose login shell may be none
		lines = append(lines, "Subsystem sftp internal-sftp", "ForceCommand internal-sftp")
	default:
		program := "Subsystem sftp /usr/lib/openssh/sftp-server"
		if o.Denied != "" {
			program += " -P " + o.Denied
		}
		lines = append(lines, program)
	}
	public, err := s.prepare(dir)
	if err == nil && o.User != "" {
		err = giveAway(s.Dir, who)
	}
	if err != nil {
		return nil, dir, err
	}
	for _, name := range []string{"host_ed25519", "host_ecdsa"} {
		lines = append(lines, "HostKey "+filepath.Join(dir, name))
	}
	config := filepath.Join(dir, "sshd_config")
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(public), 0o644),
		os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o644),
	)
	if err == nil {
		err = start(dir, nil, "/usr/sbin/sshd", "-D", "-e", "-f", config)
	}
	if err == nil {
		err = awaitPort(s.Addr)
	}
	if err != nil {
		return nil, dir, fmt.Errorf("%w\n%s", err, logTail(dir))
	}
	return s, dir, nil
}

func (o OpenSSHOptions) user() (*user.User, error) {
	if o.User == "" {
		return user.Current()
	}
	return user.Lookup(o.User)
}

// giveAway makes who the owner of a directory.
func giveAway(dir string, who *user.User) error {
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, -1)
}

// base returns where the server may have its directory.
func (o OpenSSHOptions) base() string {
	if o.Chroot {
		// Nobody but root may be able to change anything above a root directory,
		// so that it cannot be where temporary files are.
		return "/var/lib"
	}
	// What is flushed there is flushed at once: no disk is tested here.
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// prepareSystem makes what sshd wants to find when it runs as root.
func prepareSystem() error {
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		return fmt.Errorf("%w: install openssh-server", err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return os.MkdirAll("/run/sshd", 0o755)
}

// prepare makes keys for the server and its user, whom it returns the public key
// of, and the directories.
func (s *SSH) prepare(dir string) (ssh.PublicKey, error) {
	dotSSH := filepath.Join(s.Home, ".ssh")
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(s.Dir, 0o755), os.MkdirAll(dotSSH, 0o700)); err != nil {
		return nil, err
	}
	public, err := WriteKey(filepath.Join(dotSSH, "id_ed25519"), Ed25519())
	if err != nil {
		return nil, err
	}
	var known []string
	for name, key := range map[string]crypto.Signer{"host_ed25519": Ed25519(), "host_ecdsa": ecdsaKey()} {
		public, err := WriteKey(filepath.Join(dir, name), key)
		if err != nil {
			return nil, err
		}
		known = append(known, knownhosts.Line([]string{s.Addr}, public))
	}
	return public, os.WriteFile(s.KnownHosts(), []byte(strings.Join(known, "\n")+"\n"), 0o600)
}

// KnownHosts returns the file that the user's known hosts are in.
func (s *SSH) KnownHosts() string { return filepath.Join(s.Home, ".ssh", "known_hosts") }

// Ed25519 returns a new key.
func Ed25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // there are no random numbers
	}
	return key
}

func ecdsaKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there are no random numbers
	}
	return key
}

// WriteKey writes a private key to a file, as ssh-keygen does, and returns its
// public key.
func WriteKey(name string, key crypto.Signer) (ssh.PublicKey, error) {
	block, err := ssh.MarshalPrivateKey(key, "cairn test")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(key.Public())
}

// AuthorizedKey returns the line that names a key in files of ssh.
func AuthorizedKey(key ssh.PublicKey) []byte { return ssh.MarshalAuthorizedKey(key) }

// awaitPort returns when somebody listens at an address.
func awaitPort(addr string) error {
	var err error
	for begun := time.Now(); time.Since(begun) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		var conn net.Conn
		if conn, err = net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("nobody listens after half a minute: %w", err)
}
