package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"cairn/backend"
)

// unsentError is an error of a request that never reached the store.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// explainNetwork explains an error that somebody else than the store is the
// reason of: the network, a stranger on the way, or who has the credentials.
func (s *Store) explainNetwork(err error) error {
	var around *url.Error
	if errors.As(err, &around) {
		err = around.Err // without the URL
	}
	var (
		credentials *credentialsError
		skew        *skewError
		busy        *busyError
		stranger    *strangeAnswer
		dial        *net.OpError
		name        *net.DNSError
		timeout     net.Error
	)
	host := s.o.endpoint()
	switch {
	case errors.As(err, &credentials):
		return fmt.Errorf("%w: %s: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with AWS_PROFILE", backend.ErrDenied, credentials)
	case errors.As(err, &skew):
		return fmt.Errorf("%w: this machine's clock is wrong: the store has %s: set it, as with: timedatectl set-ntp true", backend.ErrDenied, skew.store)
	case errors.As(err, &busy):
		return &backend.LaterError{After: busy.after, Err: fmt.Errorf("%w: %s has too much to do (%s), and asks to come again in %s",
			backend.ErrUnavailable, host, busy.status, busy.after)}
	case errors.As(err, &stranger):
		return s.explainStranger(stranger)
	case errors.As(err, &name) && name.IsNotFound:
		return &unsentError{fmt.Errorf("%w for %s (%s): check the name, and this machine's DNS", backend.ErrNowhere, name.Name, name.Err)}
	case errors.As(err, &name):
		return &unsentError{fmt.Errorf("%w: no address is known for %s (%s): check the name, and this machine's DNS", backend.ErrUnavailable, name.Name, name.Err)}
	case errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect"):
		return &unsentError{fmt.Errorf("%w: cannot connect to %s: %s", backend.ErrUnavailable, host, reason(dial))}
	case isTLS(err):
		return s.explainTLS(err)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %s is silent for %s", backend.ErrUnavailable, host, silence)
	}
	return fmt.Errorf("%w: the connection to %s broke: %s", backend.ErrUnavailable, host, oneLine(err.Error()))
}

// reason says why a connection did not come about.
func reason(err *net.OpError) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: is the server running, and the port right?"
	case errors.As(err, &errno):
		return errno.Error()
	case err.Timeout():
		return "no answer: is a firewall in between?"
	}
	return oneLine(err.Err.Error())
}

// explainStranger explains an answer that no store gives.
func (s *Store) explainStranger(e *strangeAnswer) error {
	host := s.o.endpoint()
	switch {
	case e.status >= http.StatusInternalServerError, e.status == http.StatusTooManyRequests, e.status == http.StatusRequestTimeout:
		return fmt.Errorf("%w: something in front of %s answers %s", backend.ErrUnavailable, host, e)
	case strings.Contains(e.says, "HTTP request to an HTTPS server"):
		return fmt.Errorf("%w: %s speaks TLS: write s3+https://", backend.ErrUnusable, host)
	}
	return fmt.Errorf("%w: %s does not answer as S3 does (%s): is the port right, and is there a proxy or a login page in between?", backend.ErrUnusable, host, e)
}

func isTLS(err error) bool {
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &alert) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// explainTLS explains why the server did not prove who it is. Nothing but the
// greeting was sent then.
func (s *Store) explainTLS(err error) error {
	host := s.o.endpoint()
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("%w: nobody whom this machine trusts vouches for the certificate of %s: name its CA with ?ca=FILE in the URL", backend.ErrUnusable, host)
	case errors.As(err, &name):
		return fmt.Errorf("%w: the certificate of %s is for another name: %s", backend.ErrUnusable, host, oneLine(name.Error()))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: the certificate of %s has expired, or this machine's clock is wrong", backend.ErrUnusable, host)
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fmt.Errorf("%w: %s does not speak TLS: write s3+http://", backend.ErrUnusable, host)
	}
	return fmt.Errorf("%w: TLS with %s: %s", backend.ErrUnusable, host, oneLine(err.Error()))
}
