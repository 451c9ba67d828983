package s3_test

import (
	"strings"
	"testing"

	"cairn/backend/s3"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]s3.Options{
		"s3://bucket":            {Bucket: "bucket"},
		"s3://bucket/":           {Bucket: "bucket"},
		"s3://bucket/a/b/":       {Bucket: "bucket", Prefix: "a/b"},
		"s3://bucket/a%20b":      {Bucket: "bucket", Prefix: "a b"},
		"s3+https://h/bucket":    {Host: "h", Bucket: "bucket"},
		"s3+http://h:9/bucket/p": {Host: "h:9", Scheme: s3.PlainHTTP, Bucket: "bucket", Prefix: "p"},
		"s3+http://[::1]:9/bkt":  {Host: "[::1]:9", Scheme: s3.PlainHTTP, Bucket: "bkt"},
		"s3://bucket/p?region=eu-central-1&profile=x&style=path&storage-class=STANDARD_IA&encryption=kms&kms-key=k&checksum=md5": {
			Bucket: "bucket", Prefix: "p", Region: "eu-central-1", Profile: "x", Style: s3.StylePath,
			Class: "STANDARD_IA", Encryption: s3.EncryptionKMS, KMSKey: "k", Checksum: s3.MD5,
		},
		"s3+https://h/bucket?ca=/etc/ca.pem": {Host: "h", Bucket: "bucket", CAFile: "/etc/ca.pem"},
		"s3+https://h/bucket?tls=insecure":   {Host: "h", Bucket: "bucket", TLS: s3.TLSInsecure},
	} {
		if got, err := s3.Parse(text); got != want || err != nil {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// TestParseRefuses holds that what is wrong is said, and no key with it.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"s3://":                             "no bucket in it",
		"s3+https://host":                   "no bucket in it",
		"s3+https:///bucket":                "no host in it",
		"s3+http://:9000/bucket":            "no host in it",
		"s3://host:9000/bucket":             "write s3+https://",
		"s3://b/x":                          "bucket \"b\"",
		"s3://bucket/a//b":                  "prefix \"a//b\"",
		"s3://bucket/../b":                  "prefix \"../b\"",
		"ftp://bucket":                      "no scheme of S3",
		"s3://bucket?regoin=x":              "\"regoin\" is no option: there are ca, checksum",
		"s3://bucket?region=":               "option region: it is empty",
		"s3://bucket?region=a&region=b":     "given 2 times",
		"s3://bucket?style=odd":             "\"odd\" is none of path, virtual",
		"s3+http://h/bucket?tls=insecure":   "of no use with s3+http",
		"s3://bucket?ca=x&tls=insecure":     "of no use with tls=insecure",
		"s3://bucket?kms-key=x":             "needs encryption=kms",
		"s3://AKIA:wJalrXUt@bucket/x":       "keys do not belong into the URL",
		"s3+https://k:wJalrXUt@h/bucket":    "keys do not belong into the URL",
		"s3+https://k:wJalrXUt@h:port/bckt": "not a URL",
	} {
		_, err := s3.Parse(text)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "wJalrXUt") {
			t.Errorf("%s: got %v, want %q and no secret", text, err, says)
		}
	}
}
