package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"cairn/backend"
)

const (
	// renewBefore is how long before they expire credentials are renewed: a
	// request that is under way then must still end well.
	renewBefore = 5 * time.Minute
	// findPatience bounds the search for credentials, which outside of Amazon's
	// machines ends at an address that nobody answers at.
	findPatience = 15 * time.Second
	// renewPause is how long credentials that are still good are used before
	// the next attempt to renew them.
	renewPause = 30 * time.Second
)

// findCredentials returns who has the credentials, and the region that goes
// with them, as every tool for AWS finds them: environment, profiles, SSO, web
// identity, container and machine roles. It reads files and the environment
// only: whoever else is to be asked is asked when a request needs it.
func findCredentials(ctx context.Context, o Options) (*provider, string, error) {
	options := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}), // what it has to say is in its errors
	}
	if o.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(o.Profile))
	}
	found, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, "", fmt.Errorf("%w: read the AWS configuration: %w", backend.ErrDenied, err)
	}
	return &provider{source: found.Credentials}, cmp.Or(o.Region, found.Region), nil
}

// provider hands what Amazon's library finds to the client.
type provider struct {
	source aws.CredentialsProvider

	mu   sync.Mutex
	last credentials.Value // the newest; Expiration zero: never; guarded by mu
	next time.Time         // when to renew them; zero: never; guarded by mu
}

// RetrieveWithCredContext implements credentials.Provider.
func (p *provider) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	if cc == nil || cc.Context == nil {
		return credentials.Value{}, errors.New("credentials asked for without a context")
	}
	ctx, cancel := context.WithTimeoutCause(cc.Context, findPatience, errFindPatience)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if cache, ok := p.source.(*aws.CredentialsCache); ok {
		cache.Invalidate() // it would hand them out to their last second
	}
	found, err := p.source.Retrieve(ctx)
	if err != nil && p.last.Expiration.After(time.Now()) {
		p.next = time.Now().Add(renewPause)
		return p.last, nil
	}
	if err != nil {
		return credentials.Value{}, &credentialsError{err}
	}
	p.last = credentials.Value{
		AccessKeyID: found.AccessKeyID, SecretAccessKey: found.SecretAccessKey, SessionToken: found.SessionToken,
		SignerType: credentials.SignatureV4,
	}
	p.next = time.Time{}
	if found.CanExpire {
		p.last.Expiration, p.next = found.Expires, found.Expires.Add(-renewBefore)
	}
	return p.last, nil
}

var errFindPatience = errors.New("no answer")

// Retrieve implements credentials.Provider. It is not used any more.
func (p *provider) Retrieve() (credentials.Value, error) {
	return p.RetrieveWithCredContext(nil)
}

// IsExpired implements credentials.Provider.
func (p *provider) IsExpired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.AccessKeyID == "" || !p.next.IsZero() && time.Now().After(p.next)
}

// credentialsError is a search for credentials that found none.
type credentialsError struct{ err error }

func (e *credentialsError) Unwrap() error { return e.err }

// Error implements error. What Amazon's library says when nothing is set is
// about the last place it looked at, a machine's role, which most have not.
func (e *credentialsError) Error() string {
	if says := oneLine(e.err.Error()); !strings.Contains(says, "ec2imds") {
		return says
	}
	return "no credentials are set"
}
