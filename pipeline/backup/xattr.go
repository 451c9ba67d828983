package backup

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"cairn/objects/archive"
	"cairn/objects/chunker"
	"cairn/pipeline/packer"
	"cairn/pipeline/walk"
)

// spill stores values of extended attributes that are too large for an entry.
// They are rare, so that all goroutines share one Framer.
type spill struct {
	cut *chunker.Chunker

	mu     sync.Mutex
	framer *packer.Framer // of data; guarded by mu
}

// xattrs turns what a file has into what an entry holds. Attributes that
// could not be read are warned about, by path.
func (r *run) xattrs(ctx context.Context, path string, list []walk.Xattr, errs []error) ([]archive.Xattr, error) {
	for _, err := range errs {
		r.warn(path, err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	kept := make([]archive.Xattr, 0, len(list))
	for _, x := range list {
		value := archive.Xattr{Name: x.Name, Value: x.Value}
		if len(x.Value) > archive.XattrMax {
			content, err := r.spill.store(ctx, x.Value)
			if err != nil {
				return nil, &storeError{err}
			}
			value.Value, value.Spilled = nil, &content
		}
		kept = append(kept, value)
	}
	slices.SortFunc(kept, func(a, b archive.Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return kept, nil
}

// store stores one value.
func (s *spill) store(ctx context.Context, value []byte) (archive.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return putBytes(ctx, s.framer, s.cut, value)
}

func (s *spill) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.framer.Flush(ctx)
}
