package sftp

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"

	"cairn/backend"
)

// Scheme begins the URL of a store that is reached by SFTP.
const Scheme = "sftp"

// A Location is a directory on a host.
type Location struct {
	User string // empty: the one that the configuration of ssh names
	Host string // a name, an address, or an alias in the configuration of ssh
	Port int    // 0: the one that the configuration of ssh names
	Path string // cleaned; absolute, or relative to the user's home directory
}

// Parse reads a URL: sftp://user@host:port/path, where a path that begins with
// /~/ is relative to the user's home directory. User and port may be left out.
// What it cannot use is ErrInvalid.
func Parse(text string) (Location, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Location{}, fmt.Errorf("%w: %w", backend.ErrInvalid, err)
	}
	wrong := func(format string, args ...any) (Location, error) {
		return Location{}, fmt.Errorf("%w: %s", backend.ErrInvalid, fmt.Sprintf(format, args...))
	}
	_, password := u.User.Password()
	switch {
	case u.Scheme != Scheme:
		return wrong("%q is not a URL that begins with sftp://", text)
	case password:
		return wrong("a password in a URL can be seen by others: use a key, or leave it out to be asked")
	case u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-"):
		return wrong("%q names no host: sftp://user@host/path", text)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return wrong("%q: a question mark or hash in a path is written %%3F or %%23", text)
	case u.Path == "":
		return wrong("%q names no directory: sftp://host/path, or sftp://host/~/path below the home directory", text)
	}
	l := Location{User: u.User.Username(), Host: u.Hostname(), Path: path.Clean(u.Path)}
	if home, below := strings.CutPrefix(l.Path, "/~"); below && (home == "" || home[0] == '/') {
		l.Path = path.Clean("." + home)
	}
	if u.Port() != "" {
		if l.Port, err = strconv.Atoi(u.Port()); err != nil || l.Port < 1 || l.Port > 65535 {
			return wrong("%s is not a port", u.Port())
		}
	}
	return l, nil
}

// String returns the URL that names l.
func (l Location) String() string {
	u := url.URL{Scheme: Scheme, Host: l.Host, Path: l.Path}
	if strings.Contains(l.Host, ":") {
		u.Host = "[" + l.Host + "]"
	}
	if l.Port != 0 {
		u.Host = net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
	}
	if l.User != "" {
		u.User = url.User(l.User)
	}
	if !path.IsAbs(l.Path) {
		u.Path = path.Join("/~", l.Path)
	}
	return u.String()
}
