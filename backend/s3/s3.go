// Package s3 keeps a store in a bucket of Amazon S3, of MinIO, or of another
// service that speaks their protocol.
//
// An object's key follows the store's prefix in the bucket. prefix/head is the
// register, or what is below prefix/head/ in a store that can create objects
// exclusively and not replace them; prefix/tmp/store marks the place as a store of
// ours, and says which it is. Every call is
// one request where nothing goes wrong, and none is repeated here: package retry
// does that. The exceptions are requests that were certainly refused, because
// the bucket is in another region, and a look at what a HEAD left open.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"cairn/backend"
)

// The names that belong to the store itself, below its prefix.
const (
	headName   = "head"
	markerName = "tmp/store"
)

// defaultRegion is what requests are signed for when nobody says otherwise.
// Most services that are not Amazon's do not care.
const defaultRegion = "us-east-1"

// Store is a backend.Backend with a register. Any number of processes may use
// one place in a bucket at the same time.
type Store struct {
	o       Options
	prefix  string // of all names: empty, or ending in a slash
	web     *http.Transport
	creds   *credentials.Credentials
	encrypt encrypt.ServerSide       // nil: as the bucket does by default
	client  atomic.Pointer[regional] // replaced when the bucket turns out to be elsewhere
	alone   atomic.Bool              // the store ignores conditions: see register.go
	chained atomic.Bool              // the register is a chain: see chain.go
	chain   Chain
}

// regional is a client that signs for one region.
type regional struct {
	*minio.Core
	region string
}

// Open returns the store that o names. It asks the store nothing, and neither
// whoever has the credentials: the first request does.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	provider, region, err := findCredentials(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := open(o, provider, region)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// open makes the store of somebody whose credentials provider has.
func open(o Options, provider credentials.Provider, region string) (*Store, error) {
	web, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, web: web, creds: credentials.New(provider)}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	s.chain = newChain(s, headName)
	s.alone.Store(o.Conditions == Unconditional)
	s.chained.Store(o.Conditions == CreateOnly)
	switch o.Encryption {
	case EncryptionS3:
		s.encrypt = encrypt.NewSSE()
	case EncryptionKMS:
		if s.encrypt, err = encrypt.NewSSEKMS(o.KMSKey, nil); err != nil {
			return nil, err
		}
	}
	return s, s.connect(cmp.Or(region, defaultRegion))
}

// connect makes a client for region.
func (s *Store) connect(region string) error {
	lookup := minio.BucketLookupAuto
	switch s.o.Style {
	case StylePath:
		lookup = minio.BucketLookupPath
	case StyleVirtual:
		lookup = minio.BucketLookupDNS
	}
	core, err := minio.NewCore(s.o.endpoint(), &minio.Options{
		Creds: s.creds, Secure: s.o.Scheme != PlainHTTP, Region: region, BucketLookup: lookup,
		Transport:  answers{tapped{s.web, s.o.Tap}},
		MaxRetries: 1, // a repeated conditional request would conflict with itself
	})
	if err != nil {
		return fmt.Errorf("%w: %w", backend.ErrInvalid, err)
	}
	core.SetAppInfo("cairn", "1")
	s.client.Store(&regional{core, region})
	return nil
}

// call makes one request. If the store refuses it because the bucket is in
// another region, and says in which, it is made once more, there.
func (s *Store) call(ctx context.Context, v verb, request func(c *regional) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := s.client.Load()
	err := request(c)
	if region := elsewhere(err); region != "" && region != c.region {
		if err := s.connect(region); err != nil {
			return err
		}
		err = request(s.client.Load())
	}
	return s.explain(ctx, v, err)
}

// name returns the object's name in the bucket.
func (s *Store) name(key string) string { return s.prefix + key }

// Close implements backend.Backend.
func (s *Store) Close() error {
	s.web.CloseIdleConnections()
	return nil
}

// Inspect tells what is below the store's prefix, so that a caller can refuse to
// Create a store over anything but Empty. Missing: there is no such bucket.
func (s *Store) Inspect(ctx context.Context) (backend.State, error) {
	state := backend.Empty
	err := s.call(ctx, listing, func(c *regional) error {
		for _, name := range []string{headName, markerName, ""} {
			there, err := s.holds(ctx, c, s.name(name))
			if err != nil {
				return err
			}
			if there && name == "" {
				state = backend.Foreign
			} else if there {
				state = backend.Ours
				break
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errNoBucket):
		return backend.Missing, nil
	case err != nil:
		return backend.Foreign, fmt.Errorf("inspect: %w", err)
	}
	return state, nil
}

// holds reports whether there is an object called name, or below it, or for an
// empty name or one that ends in a slash any at all.
func (s *Store) holds(ctx context.Context, c *regional, name string) (bool, error) {
	for object := range c.ListObjectsIter(ctx, s.o.Bucket, s.listOptions(name, 1)) {
		if object.Err != nil {
			return false, object.Err
		}
		rest := strings.TrimPrefix(object.Key, name)
		return rest == "" || name == s.prefix || strings.HasPrefix(rest, "/"), nil
	}
	return false, ctx.Err()
}

// Create marks the place as a store. What is there stays there: whether that is
// right is for the caller to ask Inspect.
func (s *Store) Create(ctx context.Context) error {
	mark := plainMark
	if s.chained.Load() {
		mark = chainMark
	}
	_, err := s.put(ctx, markerName, condition{}, [][]byte{[]byte(mark)})
	if err != nil {
		return fmt.Errorf("create store: %w", err)
	}
	return nil
}

// CreateBucket makes the bucket, in the store's region. One that is there and
// belongs to the same owner is no error.
func (s *Store) CreateBucket(ctx context.Context) error {
	err := s.call(ctx, creating, func(c *regional) error {
		err := c.MakeBucket(ctx, s.o.Bucket, minio.MakeBucketOptions{Region: c.region})
		if code := minio.ToErrorResponse(err).Code; code == "BucketAlreadyOwnedByYou" {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create bucket %s: %w", s.o.Bucket, err)
	}
	return nil
}
