package sftp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An Ask asks a person for a secret.
type Ask func(ctx context.Context, prompt string) ([]byte, error)

// askTries is how often a wrong answer may be corrected.
const askTries = 3

// secrets remembers what a person was asked, so that further connections ask
// nothing.
type secrets struct {
	mu      sync.Mutex
	answers map[string][]byte     // by prompt; guarded by mu
	signers map[string]ssh.Signer // by file; guarded by mu
}

// answer returns the answer to a prompt, which it asks once.
func (s *secrets) answer(ctx context.Context, ask Ask, prompt string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.answers[prompt]; ok {
		return known, nil
	}
	text, err := ask(ctx, prompt)
	if err != nil {
		return nil, err
	}
	if s.answers == nil {
		s.answers = make(map[string][]byte)
	}
	s.answers[prompt] = text
	return text, nil
}

// forget drops an answer that turned out to be wrong.
func (s *secrets) forget(prompt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers, prompt)
}

// decrypt returns the signer of an encrypted private key. The passphrase is
// asked for once; ask is nil if there is nobody to ask.
func (s *secrets) decrypt(ctx context.Context, ask Ask, file string, text []byte) (ssh.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.signers[file]; known != nil {
		return known, nil
	}
	if ask == nil {
		return nil, fmt.Errorf("key %s has a passphrase, and there is nobody to ask for it: add the key to the ssh agent", file)
	}
	for range askTries {
		passphrase, err := ask(ctx, fmt.Sprintf("Passphrase for key %s: ", file))
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", file, err)
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(text, passphrase)
		if errors.Is(err, x509.IncorrectPasswordError) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", file, err)
		}
		if s.signers == nil {
			s.signers = make(map[string]ssh.Signer)
		}
		s.signers[file] = signer
		return signer, nil
	}
	return nil, fmt.Errorf("key %s: the passphrase is wrong", file)
}

// errLocked ends a login with a key that the server takes and nobody can decrypt.
var errLocked = errors.New("key cannot be used")

// login is one attempt to log in at one host.
type login struct {
	secrets *secrets
	ask     Ask // nil if there is nobody to ask
	target  *target
	agent   io.Closer       // connection to the agent, or nil
	offered []string        // what was tried, for people
	trouble []string        // what could not be tried, and why
	given   map[string]bool // prompts whose answers were sent
}

// close gives up the connection to the agent. The login is over.
func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close()
	}
}

// methods returns the ways to log in, in the order of preference.
func (l *login) methods(ctx context.Context) []ssh.AuthMethod {
	list := []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) { return l.signers(ctx), nil })}
	if l.ask == nil {
		return list
	}
	password := func() (string, error) { return l.answer(ctx, fmt.Sprintf("Password of %s: ", l.target)) }
	challenge := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		var answers []string
		for _, question := range questions {
			answer, err := l.answer(ctx, fmt.Sprintf("%s: %s", l.target, printable(question)))
			if err != nil {
				return nil, err
			}
			answers = append(answers, answer)
		}
		return answers, nil
	}
	return append(list,
		ssh.RetryableAuthMethod(ssh.KeyboardInteractive(challenge), askTries),
		ssh.RetryableAuthMethod(ssh.PasswordCallback(password), askTries))
}

// answer returns what a person answers to a prompt. One that comes again within
// one login was answered wrongly.
func (l *login) answer(ctx context.Context, prompt string) (string, error) {
	if l.given[prompt] {
		l.secrets.forget(prompt)
	}
	text, err := l.secrets.answer(ctx, l.ask, prompt)
	if err != nil {
		return "", err
	}
	if l.given == nil {
		l.given = make(map[string]bool)
	}
	l.given[prompt] = true
	return string(text), nil
}

// printable returns what a server says without what could disturb a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}

// signers returns all keys to try: those of the agent, of which the ones that
// the configuration names come first, and then those in files.
func (l *login) signers(ctx context.Context) []ssh.Signer {
	var files []ssh.Signer
	for _, name := range l.target.identities {
		if signer := l.readIdentity(ctx, name); signer != nil {
			files = append(files, l.certified(name, signer)...)
		}
	}
	named := func(s ssh.Signer) bool {
		return slices.ContainsFunc(files, func(f ssh.Signer) bool {
			return string(f.PublicKey().Marshal()) == string(s.PublicKey().Marshal())
		})
	}
	var first, others []ssh.Signer
	for _, s := range l.agentSigners(ctx) {
		if named(s) {
			first = append(first, s)
		} else if !l.target.identitiesOnly {
			others = append(others, s)
		}
	}
	if n := len(first) + len(others); n > 0 {
		l.offered = append(l.offered, fmt.Sprintf("the agent's keys (%d)", n))
	}
	return slices.Concat(first, others, files)
}

func (l *login) agentSigners(ctx context.Context) []ssh.Signer {
	if l.target.agent == "" {
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", l.target.agent)
	if err != nil {
		l.trouble = append(l.trouble, fmt.Sprintf("the ssh agent does not answer: %v", err))
		return nil
	}
	l.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		l.trouble = append(l.trouble, fmt.Sprintf("the ssh agent: %v", err))
		return nil
	}
	return signers
}

// readIdentity returns the key in a file, or nil if it cannot be used. A
// passphrase is asked for when the server would take the key, not before.
func (l *login) readIdentity(ctx context.Context, name string) ssh.Signer {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var signer ssh.Signer
	if err == nil {
		signer, err = ssh.ParsePrivateKey(text)
	}
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		signer, err = l.lockedIdentity(ctx, name, text, locked.PublicKey)
	}
	if err != nil {
		l.trouble = append(l.trouble, fmt.Sprintf("key %s: %v", name, err))
		return nil
	}
	l.offered = append(l.offered, "key "+name)
	return signer
}

func (l *login) lockedIdentity(ctx context.Context, name string, text []byte, public ssh.PublicKey) (ssh.Signer, error) {
	if public == nil {
		// Older kinds of files do not tell: the public key lies beside them.
		line, err := os.ReadFile(name + ".pub")
		if err == nil {
			public, _, _, _, err = ssh.ParseAuthorizedKey(line)
		}
		if err != nil {
			return nil, fmt.Errorf("its public key: %w", err)
		}
	}
	return &lockedSigner{public: public, open: func() (ssh.Signer, error) {
		signer, err := l.secrets.decrypt(ctx, l.ask, name, text)
		if err != nil {
			err = fmt.Errorf("%w: %w", errLocked, err)
		}
		return signer, err
	}}, nil
}

// certified returns signer, after the certificates that belong to it.
func (l *login) certified(name string, signer ssh.Signer) []ssh.Signer {
	var all []ssh.Signer
	for _, file := range append([]string{name + "-cert.pub"}, l.target.certificates...) {
		line, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			l.trouble = append(l.trouble, fmt.Sprintf("certificate %s: %v", file, err))
			continue
		}
		certificate, ok := public.(*ssh.Certificate)
		if !ok {
			continue
		}
		if signed, err := ssh.NewCertSigner(certificate, signer); err == nil { // else it is another key's
			l.offered = append(l.offered, "certificate "+file)
			all = append(all, signed)
		}
	}
	return append(all, signer)
}

// A lockedSigner is a private key that is decrypted when it is first needed.
type lockedSigner struct {
	public ssh.PublicKey
	open   func() (ssh.Signer, error)
}

// PublicKey implements ssh.Signer.
func (s *lockedSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign implements ssh.Signer.
func (s *lockedSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s *lockedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := s.open()
	if err != nil {
		return nil, err
	}
	if with, ok := signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return with.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}
