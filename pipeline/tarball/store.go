package tarball

import (
	"bytes"
	"context"
	"io"
	"strings"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/chunker"
	"cairn/pipeline/packer"
)

const (
	holeUnit = 4096    // bytes: so much nothing is a hole, in a file that has holes
	readUnit = 1 << 20 // bytes that are read at a time, beside the longest chunk
)

// store turns content into chunks.
type store struct {
	cut        *chunker.Chunker
	data, meta *packer.Framer
	list       *archive.ContentWriter
	buf        []byte // what is read and not yet cut
	block      []byte // what is read of a file with holes
}

func newStore(ctx context.Context, p *packer.Packer, cut *chunker.Chunker) (*store, error) {
	data, err := p.NewFramer(objects.Data)
	if err != nil {
		return nil, err
	}
	meta, err := p.NewFramer(objects.Meta)
	if err != nil {
		return nil, err
	}
	s := &store{cut: cut, data: data, meta: meta, buf: make([]byte, 0, cut.Max()+readUnit), block: make([]byte, readUnit/4)}
	s.list = archive.NewContentWriter(s.put(ctx))
	return s, nil
}

// put stores one metadata chunk.
func (s *store) put(ctx context.Context) archive.Put {
	return func(plain []byte) (objects.ID, error) { return s.meta.Put(ctx, plain) }
}

func (s *store) flush(ctx context.Context) error {
	if err := s.data.Flush(ctx); err != nil {
		return err
	}
	return s.meta.Flush(ctx)
}

// layout says what zeros are.
type layout uint8

const (
	solid  layout = iota // zeros are content like all else
	sparse               // zeros are what was not there
)

// content stores what r gives up to its end.
func (s *store) content(ctx context.Context, r io.Reader, l layout) (archive.Content, error) {
	s.buf = s.buf[:0]
	for end := false; !end; {
		if err := ctx.Err(); err != nil {
			return archive.Content{}, context.Cause(ctx)
		}
		var err error
		if l == sparse {
			end, err = s.blocks(ctx, r)
		} else if s.buf, end, err = fill(r, s.buf); err == nil {
			err = s.chunks(ctx, s.cut.Max())
		}
		if err != nil {
			return archive.Content{}, err
		}
	}
	if err := s.chunks(ctx, 1); err != nil {
		return archive.Content{}, err
	}
	return s.list.Finish()
}

// small stores content that is so short that it is part of the entry.
func small(r io.Reader, size int64) (archive.Content, error) {
	p, end, err := fill(r, make([]byte, 0, size))
	if err == nil && end && int64(len(p)) < size {
		err = io.ErrUnexpectedEOF
	}
	return archive.InlineContent(p), err
}

// blocks reads some of a file that has holes: what is zero is one.
func (s *store) blocks(ctx context.Context, r io.Reader) (end bool, err error) {
	block, end, err := fill(r, s.block[:0])
	for len(block) > 0 && err == nil {
		unit := block[:min(holeUnit, len(block))]
		block = block[len(unit):]
		if !zero(unit) {
			s.buf = append(s.buf, unit...)
			continue
		}
		if err = s.chunks(ctx, 1); err == nil {
			err = s.list.Add(archive.Extent{Len: uint64(len(unit)), Hole: true})
		}
	}
	if err != nil {
		return end, err
	}
	return end, s.chunks(ctx, s.cut.Max())
}

func zero(p []byte) bool { return len(p) == bytes.Count(p, []byte{0}) }

// chunks stores chunks while at least so many bytes wait to be cut.
func (s *store) chunks(ctx context.Context, atLeast int) error {
	at := 0
	for len(s.buf)-at >= atLeast {
		n := s.cut.Cut(s.buf[at:])
		id, err := s.data.Put(ctx, s.buf[at:at+n])
		if err != nil {
			return err
		}
		if err := s.list.Add(archive.Extent{Len: uint64(n), ID: id}); err != nil {
			return err
		}
		at += n
	}
	s.buf = s.buf[:copy(s.buf, s.buf[at:])]
	return nil
}

// value stores the value of an extended attribute that is too long for an entry.
func (s *store) value(ctx context.Context, text string) (*archive.Content, error) {
	c, err := s.content(ctx, strings.NewReader(text), solid)
	return &c, err
}

// fill appends to p what r gives, up to p's capacity. An end that r does not
// call io.EOF is an error: io.ReadFull could not tell one from the other.
func fill(r io.Reader, p []byte) (full []byte, end bool, err error) {
	for len(p) < cap(p) {
		n, err := r.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		if err == io.EOF {
			return p, true, nil
		}
		if err != nil {
			return p, false, err
		}
	}
	return p, false, nil
}
