package sftp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"

	"cairn/backend"
)

// dialTimeout bounds how long a connection may take that nothing else bounds.
const dialTimeout = 30 * time.Second

// settings is how ssh's configuration wants hosts to be reached.
type settings struct {
	home    string // holds .ssh
	user    string // of this machine
	agent   string // socket of the ssh agent, or empty
	file    *ssh_config.Config
	ignored []int // lines of the file whose Match blocks are passed over
}

// A target is one host and everything that is needed to log in there.
type target struct {
	name string // as it was asked for
	host string // as it is looked up
	port string
	user string

	keyAlias   string // under which its key is known, or empty
	knownHosts []string

	identities     []string // files of private keys
	certificates   []string
	agent          string // socket, or empty
	identitiesOnly bool

	jumps   []string // hosts to go through, in this order
	timeout time.Duration
}

func (t *target) address() string { return net.JoinHostPort(t.host, t.port) }

// String names the target for people.
func (t *target) String() string { return t.user + "@" + t.address() }

// readSettings reads ~/.ssh/config, which may be missing.
func readSettings(o Options) (*settings, error) {
	s := &settings{home: o.Home, user: o.User, agent: o.AgentSocket, file: new(ssh_config.Config)}
	name := filepath.Join(o.Home, ".ssh", "config")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		text, s.ignored = dropMatches(text)
		s.file, err = ssh_config.DecodeBytes(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %v", backend.ErrInvalid, name, err)
	}
	return s, nil
}

// dropMatches empties the Match blocks that cannot be evaluated here: all that
// depend on more than the host's name. It returns the lines they begin at.
func dropMatches(text []byte) (kept []byte, ignored []int) {
	var out bytes.Buffer
	dropping := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(strings.Replace(lines.Text(), "=", " ", 1))
		if len(fields) > 0 {
			switch strings.ToLower(fields[0]) {
			case "host":
				dropping = false
			case "match":
				rest := strings.ToLower(strings.Join(fields[1:], " "))
				dropping = rest != "all" && (len(fields) != 3 || !strings.HasPrefix(rest, "host "))
				if dropping {
					ignored = append(ignored, n)
				}
			}
		}
		if !dropping {
			out.Write(lines.Bytes())
		}
		out.WriteByte('\n')
	}
	return out.Bytes(), ignored
}

// note returns what to add to an error of reaching a host.
func (s *settings) note() string {
	if len(s.ignored) == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d of ~/.ssh/config begins a Match block that cairn does not know: only Host, Match all and Match host are)", s.ignored[0])
}

// target returns how the host called name is reached. User and port, unless
// empty and 0, count for more than the configuration.
func (s *settings) target(name, user string, port int) (*target, error) {
	t := &target{name: name, host: name, port: "22", user: s.user, agent: s.agent, timeout: dialTimeout}
	get := func(key string) string {
		value, err := s.file.Get(name, key)
		if err != nil {
			return ""
		}
		return value
	}
	if value := get("HostName"); value != "" {
		t.host = strings.NewReplacer("%h", name, "%%", "%").Replace(value)
	}
	for into, value := range map[*string]string{&t.port: get("Port"), &t.user: get("User"), &t.keyAlias: get("HostKeyAlias")} {
		if value != "" {
			*into = value
		}
	}
	if port != 0 {
		t.port = strconv.Itoa(port)
	}
	if user != "" {
		t.user = user
	}
	if proxy := get("ProxyCommand"); proxy != "" && !strings.EqualFold(proxy, "none") && get("ProxyJump") == "" {
		return nil, fmt.Errorf("%w: ~/.ssh/config has a ProxyCommand for %s, which cairn does not run: use ProxyJump", backend.ErrInvalid, name)
	}
	if jump := get("ProxyJump"); jump != "" && !strings.EqualFold(jump, "none") {
		for hop := range strings.SplitSeq(jump, ",") {
			t.jumps = append(t.jumps, strings.TrimSpace(hop))
		}
	}
	if seconds, err := strconv.Atoi(get("ConnectTimeout")); err == nil && seconds > 0 {
		t.timeout = time.Duration(seconds) * time.Second
	}
	s.trust(t, get)
	return t, s.identify(t, get)
}

// trust fills in where the keys of known hosts are.
func (s *settings) trust(t *target, get func(string) string) {
	for key, otherwise := range map[string]string{
		"UserKnownHostsFile":   "~/.ssh/known_hosts ~/.ssh/known_hosts2",
		"GlobalKnownHostsFile": "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",
	} {
		list := get(key)
		if list == "" {
			list = otherwise
		}
		var files []string
		for _, name := range strings.Fields(list) {
			if name != "none" {
				files = append(files, s.expand(name, t))
			}
		}
		if key == "UserKnownHostsFile" {
			t.knownHosts = append(files, t.knownHosts...) // the one to add to comes first
		} else {
			t.knownHosts = append(t.knownHosts, files...)
		}
	}
}

// identify fills in which keys there are to log in with.
func (s *settings) identify(t *target, get func(string) string) error {
	switch agent := get("IdentityAgent"); {
	case agent == "none":
		t.agent = ""
	case agent != "" && agent != "SSH_AUTH_SOCK":
		t.agent = s.expand(agent, t)
	}
	t.identitiesOnly = strings.EqualFold(get("IdentitiesOnly"), "yes")
	for key, into := range map[string]*[]string{"IdentityFile": &t.identities, "CertificateFile": &t.certificates} {
		names, err := s.file.GetAll(t.name, key)
		if err != nil {
			return fmt.Errorf("%w: read ~/.ssh/config: %v", backend.ErrInvalid, err)
		}
		for _, name := range names {
			if name != "none" {
				*into = append(*into, s.expand(name, t))
			}
		}
	}
	if names, _ := s.file.GetAll(t.name, "IdentityFile"); len(names) == 0 {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.identities = append(t.identities, filepath.Join(s.home, ".ssh", name))
		}
	}
	return nil
}

// expand replaces what ssh_config(5) lets stand in names of files.
func (s *settings) expand(name string, t *target) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		name = filepath.Join(s.home, rest)
	}
	return strings.NewReplacer("%%", "%", "%d", s.home, "%h", t.host, "%n", t.name,
		"%p", t.port, "%r", t.user, "%u", s.user).Replace(name)
}

// through returns the host to go through to t, or nil if it is reached directly.
// Where several are named the last one is the nearest to t; only the first one
// is reached as its own settings say.
func (s *settings) through(t *target) (*target, error) {
	if len(t.jumps) == 0 {
		return nil, nil
	}
	before, last := t.jumps[:len(t.jumps)-1], t.jumps[len(t.jumps)-1]
	hop, err := s.hop(last)
	if err == nil && len(before) > 0 {
		hop.jumps = before
	}
	return hop, err
}

// hop returns the target that an entry of ProxyJump names: [user@]host[:port],
// or the same as a URL.
func (s *settings) hop(entry string) (*target, error) {
	rest := strings.TrimPrefix(entry, "ssh://")
	user, host, found := strings.Cut(rest, "@")
	if !found {
		user, host = "", rest
	}
	port := 0
	if name, digits, err := net.SplitHostPort(host); err == nil {
		if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("%w: ProxyJump %s: %s is not a port", backend.ErrInvalid, entry, digits)
		}
		host = name
	}
	return s.target(strings.Trim(host, "[]"), user, port)
}
