package s3

import (
	"context"
	"net"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// OpenAs is Open for somebody whose keys are known, whatever the environment.
func OpenAs(ctx context.Context, o Options, accessKey, secretKey, token string) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return open(o, &provider{source: credentials.NewStaticCredentialsProvider(accessKey, secretKey, token)}, o.Region)
}

// Watch is what every connection to a store goes through, and Silence how long
// it may be silent.
func Watch(c net.Conn) net.Conn { return &watchedConn{c} }

const Silence = silence
