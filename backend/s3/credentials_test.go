package s3_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/s3"
	"cairn/test/servers"
)

// machine is the service that tells a machine of Amazon's its keys.
type machine struct {
	keys    func() map[string]any
	asked   atomic.Int64 // requests for keys
	reached atomic.Int64 // requests at all
}

func (m *machine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.reached.Add(1)
	const role = "/latest/meta-data/iam/security-credentials/"
	switch r.URL.Path {
	case "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		_, _ = io.WriteString(w, "token")
	case role:
		_, _ = io.WriteString(w, "backup")
	case role + "backup":
		m.asked.Add(1)
		if keys := m.keys(); keys != nil {
			_ = json.NewEncoder(w).Encode(keys)
			return
		}
		http.Error(w, "gone", http.StatusNotFound)
	default:
		http.NotFound(w, r)
	}
}

// on makes this process one that runs on m, with nothing else in its
// environment. It rules out t.Parallel.
func (m *machine) on(t *testing.T) {
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	home := t.TempDir()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
}

// use opens the store that o names as this process is, and makes one request.
func use(t *testing.T, o s3.Options) error {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Stat(t.Context(), "absent")
	return err
}

// TestNobodyIsAsked: where keys are in the environment or in a profile, nobody
// is asked for others, which takes seconds outside of Amazon's machines.
func TestNobodyIsAsked(t *testing.T) {
	server := servers.MinIO(t)
	m := new(machine)
	m.on(t)
	o := place(server, server.Bucket(t), "")
	err := os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"),
		[]byte("[backup]\naws_access_key_id = "+server.AccessKey+"\naws_secret_access_key = "+server.SecretKey+"\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	o.Profile = "backup"
	if err := use(t, o); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("with a profile: got %v, want ErrNotExist", err)
	}
	o.Profile = ""
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	if err := use(t, o); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("with the environment: got %v, want ErrNotExist", err)
	}
	if got := m.reached.Load(); got != 0 {
		t.Errorf("the machine was asked %d times, want never", got)
	}
	o.Profile = "missing"
	if _, err := s3.Open(t.Context(), o); !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("with no such profile: got %v, want ErrDenied that names it", err)
	}
}

// TestKeysOfAMachine: keys of a machine's role are asked for when they are
// needed, and again when they have expired.
func TestKeysOfAMachine(t *testing.T) {
	server := servers.MinIO(t)
	bucket := server.Bucket(t)
	m := &machine{keys: func() map[string]any {
		access, secret, token := server.Session(t, policy(bucket, "s3:*"))
		return map[string]any{"Code": "Success", "AccessKeyId": access, "SecretAccessKey": secret, "Token": token,
			"Expiration": time.Now().Add(-time.Second).UTC().Format(time.RFC3339)}
	}}
	m.on(t)
	s, err := s3.Open(t.Context(), place(server, bucket, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for want := range int64(3) {
		if got := m.asked.Load(); got != want {
			t.Errorf("before request %d: the machine was asked for keys %d times", want, got)
		}
		if _, err := s.Get(t.Context(), "absent", backend.Range{}); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("get: got %v, want ErrNotExist", err)
		}
	}
}

// TestKeysAreUsedToTheirEnd: keys that are about to expire are renewed, and used
// as long as they are good where that fails.
func TestKeysAreUsedToTheirEnd(t *testing.T) {
	server := servers.MinIO(t)
	bucket := server.Bucket(t)
	new(machine).on(t)
	keys := filepath.Join(t.TempDir(), "keys")
	issue := func() string {
		access, secret, token := server.Session(t, policy(bucket, "s3:*"))
		text, err := json.Marshal(map[string]any{"Version": 1, "AccessKeyId": access, "SecretAccessKey": secret, "SessionToken": token,
			"Expiration": time.Now().Add(time.Minute).UTC().Format(time.RFC3339)})
		if err == nil {
			err = os.WriteFile(keys, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return access
	}
	config := "[profile p]\ncredential_process = cat " + keys + "\n"
	if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []string
	proxy := httptest.NewServer(server.Handler(func(r *httputil.ProxyRequest) {
		_, key, _ := strings.Cut(r.In.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		seen = append(seen, key)
	}))
	defer proxy.Close()
	first := issue()
	o := place(server, bucket, "")
	o.Host, o.Profile = proxy.Listener.Addr().String(), "p"
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	get := func() {
		if _, err := s.Get(t.Context(), "absent", backend.Range{}); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("get: got %v, want ErrNotExist", err)
		}
	}
	get()
	second := issue()
	get()
	if err := os.Remove(keys); err != nil {
		t.Fatal(err)
	}
	get()
	if want := []string{first, second, second}; !slices.Equal(seen, want) {
		t.Errorf("got requests by %q, want %q", seen, want)
	}
}

func TestNoKeys(t *testing.T) {
	m := &machine{keys: func() map[string]any { return nil }}
	m.on(t)
	err := use(t, s3.Options{Host: "127.0.0.1:9", Bucket: "bucket"})
	if !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), "no credentials are set: set AWS_ACCESS_KEY_ID") {
		t.Errorf("got %v, want ErrDenied that says what to set", err)
	}
}
