package sftp_test

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"cairn/backend"
	"cairn/backend/sftp"
	"cairn/test/servers"
)

// A guest is somebody who tries to log in.
type guest struct {
	t      *testing.T
	server *servers.SSH
	dotSSH string
	o      sftp.Options
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	server := servers.PkgSFTP(t, servers.PkgSFTPOptions{})
	return &guest{
		t: t, server: server, dotSSH: filepath.Join(server.Home, ".ssh"),
		o: sftp.Options{Home: server.Home, User: server.User},
	}
}

func (g *guest) read(name string) []byte {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dotSSH, name))
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

func (g *guest) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dotSSH, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// login tries to log in at a URL.
func (g *guest) login(url string) error {
	g.t.Helper()
	l, err := sftp.Parse(url)
	if err != nil {
		g.t.Fatal(err)
	}
	s, err := sftp.Dial(g.t.Context(), l, g.o)
	if err != nil {
		return err
	}
	return s.Close()
}

// wantIn and wantOut hold how a login at the server ends.
func (g *guest) wantIn(what string) {
	g.t.Helper()
	if err := g.login(g.server.URL("x")); err != nil {
		g.t.Errorf("%s: got %v, want to be let in", what, err)
	}
}

func (g *guest) wantOut(what string, words ...string) {
	g.t.Helper()
	err := g.login(g.server.URL("x"))
	if !errors.Is(err, backend.ErrDenied) || !backend.Permanent(err) {
		g.t.Errorf("%s: got %v, want ErrDenied", what, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			g.t.Errorf("%s: got %v, want it to say %q", what, err, word)
		}
	}
}

// hostKey returns the server's key that the lines of known_hosts hold.
func (g *guest) hostKey(kind string) ssh.PublicKey {
	g.t.Helper()
	rest := g.read("known_hosts")
	for {
		_, _, key, _, next, err := ssh.ParseKnownHosts(rest)
		if err != nil {
			g.t.Fatal(err)
		}
		if key.Type() == kind {
			return key
		}
		rest = next
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	key := g.hostKey(ssh.KeyAlgoED25519)
	line := knownhosts.Line([]string{g.server.Addr}, key)
	other, err := servers.WriteKey(filepath.Join(t.TempDir(), "other"), servers.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	_, keyText, _ := strings.Cut(line, " ")
	g.wantIn("known")

	g.write("known_hosts", knownhosts.HashHostname(knownhosts.Normalize(g.server.Addr))+" "+keyText+"\n")
	g.wantIn("hashed")

	if err := os.Remove(filepath.Join(g.dotSSH, "known_hosts")); err != nil {
		t.Fatal(err)
	}
	g.wantOut("no file", ssh.FingerprintSHA256(key), line, g.server.Home+"/.ssh/known_hosts")
	g.write("known_hosts", "elsewhere "+keyText+"\n")
	g.wantOut("unknown", ssh.FingerprintSHA256(key), line)

	g.write("known_hosts", "# a comment\n"+knownhosts.Line([]string{g.server.Addr}, other)+"\n")
	g.wantOut("changed", "known_hosts:2", "ssh-keygen -R", ssh.FingerprintSHA256(key))
	var changed *sftp.HostKeyError
	if err := g.login(g.server.URL("x")); !errors.As(err, &changed) || len(changed.Known) != 1 {
		t.Errorf("changed: got %v, want a HostKeyError", err)
	}
	g.write("known_hosts", line+"\n@revoked * "+keyText+"\n")
	g.wantOut("revoked", "revoked", "known_hosts:2")

	name := knownhosts.Normalize(g.server.Addr)
	g.write("known_hosts", "@cert-authority "+name+" "+strings.TrimSpace(string(servers.AuthorizedKey(other)))+"\n")
	g.wantOut("no certificate", "known_hosts:1")
	g.write("known_hosts", string(g.read("known_hosts"))+line+"\n")
	g.wantIn("known besides an authority")
	g.write("known_hosts", "127.0.0.1 "+keyText+"\n")
	g.wantIn("known by another port")
	g.write("known_hosts", "127.0.0.1 "+strings.TrimSpace(string(servers.AuthorizedKey(other)))+"\n")
	g.wantOut("another server on another port", "is not known", line)

	g.write("known_hosts", line+"\nnonsense\n")
	if err := g.login(g.server.URL("x")); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "known_hosts:2") {
		t.Errorf("damaged line: got %v, want it to be named", err)
	}
}

// TestOtherKindOfHostKey: a server that is known by one of its keys is asked for
// that one, and not called changed because it would rather show another.
func TestOtherKindOfHostKey(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{})
	g := &guest{t: t, server: server, dotSSH: filepath.Join(server.Home, ".ssh"), o: sftp.Options{Home: server.Home, User: server.User}}
	for _, kind := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256} {
		all := string(g.read("known_hosts"))
		g.write("known_hosts", knownhosts.Line([]string{server.Addr}, g.hostKey(kind))+"\n")
		g.wantIn("known by " + kind)
		g.write("known_hosts", all)
	}
}

