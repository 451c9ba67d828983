package s3_test

import (
	"crypto/rand"
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

// TestContract holds the store to its contract in every kind of bucket.
func TestContract(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	for name, bucket := range map[string]string{
		"Plain": server.Bucket(t), "Versioned": server.VersionedBucket(t), "Locked": server.LockedBucket(t),
	} {
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
