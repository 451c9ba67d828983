package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"cairn/backend"
)

// ErrConditions: the store refuses every request that has a condition.
var ErrConditions = fmt.Errorf("%w: it refuses conditional requests", backend.ErrUnusable)

// What a store answers that only this package asks about.
var (
	errCondition = errors.New("condition does not hold")
	errRange     = errors.New("object has no such range")
	errDigest    = errors.New("what arrived is not what was sent")
	errNoBucket  = fmt.Errorf("%w: no such bucket", backend.ErrUnusable)
	errNoTag     = fmt.Errorf("%w: it answers without an ETag, as no store does: is there a proxy in between?", backend.ErrUnusable)
)

// A verb is what a request is for: an error can say which permission it lacks.
type verb int

const (
	getting verb = iota
	statting
	putting
	deleting
	listing
	creating
)

func (v verb) action() string {
	switch v {
	case putting:
		return "s3:PutObject"
	case deleting:
		return "s3:DeleteObject"
	case listing:
		return "s3:ListBucket"
	case creating:
		return "s3:CreateBucket"
	}
	return "s3:GetObject"
}

// explain turns what became of a request into an error of package backend that
// says what to do. What a connection or a stranger says is in explainNetwork.
func (s *Store) explain(ctx context.Context, v verb, err error) error {
	var answer minio.ErrorResponse
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isOurs(err):
		return err
	case errors.As(err, &answer):
		return s.explainAnswer(v, answer)
	}
	return s.explainNetwork(err)
}

// isOurs reports whether err says already what package backend says.
func isOurs(err error) bool {
	var short *backend.ShortError
	return backend.Permanent(err) || errors.Is(err, backend.ErrUnavailable) || errors.As(err, &short)
}

// explainAnswer explains an error that the store itself has answered.
func (s *Store) explainAnswer(v verb, a minio.ErrorResponse) error {
	says := oneLine(a.Message)
	switch a.Code {
	case "NoSuchKey":
		return backend.ErrNotExist
	case "PreconditionFailed":
		return errCondition
	case "InvalidRange":
		return errRange
	case "NoSuchBucket":
		return fmt.Errorf("%w: %s: look at the name and the region, or make it with: cairn init --create-bucket", errNoBucket, s.o.Bucket)
	case "BucketAlreadyExists":
		return fmt.Errorf("%w: the name %s is taken by somebody else: choose another one", backend.ErrUnusable, s.o.Bucket)
	case "AccessDenied", "AllAccessDisabled", "AccountProblem", "UnauthorizedAccess":
		return s.denied(v, says)
	case "InvalidAccessKeyId":
		return fmt.Errorf("%w: the store does not know the access key: check AWS_ACCESS_KEY_ID or the profile", backend.ErrDenied)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("%w: the secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY or the profile", backend.ErrDenied)
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidTokenId", "InvalidClientTokenId", "TokenRefreshRequired":
		return fmt.Errorf("%w: the session token has expired or is wrong: get new temporary credentials (as with: aws sso login), and run this again", backend.ErrDenied)
	case "InvalidObjectState":
		return fmt.Errorf("%w: the object is in an archival storage class: restore it there before it can be read", backend.ErrUnusable)
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientCapacity", "EntityTooLarge":
		return fmt.Errorf("%w: %s", backend.ErrFull, says)
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody":
		return fmt.Errorf("%w: %w (%s)", backend.ErrUnavailable, errDigest, a.Code)
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "InvalidRegion", "IllegalLocationConstraintException":
		return fmt.Errorf("%w: the bucket is in another region: name it with ?region= in the URL (%s)", backend.ErrUnusable, says)
	case "NotImplemented":
		return s.notImplemented(says)
	}
	return s.explainStatus(a, says)
}

// explainStatus explains an answer whose code is none that is known.
func (s *Store) explainStatus(a minio.ErrorResponse, says string) error {
	switch a.StatusCode {
	case http.StatusPreconditionFailed:
		return errCondition
	case http.StatusRequestedRangeNotSatisfiable:
		return errRange
	case http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %s", backend.ErrFull, says)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s (%s)", backend.ErrDenied, says, a.Code)
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return fmt.Errorf("%w: it asks to come again later (%s)", backend.ErrUnavailable, a.Code)
	}
	if a.StatusCode >= http.StatusInternalServerError || a.Code == "RequestTimeout" || a.Code == "SlowDown" {
		return fmt.Errorf("%w: %s is overloaded or has a fault of its own (%s)", backend.ErrUnavailable, s.o.endpoint(), a.Code)
	}
	return fmt.Errorf("%w: it refuses the request: %s (%s)", backend.ErrUnusable, says, a.Code)
}

// denied says which permission is missing. Without the one to list, Amazon
// calls every missing object a forbidden one.
func (s *Store) denied(v verb, says string) error {
	action := v.action()
	switch v {
	case getting, statting:
		action += ", or s3:ListBucket on the bucket,"
	}
	return fmt.Errorf("%w: the policy of these credentials lacks %s for bucket %s (%s)", backend.ErrDenied, action, s.o.Bucket, says)
}

func (s *Store) notImplemented(says string) error {
	return fmt.Errorf("%w: the store lacks something that cairn asks for (%s): option checksum=md5 in the URL does with less", backend.ErrUnusable, says)
}

// elsewhere returns the region of the bucket, if err is a refusal for the reason
// that the request went to another one and says to which it belongs.
func elsewhere(err error) string {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return ""
	}
	switch answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusForbidden:
		return answer.Region
	}
	return ""
}

// refused reports whether a request that ended in err was certainly not
// carried out.
func refused(err error) bool {
	var unsent *unsentError
	for _, certain := range []error{backend.ErrDenied, backend.ErrUnusable, backend.ErrFull, backend.ErrInvalid, backend.ErrConflict} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return errors.As(err, &unsent)
}

// oneLine returns what somebody else says as the part of a line.
func oneLine(text string) string {
	const shown = 160
	line := strings.TrimRight(strings.Join(strings.Fields(text), " "), ". ")
	if len(line) > shown {
		line = strings.ToValidUTF8(line[:shown], "") + "…"
	}
	return line
}
