package restore

import (
	"context"

	"cairn/index"
	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
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
	place, err := p.r.source.Chunks.Lookup(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	from := chunkReader{source: &p.r.source, hasher: p.r.source.Keys.NewHasher()}
	chunk, err := from.read(ctx, x.ID, place)
	if err == nil && uint64(len(chunk)) != x.Len {
		err = objects.Corrupt("chunk "+x.ID.String(), "it does not have the length that the archive says")
	}
	return append(b, chunk...), err
}

// chunkReader reads data chunks one by one, wherever they are moved meanwhile.
// It keeps the frame that it opened last.
type chunkReader struct {
	source *Source
	hasher *crypt.Hasher
	raw    []byte
	last   index.Place // a place in raw
}

// read returns the verified chunk id, which lies at place, or did. The bytes are
// valid until the next call.
func (c *chunkReader) read(ctx context.Context, id objects.ID, place index.Place) ([]byte, error) {
	for {
		err := c.open(ctx, place)
		if err == nil {
			return c.chunk(id, place)
		}
		if place, err = c.source.Chunks.Elsewhere(ctx, id, place.Pack, err); err != nil {
			return nil, err
		}
	}
}

// open makes raw the frame that place lies in.
func (c *chunkReader) open(ctx context.Context, place index.Place) error {
	if c.raw != nil && c.last.Pack == place.Pack && c.last.Frame.Off == place.Frame.Off {
		return nil
	}
	c.last, c.raw = place, nil
	sealed, err := c.source.Chunks.Read(ctx, place.Pack, int64(place.Frame.Off), int64(place.Frame.Stored))
	if err != nil {
		return err
	}
	c.raw, err = c.source.Chunks.OpenFrame(nil, objects.Data, place.Key, place.Frame, sealed)
	return err
}

func (c *chunkReader) chunk(id objects.ID, place index.Place) ([]byte, error) {
	end := uint64(place.Off) + uint64(place.Len)
	if end > uint64(len(c.raw)) {
		return nil, objects.Corrupt("chunk "+id.String(), "its frame ends too early")
	}
	chunk := c.raw[place.Off:end]
	if c.hasher.Sum(objects.Data, chunk) != id {
		return nil, objects.Corrupt("chunk "+id.String(), "it does not have the content that its name promises")
	}
	return chunk, nil
}
