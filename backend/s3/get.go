package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"cairn/backend"
)

// believed is how many bytes are allocated for an object because the store
// announces them; more than that must come first. It is more than any pack has.
const believed = 64 << 20

// Get implements backend.Backend.
func (s *Store) Get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = r.Validate()
	}
	var data []byte
	if err == nil {
		data, err = s.get(ctx, key, r)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return data, nil
}

func (s *Store) get(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	options := minio.GetObjectOptions{}
	if r != (backend.Range{}) {
		last := ""
		if r.Len > 0 {
			last = strconv.FormatInt(r.Off+r.Len-1, 10)
		}
		options.Set("Range", fmt.Sprintf("bytes=%d-%s", r.Off, last))
	}
	var data []byte
	err := s.call(ctx, getting, func(c *regional) error {
		body, info, header, err := c.GetObject(ctx, s.o.Bucket, s.name(string(key)), options)
		if err != nil {
			return err
		}
		defer body.Close()
		data, err = exactly(key, r, body, info, header)
		return err
	})
	if errors.Is(err, errRange) {
		return s.beyond(ctx, key, r)
	}
	return data, err
}

// beyond answers for a range of which the object has not even the first byte.
func (s *Store) beyond(ctx context.Context, key backend.Key, r backend.Range) ([]byte, error) {
	info, err := s.stat(ctx, string(key))
	if err != nil {
		return nil, err
	}
	_, n, err := r.Resolve(key, info.Size)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, fmt.Errorf("%w: it refuses %s, which an object of %d bytes has", backend.ErrUnusable, r, info.Size)
	}
	return []byte{}, nil
}

// exactly reads what r selects from the answer to a request for it.
func exactly(key backend.Key, r backend.Range, body io.Reader, info minio.ObjectInfo, header http.Header) ([]byte, error) {
	if info.ETag == "" {
		return nil, errNoTag
	}
	n, size := info.Size, info.Size // of the body, and of the object
	if r != (backend.Range{}) {
		var first int64
		if _, err := fmt.Sscanf(header.Get("Content-Range"), "bytes %d-", &first); err != nil || first != r.Off {
			return nil, fmt.Errorf("%w: asked for %s, it answers %q", backend.ErrUnusable, r, header.Get("Content-Range"))
		}
		_, total, _ := strings.Cut(header.Get("Content-Range"), "/")
		var err error
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			size = first + n
		}
	}
	if _, want, err := r.Resolve(key, size); err != nil {
		return nil, err
	} else if n != want {
		return nil, fmt.Errorf("%w: asked for %d bytes, it announces %d", backend.ErrUnusable, want, n)
	}
	return readAll(body, n)
}

// readAll reads exactly n bytes.
func readAll(body io.Reader, n int64) ([]byte, error) {
	if n < 0 || n > math.MaxInt {
		return nil, fmt.Errorf("%w: %d bytes do not fit into memory", backend.ErrInvalid, n)
	}
	if n <= believed {
		data := make([]byte, n)
		_, err := io.ReadFull(body, data)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return data, err
	}
	var data bytes.Buffer
	if got, err := io.CopyN(&data, body, n); err != nil {
		return nil, fmt.Errorf("%w after %d bytes of %d", io.ErrUnexpectedEOF, got, n)
	}
	return data.Bytes(), nil
}

// Stat implements backend.Backend.
func (s *Store) Stat(ctx context.Context, key backend.Key) (backend.Info, error) {
	err := backend.Begin(ctx, key)
	var info backend.Info
	if err == nil {
		info, err = s.stat(ctx, string(key))
	}
	if err != nil {
		return backend.Info{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return info, nil
}

func (s *Store) stat(ctx context.Context, key string) (backend.Info, error) {
	var info minio.ObjectInfo
	err := s.call(ctx, statting, func(c *regional) (err error) {
		if info, err = s.head(ctx, c, key); minio.ToErrorResponse(err).StatusCode < http.StatusBadRequest {
			return err
		}
		// An answer to HEAD has no body: where it is 404, the bucket may as well
		// be missing, or this may be a gateway that knows neither.
		if err = s.inWords(ctx, c, key); err == nil {
			info, err = s.head(ctx, c, key) // it was put meanwhile
		}
		return err
	})
	return backend.Info{Key: backend.Key(key), Size: info.Size, ModTime: info.LastModified}, err
}

func (s *Store) head(ctx context.Context, c *regional, key string) (minio.ObjectInfo, error) {
	info, err := c.StatObject(ctx, s.o.Bucket, s.name(key), minio.StatObjectOptions{})
	if err == nil && info.ETag == "" {
		err = errNoTag
	}
	return info, err
}

// inWords asks again for an object that a HEAD was refused, in a way that has an
// answer with words in it.
func (s *Store) inWords(ctx context.Context, c *regional, key string) error {
	options := minio.GetObjectOptions{}
	options.Set("Range", "bytes=0-0")
	body, _, _, err := c.GetObject(ctx, s.o.Bucket, s.name(key), options)
	if minio.ToErrorResponse(err).Code == "InvalidRange" {
		return nil // it is there, and empty
	}
	if err != nil {
		return err
	}
	return body.Close()
}
