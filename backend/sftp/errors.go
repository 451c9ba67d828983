package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	pkgsftp "github.com/pkg/sftp"

	"cairn/backend"
)

// Status codes of later versions of the protocol, which some servers send
// nevertheless.
const (
	fxNoSpace = 14
	fxQuota   = 15
)

// roomy is how much room there is where a failure has another cause than the
// lack of it, bytes.
const roomy = 1 << 20

// explain turns an error of a server into one of package backend. What is
// missing becomes absent, if the root is still there: the answer ErrNotExist
// must mean that the store was asked. No error of the file system gets out.
func (s *Store) explain(ctx context.Context, c *conn, err, absent error) error {
	var status *pkgsftp.StatusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if lost := s.alive(ctx, c); lost != nil {
			return lost
		}
		return absent
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the server does not permit it", backend.ErrDenied)
	case !errors.As(err, &status):
		return err
	}
	switch {
	case status.Code == fxNoSpace, status.Code == fxQuota, isFullText(status.Error()):
		return fmt.Errorf("%w: %v", backend.ErrFull, err)
	case status.FxCode() == pkgsftp.ErrSSHFxFailure:
		return s.explainFailure(ctx, c, err)
	}
	return err
}

// isFullText recognises the system's words, which some servers pass on.
func isFullText(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "no space left") || strings.Contains(text, "quota")
}

// explainFailure looks for the cause of what the server calls a failure and
// nothing else.
func (s *Store) explainFailure(ctx context.Context, c *conn, failure error) error {
	if !c.offers(extStatVFS) {
		return failure
	}
	is, err := query(ctx, c, func() (*pkgsftp.StatVFS, error) { return c.StatVFS(s.location.Path) })
	const readOnly = 1
	switch {
	case err != nil:
		return failure
	case is.Flag&readOnly != 0:
		return fmt.Errorf("%w: the file system there is mounted read-only", backend.ErrDenied)
	case is.Bavail*is.Frsize < roomy, is.Files > 0 && is.Favail == 0:
		return fmt.Errorf("%w: %v", backend.ErrFull, failure)
	}
	return failure
}

// The requests that need no more than a path. Their errors are the server's.

func stat(ctx context.Context, c *conn, name string) (os.FileInfo, error) {
	return query(ctx, c, func() (os.FileInfo, error) { return c.Stat(name) })
}

func readDir(ctx context.Context, c *conn, name string) ([]os.FileInfo, error) {
	return query(ctx, c, func() ([]os.FileInfo, error) { return c.ReadDir(name) })
}

func open(ctx context.Context, c *conn, name string, flags int) (*pkgsftp.File, error) {
	return query(ctx, c, func() (*pkgsftp.File, error) { return c.OpenFile(name, flags) })
}

// mkdir succeeds if there is a directory already.
func mkdir(ctx context.Context, c *conn, name string) error {
	err := c.call(ctx, func() error { return c.Mkdir(name) })
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, statErr := stat(ctx, c, name)
	switch {
	case errors.Is(statErr, backend.ErrUnavailable), ctx.Err() != nil:
		return statErr // why nobody knows what the server has failed to do
	case statErr != nil:
		return err
	case !info.IsDir():
		return errNoDirectory
	}
	return nil
}
