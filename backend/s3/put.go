package s3

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"cairn/backend"
)

// Put implements backend.Backend: one request, whatever the object's size.
func (s *Store) Put(ctx context.Context, key backend.Key, parts ...[]byte) error {
	err := backend.Begin(ctx, key)
	if err == nil && (s.alone.Load() || newReader(parts).left == 0) {
		err = s.absent(ctx, key)
	}
	if err == nil {
		_, err = s.put(ctx, string(key), condition{absent: true}, parts)
	}
	if errors.Is(err, errCondition) {
		err = backend.ErrExist
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// absent returns an ErrExist if there is an object. It is what a store that
// ignores conditions has in their place. Every store is asked so before an empty
// object is put, as is done to learn whether one is there: where it turns out
// only then that conditions are ignored, nothing must be lost by it.
func (s *Store) absent(ctx context.Context, key backend.Key) error {
	_, err := s.stat(ctx, string(key))
	switch {
	case err == nil:
		return backend.ErrExist
	case errors.Is(err, backend.ErrNotExist):
		return nil
	}
	return err
}

// condition is what must hold for a put to take place. The zero value asks for
// nothing.
type condition struct {
	absent bool   // the object is not there
	holds  string // it has this ETag
	cell   bool   // the object is a register, which says how it was created
}

// add adds the condition to a request and reports whether it has one then.
// Where conditions are ignored, a register gets a note instead.
func (c condition) add(o *minio.PutObjectOptions, alone bool) (asked bool) {
	switch {
	case alone && c.cell:
		o.UserMetadata[aloneNote] = "none"
		return false
	case alone:
		return false
	case c.absent:
		o.SetMatchETagExcept("*")
	case c.holds != "":
		o.SetMatchETag(c.holds)
	}
	return c != condition{cell: c.cell}
}

// put stores parts under name and returns the ETag of what is there then.
func (s *Store) put(ctx context.Context, name string, c condition, parts [][]byte) (string, error) {
	return s.send(ctx, name, c, parts, s.checksum(parts))
}

// RefusesDamage reports whether the store compares what it gets with the
// checksum that comes along, as a pack that changed on its way needs it.
func (s *Store) RefusesDamage(ctx context.Context, name string) (bool, error) {
	name = "tmp/" + name
	sent := [][]byte{[]byte("cairn tries out whether this store compares checksums")}
	_, err := s.send(ctx, name, condition{}, sent, s.checksum(nil))
	if errors.Is(err, errDigest) {
		return true, nil
	}
	if err == nil {
		err = s.remove(ctx, name)
	}
	if err != nil {
		return false, fmt.Errorf("put %s: %w", name, err)
	}
	return false, nil
}

// send is put with a checksum that is known.
func (s *Store) send(ctx context.Context, name string, c condition, parts [][]byte, sum sum) (string, error) {
	options := minio.PutObjectOptions{
		UserMetadata:         map[string]string{},
		ServerSideEncryption: s.encrypt,
		DisableMultipart:     true,
		// What is signed is the checksum, not the bytes: they would have to be
		// hashed once more for it, and nobody who can change them on their way
		// gains by it. They are authenticated by what they hold.
		DisableContentSha256: true,
	}
	if s.o.Class != "" && strings.HasPrefix(name, string(s.o.ClassOf)) {
		options.StorageClass = s.o.Class
	}
	asked := c.add(&options, s.alone.Load())
	digest := ""
	if s.o.Checksum == MD5 {
		digest = sum.value
	} else {
		options.UserMetadata[sum.header] = sum.value
	}
	var tag string
	err := s.call(ctx, putting, func(r *regional) error {
		body := newReader(parts)
		info, err := r.PutObject(ctx, s.o.Bucket, s.name(name), body, body.left, digest, "", options)
		if err == nil && info.ETag == "" {
			err = errNoTag // whoever answered this has stored nothing
		}
		if asked && minio.ToErrorResponse(err).StatusCode == http.StatusNotImplemented {
			err = ErrConditions
		}
		tag = info.ETag
		return err
	})
	return tag, err
}

// sum is a checksum as the protocol has it.
type sum struct{ header, value string }

func (s *Store) checksum(parts [][]byte) sum {
	encode := base64.StdEncoding.EncodeToString
	switch s.o.Checksum {
	case MD5:
		h := md5.New()
		for _, part := range parts {
			h.Write(part)
		}
		return sum{"Content-Md5", encode(h.Sum(nil))}
	case SHA256:
		h := sha256.New()
		for _, part := range parts {
			h.Write(part)
		}
		return sum{"X-Amz-Checksum-Sha256", encode(h.Sum(nil))}
	}
	table, crc := crc32.MakeTable(crc32.Castagnoli), uint32(0)
	for _, part := range parts {
		crc = crc32.Update(crc, table, part)
	}
	return sum{"X-Amz-Checksum-Crc32c", encode(binary.BigEndian.AppendUint32(nil, crc))}
}

// reader reads the concatenation of parts, without making it.
type reader struct {
	parts [][]byte
	done  int   // of the first one, bytes
	left  int64 // bytes
}

func newReader(parts [][]byte) *reader {
	r := &reader{parts: parts}
	for _, part := range parts {
		r.left += int64(len(part))
	}
	return r
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && len(r.parts) > 0 {
		copied := copy(p[n:], r.parts[0][r.done:])
		n += copied
		if r.done += copied; r.done == len(r.parts[0]) {
			r.parts, r.done = r.parts[1:], 0
		}
	}
	r.left -= int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Delete implements backend.Backend. Where the bucket keeps versions, the object
// is hidden.
func (s *Store) Delete(ctx context.Context, key backend.Key) error {
	err := backend.Begin(ctx, key)
	if err == nil {
		err = s.remove(ctx, string(key))
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, name string) error {
	err := s.call(ctx, deleting, func(c *regional) error {
		return c.RemoveObject(ctx, s.o.Bucket, s.name(name), minio.RemoveObjectOptions{})
	})
	if errors.Is(err, backend.ErrNotExist) {
		return nil
	}
	return err
}
