package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
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

	"github.com/minio/minio-go/v7"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/probe"
	"cairn/backend/s3"
	"cairn/test/servers"
)

func TestInspectAndCreate(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	wanted := func(s *s3.Store, want backend.State) {
		t.Helper()
		if got, err := s.Inspect(t.Context()); got != want || err != nil {
			t.Errorf("inspect: got %d, %v, want %d", got, err, want)
		}
	}
	bucket := "test-" + strings.ToLower(rand.Text())
	root, below, beside := openRoot(t, server, place(server, bucket, "")), openRoot(t, server, place(server, bucket, "a")),
		openRoot(t, server, place(server, bucket, "ab"))
	wanted(root, backend.Missing)
	if err := below.Put(t.Context(), "k"); !errors.Is(err, backend.ErrUnusable) {
		t.Errorf("put without a bucket: got %v, want ErrUnusable", err)
	}
	for range 2 { // the bucket may be there
		if err := root.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wanted(root, backend.Empty)
	if err := below.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	wanted(below, backend.Ours)
	wanted(root, backend.Foreign)
	wanted(beside, backend.Empty)
	if _, err := beside.Swap(t.Context(), "", []byte("v")); err != nil {
		t.Fatal(err)
	}
	wanted(beside, backend.Ours)
}

// policy allows actions on a bucket and what is in it.
func policy(bucket string, actions ...string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],`+
		`"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}`, strings.Join(actions, `","`), bucket, bucket)
}

// TestOnePermissionMissing: the error names the permission, and nothing that is
// forbidden is taken for missing.
func TestOnePermissionMissing(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	bucket := server.Bucket(t)
	if err := openRoot(t, server, place(server, bucket, "")).Put(t.Context(), "there", []byte("x")); err != nil {
		t.Fatal(err)
	}
	all := []string{"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"}
	for i, missing := range all {
		t.Run(strings.TrimPrefix(missing, "s3:"), func(t *testing.T) {
			t.Parallel()
			access, secret, token := server.Session(t, policy(bucket, slices.Delete(slices.Clone(all), i, i+1)...))
			s := open(t, place(server, bucket, ""), access, secret, token)
			defer s.Close()
			_, get := s.Get(t.Context(), "there", backend.Range{})
			_, absent := s.Get(t.Context(), "absent", backend.Range{})
			var list error
			for _, err := range s.List(t.Context(), "") {
				list = err
			}
			for action, err := range map[string]error{
				"s3:GetObject": get, "s3:ListBucket": list,
				"s3:PutObject":    s.Put(t.Context(), backend.Key("new/"+strings.ToLower(rand.Text())), []byte("x")),
				"s3:DeleteObject": s.Delete(t.Context(), "other"),
			} {
				if action != missing {
					if err != nil {
						t.Errorf("%s: got %v, want success", action, err)
					}
				} else if !errors.Is(err, backend.ErrDenied) || !strings.Contains(err.Error(), "lacks "+action) {
					t.Errorf("%s: got %v, want ErrDenied that names it", action, err)
				}
			}
			// Amazon says forbidden of what is missing to those who may not list;
			// MinIO does not. What may not be read is never called missing.
			if forbidden := missing == "s3:GetObject"; errors.Is(absent, backend.ErrDenied) != forbidden || absent == nil {
				t.Errorf("get of what is absent: got %v", absent)
			}
		})
	}
}

// TestExpiredToken holds what MinIO says to a token that is none any more.
func TestExpiredToken(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	bucket := server.Bucket(t)
	access, secret, token := server.Session(t, policy(bucket, "s3:*"))
	s := open(t, place(server, bucket, ""), access, secret, token[:len(token)-8]+"AAAAAAAA")
	defer s.Close()
	if err := s.Put(t.Context(), "k", []byte("x")); !errors.Is(err, backend.ErrDenied) {
		t.Errorf("put: got %v, want ErrDenied", err)
	}
}

func TestProbeMinIO(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	bucket := server.Bucket(t)
	s := openRoot(t, server, place(server, bucket, "p"))
	verdict, err := probe.Run(t.Context(), probe.Thorough, func() (probe.Cell, error) { return s.Scratch("probe-" + rand.Text()), nil })
	if verdict != probe.CAS || err != nil {
		t.Errorf("got %s, %v, want cas", verdict, err)
	}
	for object := range server.Client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("the probe has left %s", object.Key)
	}
}

