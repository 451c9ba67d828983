package packer

import (
	"context"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/pack"
)

// ownFrame is the size from which an incompressible chunk is a frame by
// itself: gathering would only copy it.
const ownFrame = 64 << 10

// Framer gathers the new chunks of one kind into frames, for one goroutine.
// Memory: two frames of plaintext, one compressed, and an encoder's state.
type Framer struct {
	p       *Packer
	kind    objects.Kind
	hasher  *crypt.Hasher
	encoder *pack.Compressor
	dense   gathering // chunks that may shrink
	plain   gathering // chunks that do not
	payload []byte    // scratch of the encoder
}

// gathering is a frame in the making.
type gathering struct {
	as     pack.Compression
	raw    []byte
	chunks []pack.Chunk
}

// NewFramer returns a Framer for chunks of the given kind.
func (p *Packer) NewFramer(kind objects.Kind) (*Framer, error) {
	encoder, err := pack.NewCompressor(p.o.Level)
	if err != nil {
		return nil, err
	}
	return &Framer{
		p: p, kind: kind, hasher: p.o.Keys.NewHasher(), encoder: encoder,
		dense: gathering{as: pack.Zstd}, plain: gathering{as: pack.Stored},
	}, nil
}

// Put names chunk and, if the repository does not have it yet, stores it. The
// chunk is durable when the Packer has closed, after Flush. Chunk is not
// retained.
func (f *Framer) Put(ctx context.Context, chunk []byte) (objects.ID, error) {
	id := f.hasher.Sum(f.kind, chunk)
	if !f.p.o.Index.Claim(id) {
		return id, nil
	}
	return id, f.Keep(ctx, id, chunk)
}

// Keep stores chunk, whose name id is known to be right, whether the repository
// has it or not: as Put, but for what is moved from one pack to another.
func (f *Framer) Keep(ctx context.Context, id objects.ID, chunk []byte) error {
	f.p.Stats.Chunks.Add(1)
	f.p.Stats.Raw.Add(uint64(len(chunk)))
	entry := pack.Chunk{ID: id, Len: uint32(len(chunk))}
	if f.shrinks(chunk) {
		return f.gather(ctx, &f.dense, chunk, entry)
	}
	if len(chunk) >= ownFrame {
		return f.p.add(ctx, f.kind, pack.Stored, chunk, []pack.Chunk{entry})
	}
	return f.gather(ctx, &f.plain, chunk, entry)
}

// shrinks reports whether compressing chunk is worth a try.
func (f *Framer) shrinks(chunk []byte) bool {
	if f.kind == objects.Data && f.p.o.Try != Likely {
		return f.p.o.Try == All
	}
	return pack.Compressible(chunk)
}

// gather adds a chunk to g, sealing g first when the chunk would not fit.
func (f *Framer) gather(ctx context.Context, g *gathering, chunk []byte, entry pack.Chunk) error {
	if len(g.raw)+len(chunk) > f.p.o.FrameSize {
		if err := f.seal(ctx, g); err != nil {
			return err
		}
	}
	if g.raw == nil {
		g.raw = make([]byte, 0, f.p.o.FrameSize) // its final size: growing would waste as much again
	}
	g.raw = append(g.raw, chunk...)
	g.chunks = append(g.chunks, entry)
	return nil
}

// seal adds g to the open pack, if it holds anything, and empties it.
func (f *Framer) seal(ctx context.Context, g *gathering) error {
	if len(g.raw) == 0 {
		return nil
	}
	payload, as := g.raw, g.as
	if as == pack.Zstd {
		payload, as = f.encoder.Compress(f.payload[:0], g.raw)
	}
	if as == pack.Zstd {
		f.payload = payload
	}
	err := f.p.add(ctx, f.kind, as, payload, g.chunks)
	g.raw, g.chunks = g.raw[:0], g.chunks[:0]
	return err
}

// Flush seals what has been gathered.
func (f *Framer) Flush(ctx context.Context) error {
	if err := f.seal(ctx, &f.dense); err != nil {
		return err
	}
	return f.seal(ctx, &f.plain)
}
