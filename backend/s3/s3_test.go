package s3_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"cairn/backend"
	"cairn/backend/backendtest"
	"cairn/backend/s3"
	"cairn/test/servers"
)

// place returns options for a place on server that nobody else uses.
func place(server *servers.S3, bucket, prefix string) s3.Options {
	return s3.Options{Scheme: s3.PlainHTTP, Host: server.Endpoint, Bucket: bucket, Prefix: prefix}
}

// open opens the store that o names as somebody with these keys.
func open(t *testing.T, o s3.Options, accessKey, secretKey, token string) *s3.Store {
	t.Helper()
	s, err := s3.OpenAs(t.Context(), o, accessKey, secretKey, token)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// openRoot opens the store that o names as somebody who may do everything.
func openRoot(t *testing.T, server *servers.S3, o s3.Options) *s3.Store {
	t.Helper()
	s := open(t, o, server.AccessKey, server.SecretKey, "")
	t.Cleanup(func() { s.Close() })
	return s
}

// TestContract holds the store to its contract in a bucket like any other, and
// in one that keeps all versions of its objects and lets nobody delete them.
func TestContract(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	for name, bucket := range map[string]string{"Plain": server.Bucket(t), "Locked": server.LockedBucket(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backendtest.Run(t, func(t *testing.T) backend.Backend {
				return open(t, place(server, bucket, unique()), server.AccessKey, server.SecretKey, "")
			})
			backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
				return openRoot(t, server, place(server, bucket, unique()))
			})
		})
	}
}

// TestContractVersioned: the register changes often in a bucket that keeps its
// versions, and deleted objects return.
func TestContractVersioned(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	bucket := server.VersionedBucket(t)
	backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
		return openRoot(t, server, place(server, bucket, unique()))
	})
	s := openRoot(t, server, place(server, bucket, unique()))
	for range 3 {
		if err := s.Put(t.Context(), "k", []byte("x")); err != nil {
			t.Error(err)
		}
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		if _, err := s.Get(t.Context(), "k", backend.Range{}); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("get: got %v, want ErrNotExist", err)
		}
		for info, err := range s.List(t.Context(), "") {
			t.Errorf("list: got %v, %v, want nothing", info, err)
		}
	}
}

// TestContractWithoutPrefix holds the store to its contract where it has buckets
// of its own.
func TestContractWithoutPrefix(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	backendtest.RunRegister(t, func(t *testing.T) backendtest.Register {
		return openRoot(t, server, place(server, server.Bucket(t), ""))
	})
}

// unique returns a prefix of several steps that nobody else has.
func unique() string { return "of several/" + rand.Text() }