func TestLockedKey(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	raw, err := ssh.ParseRawPrivateKey(g.read("id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(raw, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	g.write("id_ed25519", string(pem.EncodeToMemory(block)))
	g.wantOut("nobody to ask", "id_ed25519 has a passphrase", "ssh agent")

	var asked []string
	answers := []string{"wrong", "open sesame"}
	g.o.Ask = func(_ context.Context, prompt string) ([]byte, error) {
		asked = append(asked, prompt)
		return []byte(answers[min(len(asked), len(answers))-1]), nil
	}
	g.wantIn("asked")
	if len(asked) != 2 || !strings.Contains(asked[0], "id_ed25519") {
		t.Errorf("asked %q, want twice for the key", asked)
	}
	asked = nil
	answers = []string{"wrong"}
	g.wantOut("wrong passphrase", "the passphrase is wrong")
	g.o.Ask = func(context.Context, string) ([]byte, error) { return nil, errors.New("no terminal") }
	g.wantOut("cannot ask", "no terminal")

	// A key that the server does not want is no reason to ask for its passphrase.
	if _, err := servers.WriteKey(filepath.Join(g.dotSSH, "id_rsa"), servers.Ed25519()); err != nil {
		t.Fatal(err)
	}
	g.wantOut("cannot ask for one key, may not use the other", "no terminal")
}

func TestAgent(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	raw, err := ssh.ParseRawPrivateKey(g.read("id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(g.dotSSH, "id_ed25519")); err != nil {
		t.Fatal(err)
	}
	g.wantOut("no key", "no key")

	ring := agent.NewKeyring()
	for _, key := range []any{servers.Ed25519(), raw} {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	g.o.AgentSocket = filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", g.o.AgentSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	g.wantIn("agent")
	g.write("config", "Host *\n  IdentitiesOnly yes\n")
	g.wantOut("identities only", "no key")
	g.write("config", "Host *\n  IdentityAgent none\n")
	g.wantOut("no agent", "no key")
	listener.Close()
	g.write("config", "")
	g.wantOut("dead agent", "agent does not answer")
}

// TestCertificate logs in at OpenSSH with a certificate, and with certificates
// of hosts.
func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority := servers.Ed25519()
	public, err := servers.WriteKey(filepath.Join(dir, "authority"), authority)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "authority.pub"), servers.AuthorizedKey(public), 0o644); err != nil {
		t.Fatal(err)
	}
	host, err := servers.WriteKey(filepath.Join(dir, "host"), servers.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ssh.PublicKey, kind uint32, principal, file string) {
		t.Helper()
		signer, err := ssh.NewSignerFromKey(authority)
		if err != nil {
			t.Fatal(err)
		}
		c := &ssh.Certificate{Key: key, CertType: kind, ValidPrincipals: []string{principal}, ValidBefore: ssh.CertTimeInfinity}
		if err := errors.Join(c.SignCert(rand.Reader, signer), os.WriteFile(file, ssh.MarshalAuthorizedKey(c), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	sign(host, ssh.HostCert, "127.0.0.1", filepath.Join(dir, "host-cert.pub"))
	server := servers.OpenSSH(t, servers.OpenSSHOptions{Lines: []string{
		"TrustedUserCAKeys " + filepath.Join(dir, "authority.pub"),
		"HostKey " + filepath.Join(dir, "host"), "HostCertificate " + filepath.Join(dir, "host-cert.pub"),
	}})
	g := &guest{t: t, server: server, dotSSH: filepath.Join(server.Home, ".ssh"), o: sftp.Options{Home: server.Home, User: server.User}}
	g.write("known_hosts", "@cert-authority 127.* "+string(servers.AuthorizedKey(public)))
	g.wantIn("certified host")
	mine, err := servers.WriteKey(filepath.Join(g.dotSSH, "id_ed25519"), servers.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	g.wantOut("no certificate", "id_ed25519")
	sign(mine, ssh.UserCert, server.User, filepath.Join(g.dotSSH, "id_ed25519-cert.pub"))
	g.wantIn("certificate")
	g.write("known_hosts", "@cert-authority 127.* "+string(servers.AuthorizedKey(mine)))
	g.wantOut("another authority", "certificate")
}

// TestJump reaches a server through two others, all named in the configuration.
func TestJump(t *testing.T) {
	t.Parallel()
	server := servers.OpenSSH(t, servers.OpenSSHOptions{})
	host, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	g := &guest{t: t, server: server, dotSSH: filepath.Join(home, ".ssh"), o: sftp.Options{Home: home, User: "nobody-here"}}
	if err := os.CopyFS(g.dotSSH, os.DirFS(filepath.Join(server.Home, ".ssh"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(g.dotSSH, "id_ed25519"), filepath.Join(g.dotSSH, "special key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(g.dotSSH, "special key"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
Host inner
	HostName %[1]s
	ProxyJump first,%[3]s@second:%[2]s
Match exec "true"
	User somebody-else
Host first second
	HostName %[1]s
Host *
	Port %[2]s
	User %[3]s
	IdentityFile "~/.ssh/special key"
`, host, port, server.User)
	g.write("config", config)
	if err := g.login("sftp://inner" + server.Root); err != nil {
		t.Errorf("through two hosts: %v", err)
	}
	g.write("config", strings.Replace(config, "Host first second", "Host first second\n\tProxyJump inner", 1))
	if err := g.login("sftp://inner" + server.Root); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("in a circle: got %v, want ErrInvalid", err)
	}
	g.write("config", config+"\tProxyCommand nc %h %p\n")
	if err := g.login("sftp://first" + server.Root); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "ProxyJump") {
		t.Errorf("proxy command: got %v, want it named", err)
	}
	g.write("config", strings.Replace(config, "HostName "+host, "HostName 127.0.0.1\n\tConnectTimeout 1\n\tPort 1", 1))
	err = g.login("sftp://first" + server.Root)
	if err != nil {
		t.Errorf("the second block does not count for first: %v", err)
	}
}