// TestStoreThatOnlyCreates holds that the probe finds a store out that ignores
// If-Match, that the chain withstands it there and keeps the register's contract,
// and that whoever comes later finds the chain.
func TestStoreThatOnlyCreates(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	o := place(server, server.Bucket(t), "p")
	o.Host = server.Forgetful(t, "If-Match")
	s := openRoot(t, server, o)
	for want, fresh := range map[probe.Verdict]func() (probe.Cell, error){
		probe.CreateOnly: func() (probe.Cell, error) { return s.Scratch("probe-" + rand.Text()), nil },
		probe.CAS:        func() (probe.Cell, error) { return s.ScratchChain("probe-" + rand.Text()), nil },
	} {
		if verdict, err := probe.Run(t.Context(), probe.Thorough, fresh); verdict != want || err != nil {
			t.Errorf("got %s, %v, want %s", verdict, err, want)
		}
	}
	for object := range server.Client.ListObjects(t.Context(), o.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		t.Errorf("the probe has left %s", object.Key)
	}
	chained := o
	chained.Conditions = s3.CreateOnly
	backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
		o := chained
		o.Prefix = unique()
		return openRoot(t, server, o)
	})
	if err := openRoot(t, server, chained).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	creator := openRoot(t, server, o) // of a chain, although nobody says so: the marker does
	tag, err := creator.Swap(t.Context(), "", []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	chainTakes(t, server, chained)
	for name, ifChanged := range map[string]backend.Tag{"first look": "", "second look": tag} {
		s := openRoot(t, server, o)
		if _, got, err := s.Load(t.Context(), ifChanged); got != tag || err != nil {
			t.Fatalf("%s: load: got %q, %v, want %q", name, got, err, tag)
		}
		if _, err := s.Swap(t.Context(), "", []byte("again")); !errors.Is(err, backend.ErrConflict) {
			t.Errorf("%s: create again: got %v, want ErrConflict", name, err)
		}
	}
	if err := server.Client.RemoveObject(t.Context(), o.Bucket, "p/tmp/store", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if value, _, err := openRoot(t, server, o).Load(t.Context(), ""); string(value) != "first" || err != nil {
		t.Errorf("without the marker: got %q, %v, want the value", value, err)
	}
}

// chainTakes holds how many requests a register takes that is a chain
// (locking/PROTOCOL.md §1), when it is old enough for a swap to collect a version.
func chainTakes(t *testing.T, server *servers.S3, o s3.Options) {
	t.Helper()
	var requests atomic.Int64
	o.Prefix = unique()
	o.Tap = &backend.Tap{Request: func(string) { requests.Add(1) }}
	s := openRoot(t, server, o)
	var tag backend.Tag
	swap := func() (err error) {
		tag, err = s.Swap(t.Context(), tag, []byte(unique()))
		return err
	}
	for range 16 {
		if err := swap(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what string
		want int64
		call func() error
	}{
		{"swap", 5, swap},
		{"load", 3, func() error { _, _, err := s.Load(t.Context(), tag); return err }},
	} {
		before := requests.Load()
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got := requests.Load() - before; got != c.want {
			t.Errorf("%s: got %d requests, want %d", c.what, got, c.want)
		}
	}
}

// TestStoreThatIgnoresConditions holds that the probe finds it out, and that
// whoever uses it all the same has a look before every put, and so has everyone
// who loads the register after that.
func TestStoreThatIgnoresConditions(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	o := place(server, server.Bucket(t), "p")
	o.Host = server.Forgetful(t, "If-Match", "If-None-Match")
	s := openRoot(t, server, o)
	verdict, err := probe.Run(t.Context(), probe.Thorough, func() (probe.Cell, error) { return s.Scratch("probe-" + rand.Text()), nil })
	if verdict != probe.None || err != nil {
		t.Errorf("got %s, %v, want none", verdict, err)
	}
	o.Conditions = s3.Unconditional
	tag, err := openRoot(t, server, o).Swap(t.Context(), "", []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	o.Conditions = s3.AsMarked
	for name, ifChanged := range map[string]backend.Tag{"first look": "", "second look": tag} {
		t.Run(name, func(t *testing.T) {
			s := openRoot(t, server, o)
			if _, got, err := s.Load(t.Context(), ifChanged); got != tag || err != nil {
				t.Fatalf("load: got %q, %v, want %q", got, err, tag)
			}
			key := backend.Key("k/" + strings.ToLower(rand.Text()))
			if err := s.Put(t.Context(), key, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), key, []byte("y")); !errors.Is(err, backend.ErrExist) {
				t.Errorf("put again: got %v, want ErrExist", err)
			}
			if _, err := s.Swap(t.Context(), "", []byte("again")); !errors.Is(err, backend.ErrConflict) {
				t.Errorf("create again: got %v, want ErrConflict", err)
			}
		})
	}
}

// TestEmptyPutLosesNothing: an empty object is put to learn whether one is
// there, also where the store turns out to ignore conditions only later.
func TestEmptyPutLosesNothing(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	o := place(server, server.Bucket(t), "")
	o.Host = server.Forgetful(t, "If-Match", "If-None-Match")
	s := openRoot(t, server, o)
	if err := s.Put(t.Context(), "pack", []byte("precious")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "pack"); !errors.Is(err, backend.ErrExist) {
		t.Errorf("put: got %v, want ErrExist", err)
	}
	if got, err := s.Get(t.Context(), "pack", backend.Range{}); string(got) != "precious" || err != nil {
		t.Errorf("get: got %q, %v, want what was there", got, err)
	}
}

// TestHeaders holds what goes along with objects: the class with packs only,
// the checksum and the encryption with everything.
func TestHeaders(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	for name, change := range map[string]func(*s3.Options){
		"crc32c": func(*s3.Options) {},
		"sha256": func(o *s3.Options) { o.Checksum = s3.SHA256 },
		"md5":    func(o *s3.Options) { o.Checksum = s3.MD5 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := place(server, server.Bucket(t), "")
			o.Class, o.ClassOf, o.Encryption = "REDUCED_REDUNDANCY", "packs/", s3.EncryptionS3
			change(&o)
			s := openRoot(t, server, o)
			for key, class := range map[backend.Key]string{"packs/x": "REDUCED_REDUNDANCY", "config": "STANDARD"} {
				if err := s.Put(t.Context(), key, []byte("some"), []byte("thing")); err != nil {
					t.Fatal(err)
				}
				info, err := server.Client.StatObject(t.Context(), o.Bucket, string(key), minio.StatObjectOptions{Checksum: true})
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Metadata.Get("X-Amz-Server-Side-Encryption"); got != "AES256" {
					t.Errorf("%s: got encryption %q, want AES256", key, got)
				}
				if got := info.Metadata.Get("X-Amz-Storage-Class"); got != class && class != "STANDARD" {
					t.Errorf("%s: got class %q, want %s", key, got, class)
				}
				if (info.ChecksumCRC32C != "") != (name == "crc32c") || (info.ChecksumSHA256 != "") != (name == "sha256") {
					t.Errorf("%s: got the checksums %q and %q", key, info.ChecksumCRC32C, info.ChecksumSHA256)
				}
			}
		})
	}
}

// TestChecksumIsCompared: a pack that changes on its way is not kept.
func TestChecksumIsCompared(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	proxy := httptest.NewServer(server.Handler(func(r *httputil.ProxyRequest) {
		if r.In.Method == http.MethodPut {
			body, _ := io.ReadAll(r.In.Body)
			body[0] ^= 1
			r.Out.Body = io.NopCloser(bytes.NewReader(body))
		}
	}))
	defer proxy.Close()
	for name, sum := range map[string]s3.Checksum{"crc32c": s3.CRC32C, "md5": s3.MD5, "sha256": s3.SHA256} {
		o := place(server, server.Bucket(t), "")
		o.Host, o.Checksum = proxy.Listener.Addr().String(), sum
		s := openRoot(t, server, o)
		if err := s.Put(t.Context(), "k", []byte("whole")); err == nil || backend.Permanent(err) {
			t.Errorf("%s: put: got %v, want an error that may pass", name, err)
		}
		if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("%s: stat: got %v, want ErrNotExist", name, err)
		}
	}
}

