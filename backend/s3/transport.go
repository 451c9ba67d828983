package s3

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"time"

	"cairn/backend"
)

const (
	// dialPatience bounds how long a connection may take to come about.
	dialPatience = 15 * time.Second
	// silence is how long a connection may stay without a byte in either
	// direction while a request is under way: then the other side is gone, and
	// nobody will tell. It is longer than what a slow line needs to send what
	// the kernel holds for it.
	silence = 90 * time.Second
	// idlePatience is how long a connection is kept for the next request.
	idlePatience = time.Minute
	// connections is how many requests run at a time at most, and how many
	// connections are kept.
	connections = 64
	// copyBuffer is how many bytes go to and come from the kernel at a time.
	copyBuffer = 128 << 10
)

func newTransport(o Options) (*http.Transport, error) {
	security, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialPatience, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return o.Tap.Wrap(&watchedConn{c}), nil
		},
		// HTTP/2 would send all packs through one connection, which is slower.
		TLSClientConfig:       security,
		TLSHandshakeTimeout:   dialPatience,
		ResponseHeaderTimeout: silence,
		IdleConnTimeout:       idlePatience,
		MaxConnsPerHost:       connections,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		WriteBufferSize:       copyBuffer,
		ReadBufferSize:        copyBuffer,
		DisableCompression:    true, // lengths must be the objects'
	}, nil
}

func tlsConfig(o Options) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.TLS == TLSInsecure}
	if o.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("%w: read the CA file: %w", backend.ErrInvalid, err)
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: CA file %s holds no certificate in PEM", backend.ErrInvalid, o.CAFile)
	}
	return c, nil
}

// watchedConn is a connection that ends with os.ErrDeadlineExceeded once
// nothing has gone through it for a while, in either direction: while a pack is
// sent, the store says nothing, and while it answers, we do not.
type watchedConn struct{ net.Conn }

func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// tapped tells of every request that is sent, also of those that the transport
// sends again by itself because a connection had ended.
type tapped struct {
	under http.RoundTripper
	tap   *backend.Tap
}

// RoundTrip implements http.RoundTripper.
func (t tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { t.tap.Requested(kind(r)) }}
	return t.under.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

// kind returns what a request is, as stores charge for it: its method, or LIST.
func kind(r *http.Request) string {
	if r.Method == http.MethodGet && r.URL.Query().Has("list-type") {
		return "LIST"
	}
	return r.Method
}

// answers lets only those answers through that a store gives. A gateway's error
// page must not be taken for the absence of an object, nor a login page for
// success.
type answers struct{ under http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.under.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if after := later(response, time.Now()); after > 0 {
		response.Body.Close()
		return nil, &busyError{response.Status, after}
	}
	switch {
	case response.StatusCode < 300:
		if kind == "text/html" {
			return nil, strange(response, kind, nil)
		}
		return response, nil
	case r.Method == http.MethodHead, response.StatusCode == http.StatusNotModified,
		response.StatusCode == http.StatusPreconditionFailed:
		return response, nil // these need no body
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	if !isErrorDocument(body) {
		return nil, strange(response, kind, body)
	}
	if bytes.Contains(body, []byte("RequestTimeTooSkewed")) {
		return nil, &skewError{response.Header.Get("Date")}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// later returns how long to wait until whoever has too much to do wants to be
// asked again; 0 if he does not say.
func later(r *http.Response, now time.Time) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	says := r.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(says, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(says)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now)).Round(time.Second)
}

// busyError is a request that was refused for now.
type busyError struct {
	status string
	after  time.Duration // until it may be made again
}

func (e *busyError) Error() string { return e.status }

// maxErrorBody is more than any error of a store takes, in bytes.
const maxErrorBody = 64 << 10

// isErrorDocument reports whether body is what S3 answers errors with: XML
// whose root is called Error.
func isErrorDocument(body []byte) bool {
	text := bytes.TrimLeft(body, "\xef\xbb\xbf \t\r\n")
	if rest, ok := bytes.CutPrefix(text, []byte("<?xml")); ok {
		_, after, _ := bytes.Cut(rest, []byte("?>"))
		text = bytes.TrimLeft(after, " \t\r\n")
	}
	return bytes.HasPrefix(text, []byte("<Error>")) || bytes.HasPrefix(text, []byte("<Error "))
}

// strangeAnswer is one that no store gives.
type strangeAnswer struct {
	status int
	kind   string // the content type
	says   string // the beginning of what it says, as one line
}

func strange(response *http.Response, kind string, body []byte) *strangeAnswer {
	if body == nil {
		response.Body.Close()
	}
	const shown = 60
	says := strings.Join(strings.Fields(string(body)), " ")
	if len(says) > shown || kind == "text/html" {
		says = ""
	}
	return &strangeAnswer{response.StatusCode, kind, says}
}

func (e *strangeAnswer) Error() string {
	what := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	if e.kind != "" {
		what += ", " + e.kind
	}
	if e.says != "" {
		what += fmt.Sprintf(", %q", e.says)
	}
	return what
}

// skewError is a request that was refused because of its time.
type skewError struct{ store string } // the store's time, as it says it

func (e *skewError) Error() string { return "clocks differ" }
