package repository

import (
	"context"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/crypt"
)

// ChunkReader reads chunks of either kind from given places and holds them to
// their names. It keeps the frame that it opened last. It is not for concurrent
// use.
type ChunkReader struct {
	r      *Repository
	hasher *crypt.Hasher
	raw    []byte      // the frame that was opened last; nil: none
	last   index.Place // a place in it
}

// NewChunkReader returns a reader with nothing kept.
func (r *Repository) NewChunkReader() *ChunkReader {
	return &ChunkReader{r: r, hasher: r.Keys.NewHasher()}
}

// At returns the chunk id of a kind, which lies at place. A pack that is missing
// or damaged is a *PackError. The bytes are valid until the next call.
func (c *ChunkReader) At(ctx context.Context, place index.Place, kind objects.Kind, id objects.ID) ([]byte, error) {
	if place.Kind != kind {
		return nil, packError(place.Pack, objects.Corrupt("chunk "+id.String(), "it lies in a pack of %v", place.Kind))
	}
	if c.raw == nil || c.last.Pack != place.Pack || c.last.Frame.Off != place.Frame.Off {
		sealed, err := c.r.Read(ctx, place.Pack, int64(place.Frame.Off), int64(place.Frame.Stored))
		if err != nil {
			return nil, packError(place.Pack, err)
		}
		if c.raw, err = c.r.OpenFrame(c.raw, kind, place.Key, place.Frame, sealed); err != nil {
			c.raw = nil
			return nil, packError(place.Pack, err)
		}
		c.last = place
	}
	if uint64(place.Off)+uint64(place.Len) > uint64(len(c.raw)) {
		return nil, packError(place.Pack, objects.Corrupt("frame", "it ends before chunk %s does", id))
	}
	chunk := c.raw[place.Off : place.Off+place.Len]
	if c.hasher.Sum(kind, chunk) != id {
		return nil, packError(place.Pack, objects.Corrupt("frame", "chunk %s does not have the content that its name promises", id))
	}
	return chunk, nil
}
