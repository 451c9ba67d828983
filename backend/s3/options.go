package s3

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"cairn/backend"
)

// Options of Open. Bucket is required; the zero value of everything else is
// useful.
type Options struct {
	Host   string // host, or host:port; empty: Amazon
	Scheme Scheme
	Bucket string
	Prefix string // of all names in the bucket, without slashes at its ends

	Region  string // empty: as the environment says, or as the store answers
	Profile string // of the AWS configuration files; empty: as the environment says
	Style   Style

	CAFile string // certificates in PEM to trust besides the system's
	TLS    TLS

	// Class is the storage class of the objects whose key begins with ClassOf.
	// Empty: as the bucket does by default.
	Class   string
	ClassOf backend.Prefix

	Encryption Encryption // by the store, of what is encrypted already
	KMSKey     string     // for EncryptionKMS; empty: the account's own

	Checksum Checksum

	// Conditions is how the register is created. One that is there already
	// knows how it was.
	Conditions Conditions

	Tap *backend.Tap // may be nil
}

// Scheme says how the store is reached.
type Scheme int

// The schemes.
const (
	HTTPS Scheme = iota
	PlainHTTP
)

// Style says where in a URL the bucket stands.
type Style int

// The styles. StyleAuto is in the host name for Amazon and some others that are
// known to want that, and in the path elsewhere.
const (
	StyleAuto Style = iota
	StylePath
	StyleVirtual
)

// TLS says whether the server must prove who it is.
type TLS int

// The kinds of TLS.
const (
	TLSVerified TLS = iota
	TLSInsecure
)

// Encryption says with which keys the store encrypts.
type Encryption int

// The kinds of encryption by the store.
const (
	EncryptionDefault Encryption = iota
	EncryptionS3
	EncryptionKMS
)

// Checksum is what the store compares an object's bytes with before it keeps
// them.
type Checksum int

// The checksums. CRC32C costs next to nothing; MD5 is for stores that do not
// know it: they ignore it, or refuse what comes with it.
const (
	CRC32C Checksum = iota
	MD5
	SHA256
)

// Conditions says whether the store honours conditional requests.
type Conditions int

// What a store may do with conditions; AsMarked is what Create has noted, or
// Conditional. CreateOnly: it honours those of new objects, and ignores those of
// objects that are replaced. Where it is Unconditional there is no protection from
// a second writer: of several Puts of one key more than one may succeed, and so
// may several Swaps of one value.
const (
	AsMarked Conditions = iota
	Conditional
	CreateOnly
	Unconditional
)

// Amazon's endpoint. The client finds the one of the region by itself.
const amazon = "s3.amazonaws.com"

func (o *Options) endpoint() string { return cmp.Or(o.Host, amazon) }

func (o *Options) validate() error {
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return fmt.Errorf("%w: bucket %q: %w", backend.ErrInvalid, o.Bucket, err)
	}
	for _, segment := range strings.Split(o.Prefix, "/") {
		if o.Prefix != "" && (segment == "" || segment == "." || segment == "..") {
			return fmt.Errorf("%w: prefix %q", backend.ErrInvalid, o.Prefix)
		}
	}
	return nil
}

// IsURL reports whether scheme is one that Parse knows.
func IsURL(scheme string) bool {
	return slices.Contains([]string{"s3", "s3+https", "s3+http"}, scheme)
}

// Parse reads the URL of a store: s3://bucket/prefix for Amazon, and
// s3+https://host:port/bucket/prefix or s3+http for others, with options as a
// query. Its errors never hold what could be a secret.
func Parse(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the text
		}
		return Options{}, fmt.Errorf("not a URL: %w", err)
	}
	if u.User != nil {
		return Options{}, errors.New("keys do not belong into the URL, where others see them: " +
			"put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or into a profile of ~/.aws/credentials")
	}
	o := Options{}
	path := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "s3":
		o.Bucket, o.Prefix = u.Host, path
	case "s3+https", "s3+http":
		o.Host = u.Host
		o.Bucket, o.Prefix, _ = strings.Cut(path, "/")
		if u.Scheme == "s3+http" {
			o.Scheme = PlainHTTP
		}
		if u.Hostname() == "" {
			return Options{}, fmt.Errorf("no host in it: write %s://HOST:PORT/BUCKET/PREFIX", u.Scheme)
		}
	default:
		return Options{}, fmt.Errorf("%s is no scheme of S3", u.Scheme)
	}
	if o.Bucket == "" {
		return Options{}, errors.New("no bucket in it: write s3://BUCKET/PREFIX, or s3+https://HOST:PORT/BUCKET/PREFIX")
	}
	if _, _, err := net.SplitHostPort(u.Host); err == nil && u.Scheme == "s3" {
		return Options{}, errors.New("s3:// is for Amazon, and names a bucket only: write s3+https://HOST:PORT/BUCKET/PREFIX")
	}
	if err := o.query(u.RawQuery); err != nil {
		return Options{}, err
	}
	return o, o.validate()
}

// parameters are what a URL's query may say, each with what it is for.
func parameters(o *Options) map[string]func(value string) error {
	return map[string]func(string) error{
		"region":        text(&o.Region),
		"profile":       text(&o.Profile),
		"ca":            text(&o.CAFile),
		"storage-class": text(&o.Class),
		"kms-key":       text(&o.KMSKey),
		"style":         oneOf(&o.Style, map[string]Style{"path": StylePath, "virtual": StyleVirtual}),
		"tls":           oneOf(&o.TLS, map[string]TLS{"insecure": TLSInsecure}),
		"encryption":    oneOf(&o.Encryption, map[string]Encryption{"s3": EncryptionS3, "kms": EncryptionKMS}),
		"checksum":      oneOf(&o.Checksum, map[string]Checksum{"crc32c": CRC32C, "md5": MD5, "sha256": SHA256}),
	}
}

func text(field *string) func(string) error {
	return func(value string) error {
		if value == "" {
			return errors.New("it is empty")
		}
		*field = value
		return nil
	}
}

func oneOf[T any](field *T, known map[string]T) func(string) error {
	return func(value string) error {
		chosen, ok := known[value]
		if !ok {
			return fmt.Errorf("%q is none of %s", value, names(known))
		}
		*field = chosen
		return nil
	}
}

// names lists the keys of a table, in order.
func names[T any](table map[string]T) string {
	var list []string
	for name := range table {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// query reads the options in a URL.
func (o *Options) query(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	known := parameters(o)
	for name, given := range values {
		set, ok := known[name]
		if !ok {
			return fmt.Errorf("%q is no option: there are %s", name, names(known))
		}
		if len(given) != 1 {
			return fmt.Errorf("option %s is given %d times", name, len(given))
		}
		if err := set(given[0]); err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
	}
	return o.consistent()
}

// consistent refuses options that would have no effect.
func (o *Options) consistent() error {
	switch {
	case o.Scheme == PlainHTTP && (o.CAFile != "" || o.TLS == TLSInsecure):
		return errors.New("options ca and tls are of no use with s3+http, which has no TLS")
	case o.CAFile != "" && o.TLS == TLSInsecure:
		return errors.New("option ca is of no use with tls=insecure")
	case o.KMSKey != "" && o.Encryption != EncryptionKMS:
		return errors.New("option kms-key needs encryption=kms")
	}
	return nil
}
