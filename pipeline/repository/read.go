package repository

import (
	"context"
	"errors"
	"fmt"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
	"cairn/pipeline/packer"
)

// ErrNoChunk says that no pack of the repository holds a chunk.
var ErrNoChunk = errors.New("is in no pack of this repository: run cairn check")

// Lookup finds a chunk. A damaged index cache is rebuilt once.
func (r *Repository) Lookup(ctx context.Context, id objects.ID) (index.Place, error) {
	place, ok, err := r.Index.Lookup(id)
	if errors.Is(err, index.ErrDamaged) {
		if err := r.Rebuild(ctx, id); err != nil {
			return index.Place{}, err
		}
		place, ok, err = r.Index.Lookup(id)
	}
	if err != nil {
		return index.Place{}, fmt.Errorf("look up chunk %s: %w", id, err)
	}
	if !ok {
		return index.Place{}, fmt.Errorf("chunk %s %w", id, ErrNoChunk)
	}
	return place, nil
}

// OpenFrame opens the sealed bytes of one frame into dst[:0] and returns its
// chunks, one behind another. The IDs of the chunks that are used must still
// be compared: pack.Verify. Sealed may be overwritten.
func (r *Repository) OpenFrame(dst []byte, kind objects.Kind, key pack.Key, frame pack.Frame, sealed []byte) ([]byte, error) {
	return r.openers[kind].Open(dst[:0], key, frame, sealed)
}

// Authenticate reports whether sealed is one frame as it was sealed; sealed
// stays as it is: pack.Opener.Authenticate.
func (r *Repository) Authenticate(scratch []byte, kind objects.Kind, key pack.Key, frame pack.Frame, sealed []byte) ([]byte, error) {
	return r.openers[kind].Authenticate(scratch, key, frame, sealed)
}

// Read returns length bytes of a pack from off on.
func (r *Repository) Read(ctx context.Context, id objects.ID, off, length int64) ([]byte, error) {
	p, err := r.store.Backend.Get(ctx, packer.Key(id), backend.Range{Off: off, Len: length})
	if err != nil {
		return nil, fmt.Errorf("read pack %s: %w", id, err)
	}
	return p, nil
}

// framesKept is how many opened frames of metadata a MetaReader holds: a path
// from the root of a large archive to its leaf, and some lists.
const framesKept = 8

// MetaReader reads metadata chunks, keeping the frames it opened last: nodes
// that are read one after another mostly lie in the same frame. It is not for
// concurrent use.
type MetaReader struct {
	r      *Repository
	hasher *crypt.Hasher
	frames []openFrame // the most recently used first
}

type openFrame struct {
	pack  objects.ID
	frame uint32 // offset in the pack
	raw   []byte
}

// NewMetaReader returns a reader with nothing kept.
func (r *Repository) NewMetaReader() *MetaReader {
	return &MetaReader{r: r, hasher: r.Keys.NewHasher()}
}

// Get returns the metadata chunk named id, also when others move it meanwhile.
// The bytes are valid until framesKept more calls.
func (m *MetaReader) Get(ctx context.Context, id objects.ID) ([]byte, error) {
	place, err := m.r.Lookup(ctx, id)
	for err == nil {
		var chunk []byte
		if chunk, err = m.at(ctx, place, id); err == nil {
			return chunk, nil
		}
		place, err = m.r.Elsewhere(ctx, id, place.Pack, err)
	}
	return nil, err
}

// at returns the metadata chunk id, which lies at place.
func (m *MetaReader) at(ctx context.Context, place index.Place, id objects.ID) ([]byte, error) {
	if place.Kind != objects.Meta {
		return nil, objects.Corrupt("chunk "+id.String(), "it lies in a pack of file data")
	}
	raw, err := m.frame(ctx, place)
	if err != nil {
		return nil, err
	}
	chunk := raw[place.Off : place.Off+place.Len]
	if m.hasher.Sum(objects.Meta, chunk) != id {
		return nil, packError(place.Pack, objects.Corrupt("frame", "chunk %s does not have the content that its name promises", id))
	}
	return chunk, nil
}

// frame returns the opened frame that place lies in.
func (m *MetaReader) frame(ctx context.Context, place index.Place) ([]byte, error) {
	for i, f := range m.frames {
		if f.pack == place.Pack && f.frame == place.Frame.Off {
			copy(m.frames[1:], m.frames[:i])
			m.frames[0] = f
			return f.raw, nil
		}
	}
	raw, err := m.r.metaFrame(ctx, place)
	if err != nil {
		return nil, packError(place.Pack, err)
	}
	if len(m.frames) < framesKept {
		m.frames = append(m.frames, openFrame{})
	}
	copy(m.frames[1:], m.frames)
	m.frames[0] = openFrame{place.Pack, place.Frame.Off, raw}
	return raw, nil
}

// Fetch is Get with a context, for package archive.
func (m *MetaReader) Fetch(ctx context.Context) func(objects.ID) ([]byte, error) {
	return func(id objects.ID) ([]byte, error) { return m.Get(ctx, id) }
}
