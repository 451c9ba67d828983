package s3_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cairn/backend"
	"cairn/backend/s3"
)

// answer is what a fake store says to every request. These are answers that no
// MinIO gives when it is asked to.
type answer struct {
	status int
	kind   string
	body   string
	header map[string]string
}

// document is an error as S3 writes it.
func document(status int, code, message string) answer {
	return answer{status: status, kind: "application/xml", body: fmt.Sprintf(
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)}
}

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", a.kind)
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// fake opens a store that h plays.
func fake(t *testing.T, h http.Handler) *s3.Store {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	o := s3.Options{Scheme: s3.PlainHTTP, Host: server.Listener.Addr().String(), Bucket: "bucket", Conditions: s3.Conditional}
	s := open(t, o, "key", "secret", "")
	t.Cleanup(func() { s.Close() })
	return s
}

// calls makes one call of every kind, and returns what each ended in.
func calls(t *testing.T, s *s3.Store) map[string]error {
	ctx := t.Context()
	_, get := s.Get(ctx, "k", backend.Range{})
	_, part := s.Get(ctx, "k", backend.Range{Off: 1, Len: 1})
	_, stat := s.Stat(ctx, "k")
	_, _, load := s.Load(ctx, "")
	_, _, again := s.Load(ctx, "tag")
	_, create := s.Swap(ctx, "", []byte("v"))
	_, swap := s.Swap(ctx, "tag", []byte("v"))
	var list error
	for _, err := range s.List(ctx, "") {
		list = err
	}
	return map[string]error{
		"get": get, "get part": part, "stat": stat, "load": load, "load again": again, "create": create, "swap": swap,
		"list": list, "put": s.Put(ctx, "k", []byte("v")), "delete": s.Delete(ctx, "k"),
	}
}

// TestAnswers holds that every bad answer is an error of the right kind to every
// call, on one line that says what to do, and never success nor absence.
func TestAnswers(t *testing.T) {
	t.Parallel()
	transient, denied, unusable, full := backend.ErrUnavailable, backend.ErrDenied, backend.ErrUnusable, backend.ErrFull
	const page = "<html><body><h1>Please log in</h1></body></html>"
	for name, c := range map[string]struct {
		answer answer
		want   error
		says   string
	}{
		"no such bucket":     {document(404, "NoSuchBucket", "The specified bucket does not exist"), unusable, "no such bucket: bucket: look at the name and the region"},
		"access denied":      {document(403, "AccessDenied", "Access Denied."), denied, "the policy of these credentials lacks s3:"},
		"unknown key":        {document(403, "InvalidAccessKeyId", "x"), denied, "check AWS_ACCESS_KEY_ID"},
		"wrong secret":       {document(403, "SignatureDoesNotMatch", "x"), denied, "check AWS_SECRET_ACCESS_KEY"},
		"expired token":      {document(400, "ExpiredToken", "The provided token has expired."), denied, "get new temporary credentials"},
		"MinIO's token":      {document(403, "InvalidTokenId", "The security token included in the request is invalid"), denied, "get new temporary credentials"},
		"clock":              {document(403, "RequestTimeTooSkewed", "x"), denied, "this machine's clock is wrong: the store has "},
		"another region":     {document(400, "AuthorizationHeaderMalformed", "expecting 'eu-west-1'"), unusable, "name it with ?region="},
		"quota":              {document(403, "QuotaExceeded", "quota"), full, "quota"},
		"no room":            {document(507, "XMinioStorageFull", "no room"), full, "no room"},
		"bad request":        {document(400, "InvalidStorageClass", "no such class"), unusable, "no such class (InvalidStorageClass)"},
		"not implemented":    {document(501, "NotImplemented", "header x"), unusable, ""},
		"slow down":          {document(503, "SlowDown", "x"), transient, "overloaded"},
		"internal error":     {document(500, "InternalError", "x"), transient, "overloaded or has a fault"},
		"too many":           {document(429, "TooManyRequests", "x"), transient, "come again later"},
		"request timeout":    {document(400, "RequestTimeout", "x"), transient, "RequestTimeout"},
		"conflict":           {document(409, "ConditionalRequestConflict", "x"), transient, "come again later"},
		"corrupted":          {document(400, "BadDigest", "x"), transient, "not what was sent"},
		"login page":         {answer{200, "text/html", page, nil}, unusable, "does not answer as S3 does (200 OK, text/html)"},
		"missing page":       {answer{404, "text/html", page, nil}, unusable, "does not answer as S3 does (404 Not Found, text/html)"},
		"gateway":            {answer{502, "text/html", page, nil}, transient, "something in front of"},
		"nothing there":      {answer{404, "", "", nil}, unusable, "does not answer as S3 does (404 Not Found)"},
		"TLS expected":       {answer{400, "text/plain", "Client sent an HTTP request to an HTTPS server.", nil}, unusable, "write s3+https://"},
		"success of nothing": {answer{200, "application/octet-stream", "", nil}, nil, ""},
		"other document":     {answer{404, "application/xml", "<?xml version=\"1.0\"?><Sorry/>", nil}, unusable, "does not answer as S3 does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for call, err := range calls(t, fake(t, c.answer)) {
				check(t, call, err, c.want, c.says)
			}
		})
	}
}

// check wants an error of a kind, and none that could be taken for another.
func check(t *testing.T, call string, err, want error, says string) {
	t.Helper()
	if call == "delete" && want == nil {
		return // a deletion that is answered by nothing has nothing to show
	}
	swap := call == "swap" || call == "create"
	switch {
	case err == nil:
		t.Errorf("%s: got success", call)
		return
	case errors.Is(err, backend.ErrNotExist), errors.Is(err, backend.ErrExist), errors.Is(err, backend.ErrConflict):
		t.Errorf("%s: got %v, which says something of an object", call, err)
	case swap && errors.Is(want, backend.ErrUnavailable) != errors.Is(err, backend.ErrUnknown):
		t.Errorf("%s: got %v: is it known not to be applied?", call, err)
	case want != nil && !errors.Is(err, want):
		t.Errorf("%s: got %v, want %v", call, err, want)
	}
	if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
		t.Errorf("%s: got %q, want one line with %q", call, err, says)
	}
}

