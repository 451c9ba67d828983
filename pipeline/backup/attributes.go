package backup

import (
	"context"
	"sync"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/objects/chunker"
	"cairn/pipeline/fileattr"
	"cairn/pipeline/packer"
)

// spill stores values of extended attributes that are too large for an entry.
// They are rare, so that all goroutines share one Framer.
type spill struct {
	cut    *chunker.Chunker
	packer *packer.Packer

	mu    sync.Mutex
	data  *packer.Framer // guarded by mu
	lists *packer.Framer // of chunks of data; guarded by mu; nil: there was none yet
}

// attributes turns what a file has into what an entry holds. What could not be
// read is warned about, by path.
func (r *run) attributes(ctx context.Context, path string, set fileattr.Set, errs []error) ([]archive.Xattr, []archive.Attr, error) {
	for _, err := range errs {
		r.warn(path, err)
	}
	var xattrs []archive.Xattr
	for _, x := range set.Xattrs {
		kept := archive.Xattr{Name: x.Name, Value: x.Value}
		if len(x.Value) > archive.XattrMax {
			content, err := r.spill.store(ctx, x.Value)
			if err != nil {
				return nil, nil, &storeError{err}
			}
			kept.Value, kept.Spilled = nil, &content
		}
		xattrs = append(xattrs, kept)
	}
	return xattrs, r.attrs(set), nil
}

// attrs returns the ACLs, with names, and the flags.
func (r *run) attrs(set fileattr.Set) []archive.Attr {
	var attrs []archive.Attr
	for _, acl := range set.ACLs {
		r.names.complete(acl)
		attrs = append(attrs, archive.Attr{Tag: uint64(acl.Tag), Value: acl.Append(nil)})
	}
	if set.Flags != 0 {
		attrs = append(attrs, archive.Attr{Tag: uint64(attr.FileFlags), Value: set.Flags.Append(nil)})
	}
	return attrs
}

// store stores one value.
func (s *spill) store(ctx context.Context, value []byte) (archive.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return putBytes(ctx, s.data, s.cut, value, s.putList(ctx))
}

// putList stores one list of chunks. s.mu is held.
func (s *spill) putList(ctx context.Context) archive.Put {
	return func(plain []byte) (id objects.ID, err error) {
		if s.lists == nil {
			if s.lists, err = s.packer.NewFramer(objects.Meta); err != nil {
				return id, err
			}
		}
		return s.lists.Put(ctx, plain)
	}
}

func (s *spill) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.data.Flush(ctx); err != nil || s.lists == nil {
		return err
	}
	return s.lists.Flush(ctx)
}