// TestTLS holds who is trusted, before a MinIO that speaks TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	secure := httptest.NewUnstartedServer(server.Handler(func(*httputil.ProxyRequest) {}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	secure.StartTLS()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	bucket := server.Bucket(t)
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	for name, c := range map[string]struct {
		change func(*s3.Options)
		says   string // empty: that the object is not there
	}{
		"stranger":   {func(*s3.Options) {}, "name its CA with ?ca=FILE"},
		"own CA":     {func(o *s3.Options) { o.CAFile = ca }, ""},
		"insecure":   {func(o *s3.Options) { o.TLS = s3.TLSInsecure }, ""},
		"other name": {func(o *s3.Options) { o.CAFile, o.Host = ca, "localhost:"+port }, "is for another name"},
		"no TLS":     {func(o *s3.Options) { o.Host = server.Endpoint }, "write s3+http://"},
		"plain":      {func(o *s3.Options) { o.Scheme = s3.PlainHTTP }, "write s3+https://"},
	} {
		o := s3.Options{Host: "127.0.0.1:" + port, Bucket: bucket}
		c.change(&o)
		_, err := openRoot(t, server, o).Get(t.Context(), "absent", backend.Range{})
		if c.says == "" && !errors.Is(err, backend.ErrNotExist) || c.says != "" && (!errors.Is(err, backend.ErrUnusable) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
}

// TestCancelWithinATransfer: the end of the context ends a transfer that hangs.
func TestCancelWithinATransfer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := open(t, s3.Options{Scheme: s3.PlainHTTP, Host: silent.Addr().String(), Bucket: "bucket"}, "key", "secret", "")
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := s.Put(ctx, "k", make([]byte, 32<<20)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("put: got %v, want the context's error", err)
	}
	if _, err := s.Swap(ctx, "", []byte("v")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("swap: got %v, want the context's error", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %v, want to end with the context", took)
	}
}