// TestRegionIsFollowed: a bucket in another region is found there, and whoever
// has found it asks there at once.
func TestRegionIsFollowed(t *testing.T) {
	t.Parallel()
	var requests, refused atomic.Int64
	s := fake(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/s3/") {
			refused.Add(1)
			a := document(400, "AuthorizationHeaderMalformed", "wrong region")
			a.body = strings.Replace(a.body, "</Message>", "</Message><Region>eu-central-1</Region>", 1)
			a.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPut && string(body) != "whole" {
			t.Errorf("put: got %q, want the whole object", body)
		}
		answer{200, "application/octet-stream", "", map[string]string{"ETag": `"x"`}}.ServeHTTP(w, r)
	}))
	for _, key := range []backend.Key{"a", "b"} {
		if err := s.Put(t.Context(), key, []byte("wh"), []byte("ole")); err != nil {
			t.Errorf("put: got %v, want success", err)
		}
	}
	if requests.Load() != 3 || refused.Load() != 1 {
		t.Errorf("got %d requests, %d of them refused, want 3 and 1", requests.Load(), refused.Load())
	}
}

// TestTornAnswers: an object whose connection breaks is an error, and so is one
// that is not the asked part.
func TestTornAnswers(t *testing.T) {
	t.Parallel()
	head := map[string]string{"ETag": `"x"`, "Last-Modified": time.Unix(0, 0).UTC().Format(http.TimeFormat)}
	for name, h := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			answer{206, "", "12345", merge(head, "Content-Range", "bytes 1-10/20")}.ServeHTTP(w, r)
		},
		"another part":  answer{206, "", "0123456789", merge(head, "Content-Range", "bytes 0-9/20")}.ServeHTTP,
		"more":          answer{206, "", "0123456789ab", merge(head, "Content-Range", "bytes 1-12/20")}.ServeHTTP,
		"less":          answer{206, "", "01234", merge(head, "Content-Range", "bytes 1-5/20")}.ServeHTTP,
		"range ignored": answer{200, "", "01234567890123456789", head}.ServeHTTP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := fake(t, h).Get(t.Context(), "k", backend.Range{Off: 1, Len: 10})
			if err == nil || errors.Is(err, backend.ErrNotExist) {
				t.Errorf("get: got %q, %v, want an error", got, err)
			}
			if transient := !backend.Permanent(err); transient != (name == "cut") {
				t.Errorf("get: got %v, transient %t", err, transient)
			}
		})
	}
}

// TestComesAgainLater: whoever says when to come again is believed, a gateway
// like the store itself.
func TestComesAgainLater(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for name, c := range map[string]struct {
		answer answer
		says   string // Retry-After
		want   time.Duration
	}{
		"store":       {document(503, "SlowDown", "x"), "7", 7 * time.Second},
		"throttled":   {document(429, "TooManyRequests", "x"), "90", 90 * time.Second},
		"gateway":     {answer{503, "text/html", "<html>", nil}, "120", 2 * time.Minute},
		"at a time":   {document(503, "SlowDown", "x"), at, time.Hour},
		"in the past": {document(503, "SlowDown", "x"), "Wed, 21 Oct 2015 07:28:00 GMT", 0},
		"nonsense":    {document(503, "SlowDown", "x"), "soon", 0},
		"not busy":    {document(500, "InternalError", "x"), "7", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := c.answer
			a.header = map[string]string{"Retry-After": c.says}
			for call, err := range calls(t, fake(t, a)) {
				check(t, call, err, backend.ErrUnavailable, "")
				var later *backend.LaterError
				if errors.As(err, &later) != (c.want > 0) || later != nil && (later.After-c.want).Abs() > time.Minute {
					t.Errorf("%s: got %v (%+v), want it to wait for %s", call, err, later, c.want)
				}
			}
		})
	}
}

func merge(m map[string]string, name, value string) map[string]string {
	merged := map[string]string{name: value}
	for k, v := range m {
		merged[k] = v
	}
	return merged
}

// TestListingOutOfOrder: a listing that is not in order is not believed.
func TestListingOutOfOrder(t *testing.T) {
	t.Parallel()
	s := fake(t, answer{200, "application/xml", `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>` +
		`<Contents><Key>b</Key><Size>1</Size></Contents><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>`, nil})
	var got []backend.Key
	var last error
	for info, err := range s.List(t.Context(), "") {
		if last = err; err == nil {
			got = append(got, info.Key)
		}
	}
	if !slices.Equal(got, []backend.Key{"b"}) || !errors.Is(last, backend.ErrUnusable) {
		t.Errorf("list: got %v, %v, want b and ErrUnusable", got, last)
	}
}

// TestNobodyThere: what was certainly not sent is no unknown outcome.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(answer{})
	gone := server.Listener.Addr().String()
	server.Close()
	for host, says := range map[string]string{
		gone:                   "connection refused: is the server running",
		"nowhere.invalid:9000": "no address is known for nowhere.invalid",
	} {
		s := open(t, s3.Options{Scheme: s3.PlainHTTP, Host: host, Bucket: "bucket"}, "key", "secret", "")
		for call, err := range calls(t, s) {
			if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrUnknown) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: got %v, want ErrUnavailable with %q", call, err, says)
			}
		}
	}
}
