package sftp

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"cairn/backend"
)

// HostKeyError reports a server that was not talked to, because nothing says
// that it is the one it claims to be. It is an ErrDenied: it will not pass by
// itself.
type HostKeyError struct {
	Host        string // as known_hosts names it
	Algorithm   string // of the server's key
	Fingerprint string // of the server's key, as ssh prints it; empty if it was not shown
	// Line is what accepts the key when it stands in File.
	Line, File string
	// Known tells where other keys of this host are: file:line. Empty if the
	// host is not known.
	Known []string
	// Revoked tells where this very key is declared invalid: file:line, or empty.
	Revoked string
}

// Error implements error.
func (e *HostKeyError) Error() string {
	switch {
	case e.Revoked != "":
		return fmt.Sprintf("the key of host %s, %s %s, is revoked in %s: do not use this server", e.Host, e.Algorithm, e.Fingerprint, e.Revoked)
	case len(e.Known) == 0:
		return fmt.Sprintf("host %s is not known: its key is %s %s; if the server's owner confirms this, accept it with: echo '%s' >> '%s'",
			e.Host, e.Algorithm, e.Fingerprint, e.Line, e.File)
	case e.Fingerprint == "":
		return fmt.Sprintf("host %s has no key of the kinds that are in %s: somebody may be in between, or the server is another one; "+
			"if its owner confirms this, forget the old keys with: ssh-keygen -R '%s'", e.Host, strings.Join(e.Known, " and "), e.Host)
	}
	return fmt.Sprintf("the key of host %s has changed: it is %s %s, and not what is in %s; somebody may be in between, or the server is another one; "+
		"if its owner confirms this, forget the old keys with: ssh-keygen -R '%s'",
		e.Host, e.Algorithm, e.Fingerprint, strings.Join(e.Known, " and "), e.Host)
}

// Is makes a HostKeyError an ErrDenied.
func (e *HostKeyError) Is(target error) bool { return target == backend.ErrDenied }

// trusted is what the files of known hosts say of one host.
type trusted struct {
	address    string // host:port, as the host is looked up in the files
	plain      string // the same without its unusual port, if only that is known
	check      ssh.HostKeyCallback
	algorithms []string // that the host's keys can be of; nil if it is not known
	known      []string // where its keys are: file:line
	file       string   // where a further key is to be added
}

// trust reads the files of known hosts of t, of which some may be missing.
func trust(t *target) (*trusted, error) {
	k := &trusted{address: t.address()}
	if t.keyAlias != "" {
		k.address = net.JoinHostPort(t.keyAlias, "22")
	}
	var files []string
	for _, name := range t.knownHosts {
		switch _, err := os.Stat(name); {
		case err == nil:
			files = append(files, name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w: known hosts: %v", backend.ErrInvalid, err)
		}
	}
	if len(t.knownHosts) > 0 {
		k.file = t.knownHosts[0]
	}
	check, err := knownhosts.New(files...)
	if err != nil {
		return nil, fmt.Errorf("%w: known hosts: %v: correct or remove that line", backend.ErrInvalid, err)
	}
	k.check = check
	return k, k.learn()
}

// nobody is a key that is no host's.
type nobody struct{}

func (nobody) Type() string                        { return "none" }
func (nobody) Marshal() []byte                     { return nil }
func (nobody) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// learn finds out which kinds of keys the host is known by, to ask it for one
// of these: a server has several keys, and would show another one.
func (k *trusted) learn() error {
	var err error
	if k.algorithms, k.known, err = k.lookUp(k.address); err != nil || len(k.known) > 0 {
		return err
	}
	// A server on another port of a host may be another one, or the same: so what
	// is known of the host counts if it fits.
	host, port, err := net.SplitHostPort(k.address)
	if err == nil && port != "22" {
		k.plain = net.JoinHostPort(host, "22")
		k.algorithms, _, err = k.lookUp(k.plain)
	}
	// The order in which a person is best shown a key.
	k.algorithms = slices.Concat(k.algorithms, []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}, algorithmsOf(ssh.KeyAlgoRSA))
	return err
}

// lookUp returns where the keys of a host are, and what they can sign with.
func (k *trusted) lookUp(address string) (algorithms, known []string, err error) {
	var mismatch *knownhosts.KeyError
	err = k.check(address, &net.TCPAddr{}, nobody{})
	if !errors.As(err, &mismatch) {
		return nil, nil, fmt.Errorf("%w: known hosts: %v", backend.ErrInvalid, err)
	}
	for _, key := range mismatch.Want {
		authority, err := isAuthority(key)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: known hosts: %v", backend.ErrInvalid, err)
		}
		if authority { // its own kind says nothing about the keys it vouches for
			algorithms = append(algorithms, certificates()...)
		} else {
			algorithms = append(algorithms, algorithmsOf(key.Key.Type())...)
		}
		known = append(known, fmt.Sprintf("%s:%d", key.Filename, key.Line))
	}
	return algorithms, known, nil
}

// isAuthority reports whether a line is of an authority that signs hosts' keys.
func isAuthority(key knownhosts.KnownKey) (bool, error) {
	f, err := os.Open(key.Filename)
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if n == key.Line {
			return strings.HasPrefix(strings.TrimSpace(lines.Text()), "@cert-authority"), nil
		}
	}
	return false, fmt.Errorf("%s changed while it was read", key.Filename)
}

func certificates() []string {
	return []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}
}

// algorithmsOf returns what a key of the given type can sign with, without the
// broken SHA-1.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// verify is an ssh.HostKeyCallback that answers a *HostKeyError.
func (k *trusted) verify(_ string, remote net.Addr, key ssh.PublicKey) error {
	err := k.check(k.address, remote, key)
	if err == nil || k.plain != "" && k.check(k.plain, remote, key) == nil {
		return nil
	}
	shown := &HostKeyError{
		Host: knownhosts.Normalize(k.address), Algorithm: strings.TrimPrefix(key.Type(), "ssh-"), Fingerprint: ssh.FingerprintSHA256(key),
		Line: knownhosts.Line([]string{k.address}, key), File: k.file,
	}
	var mismatch *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		shown.Revoked = fmt.Sprintf("%s:%d", revoked.Revoked.Filename, revoked.Revoked.Line)
	case errors.As(err, &mismatch):
		shown.Known = k.known
	default: // a certificate that does not hold
		return fmt.Errorf("%w: the certificate that host %s shows does not hold: %v", backend.ErrDenied, shown.Host, err)
	}
	return shown
}

// disagreed turns an error of a handshake in which the server had no key of the
// kinds asked for into a *HostKeyError, and returns any other one as it is.
func (k *trusted) disagreed(err error) error {
	var negotiation *ssh.AlgorithmNegotiationError
	if len(k.known) == 0 || !errors.As(err, &negotiation) || !strings.Contains(err.Error(), "host key") {
		return err
	}
	return &HostKeyError{Host: knownhosts.Normalize(k.address), Known: k.known}
}
