package restore

import (
	"context"

	"cairn/objects"
	"cairn/objects/archive"
)

// readAll returns content that is stored in chunks: a large extended attribute.
// There are few of them.
func (p *planner) readAll(ctx context.Context, c *archive.Content) ([]byte, error) {
	size := c.Size()
	if size > spilledMax {
		return nil, errSpilled
	}
	value := make([]byte, 0, size)
	for x, err := range p.reader.Extents(c) {
		if err == nil && x.Hole {
			value = append(value, make([]byte, x.Len)...)
			continue
		}
		if err == nil {
			value, err = p.appendChunk(ctx, value, x)
		}
		if err != nil {
			return nil, err
		}
	}
	return value, nil
}

// appendChunk appends the verified bytes of x.
func (p *planner) appendChunk(ctx context.Context, b []byte, x archive.Extent) ([]byte, error) {
	chunks := p.r.source.Chunks
	place, err := chunks.Lookup(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	sealed, err := chunks.Read(ctx, place.Pack, int64(place.Frame.Off), int64(place.Frame.Stored))
	if err != nil {
		return nil, err
	}
	raw, err := chunks.OpenFrame(nil, objects.Data, place.Key, place.Frame, sealed)
	if err != nil {
		return nil, err
	}
	end := uint64(place.Off) + uint64(place.Len)
	if end > uint64(len(raw)) || uint64(place.Len) != x.Len {
		return nil, objects.Corrupt("chunk "+x.ID.String(), "it does not have the length that the archive says")
	}
	chunk := raw[place.Off:end]
	if p.r.source.Keys.NewHasher().Sum(objects.Data, chunk) != x.ID {
		return nil, objects.Corrupt("chunk "+x.ID.String(), "it does not have the content that its name promises")
	}
	return append(b, chunk...), nil
}
