package servers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// Session returns temporary keys that may do what policy allows, and no more.
func (s *S3) Session(t testing.TB, policy string) (accessKey, secretKey, token string) {
	t.Helper()
	v, err := s.Keys(t.Context(), policy)
	if err != nil {
		t.Fatal(err)
	}
	return v.AccessKeyID, v.SecretAccessKey, v.SessionToken
}

// Keys is Session for those who have no testing.TB.
func (s *S3) Keys(ctx context.Context, policy string) (credentials.Value, error) {
	c, err := credentials.NewSTSAssumeRole("http://"+s.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: s.AccessKey, SecretKey: s.SecretKey, Policy: policy, Location: "us-east-1",
	})
	if err != nil {
		return credentials.Value{}, fmt.Errorf("assume a role: %w", err)
	}
	v, err := c.GetWithContext(&credentials.CredContext{Client: http.DefaultClient, Context: ctx})
	if err != nil {
		return credentials.Value{}, fmt.Errorf("assume a role: %w", err)
	}
	return v, nil
}

// Forgetful returns the address of a server that is this one, except that it
// ignores these headers of what is put, as some services ignore conditions.
func (s *S3) Forgetful(t testing.TB, headers ...string) string {
	proxy := s.Forget(headers...)
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

// Forget is Forgetful for those who have no testing.TB. They close it.
func (s *S3) Forget(headers ...string) *httptest.Server {
	return httptest.NewServer(s.Handler(func(r *httputil.ProxyRequest) {
		if r.In.Method != http.MethodPut {
			return
		}
		for _, name := range append(headers, "Authorization") {
			r.Out.Header.Del(name)
		}
		r.Out.Host = ""
		r.Out = signer.SignV4(*r.Out, s.AccessKey, s.SecretKey, "", "us-east-1")
	}))
}

// Handler passes requests on to s, when change has done with them what it wants.
func (s *S3) Handler(change func(*httputil.ProxyRequest)) http.Handler {
	target := &url.URL{Scheme: "http", Host: s.Endpoint}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
		change(r)
	}}
}

// A Counter is an address of a server that counts what it is asked.
type Counter struct {
	Endpoint string // host:port, without TLS

	mu   sync.Mutex
	seen []string // guarded by mu
}

// Counting returns a Counter in front of s.
func (s *S3) Counting(t testing.TB) *Counter {
	c := new(Counter)
	proxy := httptest.NewServer(s.Handler(func(r *httputil.ProxyRequest) {
		line := r.In.Method + " " + r.In.URL.Path
		if prefix, ok := r.In.URL.Query()["prefix"]; ok {
			line = "LIST " + prefix[0]
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen = append(c.seen, line)
	}))
	t.Cleanup(proxy.Close)
	c.Endpoint = proxy.Listener.Addr().String()
	return c
}

// Take returns the requests since the last Take: their method, or LIST, and what
// they were about.
func (c *Counter) Take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}
