package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// errInterrupted ends the reading of a file when the run is asked to stop.
var errInterrupted = errors.New("interrupted")

// source is a file to be read.
type source struct {
	item    walk.Item
	special bool    // what item stands for is a device or a fifo: see walk.Item.OpenSpecial
	stream  *Stream // it comes from no item at all
}

// readResult is what reading a file found, beyond its chunks.
type readResult struct {
	err     error // the run cannot go on; nothing else holds then
	failed  bool  // could not be read; the warning was given
	cut     bool  // the run was asked to stop before the end of the file
	stat    walk.Stat
	xattrs  []archive.Xattr
	attrs   []archive.Attr
	changed bool // it changed while it was being read, twice
}

// fill makes e describe the file as it was when it was read. If it has changed
// since the scan, that is so short ago that it may change again without its
// times showing it. What is being truncated shows its new size before its new
// times.
func (r *readResult) fill(e *archive.Entry) {
	size, modified, changed := e.Size, e.ModTime, e.ChangeTime
	setStat(e, &r.stat)
	e.Racy = e.Racy || e.Size != size || e.ModTime != modified || e.ChangeTime != changed
	e.Xattrs, e.Attrs = r.xattrs, r.attrs
	e.Changed = r.changed
}

// cutter finds where chunks end: Cut returns the length of the first chunk of
// p, which must hold Max bytes or everything up to the end of the data.
type cutter interface {
	Cut(p []byte) int
	Max() int
}

// buffer is room for one segment: a frame, and a chunk that was not cut yet.
// It takes memory from its first use on.
type buffer struct{ p []byte }

// reader reads big files, one at a time, and cuts them. Reading and cutting
// is one goroutine's work (about 3 GB/s, faster than what feeds it); naming,
// compressing and sealing what was cut is spread over all workers.
type reader struct {
	r    *run
	cut  cutter
	work chan<- job
}

// read sends the segments of one file and its result.
func (rd *reader) read(ctx context.Context, b *bigJob) (err error) {
	defer func() {
		// That the run fails is known to the assembly before it sees that there
		// is no more: what was sent so far is not the file.
		b.result.err = err
		close(b.segments)
	}()
	switch {
	case b.file.stream != nil:
		err = rd.readStream(ctx, b)
	case b.file.special:
		err = rd.readSpecial(ctx, b)
	default:
		err = rd.twice(ctx, b)
	}
	var store *storeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &store) || ctx.Err() != nil:
		return err
	case errors.Is(err, errInterrupted):
		b.result.cut = true
		return nil
	}
	b.result.failed = true
	rd.r.warn(b.file.item.Source, err)
	return nil
}

// storeError marks errors that are the run's, not one file's.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// twice reads the file, and once more when it changed meanwhile.
func (rd *reader) twice(ctx context.Context, b *bigJob) error {
	f, before, err := b.file.item.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	for attempt := 0; ; attempt++ {
		size, err := rd.once(ctx, f, before.Size, b)
		if err != nil {
			return err
		}
		after, err := walk.StatFile(f)
		if err != nil {
			return err
		}
		b.result.stat = before
		b.result.stat.Size = size
		set, errs := walk.FileAttributes(f, &before, rd.r.o.Labels)
		b.result.xattrs, b.result.attrs, err = rd.r.attributes(ctx, b.file.item.Source, set, errs)
		if err != nil {
			return err
		}
		if sameContent(&before, &after) {
			return nil
		}
		if attempt > 0 {
			b.result.changed = true
			rd.r.warn(b.file.item.Source, errChanged)
			return nil
		}
		if err := send(ctx, b.segments, &segment{restart: true}); err != nil {
			return err
		}
		after.AccessTime = before.AccessTime // ours is no access
		before = after
	}
}

var errChanged = errors.New("changed while it was being read, twice; stored as it was read")

// once reads the file from its start to size, or to where it ends now if that
// comes first, and returns how many bytes that are.
func (rd *reader) once(ctx context.Context, f *os.File, size int64, b *bigJob) (int64, error) {
	s := rd.segmenter(b)
	defer s.drop()
	at := int64(0)
	for at < size {
		from, to, err := nextData(f, at, size)
		if err != nil {
			return 0, err
		}
		if from > at {
			s.hole(uint64(from - at))
		}
		if at, err = s.data(ctx, f, from, to); err != nil {
			return 0, err
		}
		if at < to {
			break
		}
	}
	return at, s.flush(ctx)
}

// segmenter cuts the data of one file into chunks and gathers them into
// segments of about a frame each.
type segmenter struct {
	rd      *reader
	b       *bigJob
	buffer  *buffer
	cut     int // bytes of buffer that are whole chunks
	fill    int // bytes of buffer that hold data
	extents []archive.Extent
	asked   int64 // how far the kernel was asked to read

	by    cutter
	fixed int64 // bytes; chunks end at its multiples, whatever by says; 0: they do not
	at    int64 // of the file: where buffer[cut] is
	zeros bool  // chunks of zeros are holes
}

// segmenter returns one for a file that is read from its beginning.
func (rd *reader) segmenter(b *bigJob) *segmenter {
	s := &segmenter{rd: rd, b: b, by: rd.cut}
	if fixed, ok := rd.r.fixed(&b.file); ok {
		s.by, s.fixed = fixed, int64(fixed.Max())
	}
	return s
}

func (s *segmenter) hole(n uint64) {
	s.at += int64(n)
	if last := len(s.extents) - 1; last >= 0 && s.extents[last].Hole {
		s.extents[last].Len += n
		return
	}
	s.extents = append(s.extents, archive.Extent{Len: n, Hole: true})
}

// data reads and cuts the bytes from…to of the file, and returns where it came
// to: short of to if the file ends there. They are cut on their own: whatever
// is left at the end is a chunk.
func (s *segmenter) data(ctx context.Context, f *os.File, from, to int64) (int64, error) {
	at := from
	for at < to || s.cut < s.fill {
		if err := s.room(ctx); err != nil {
			return at, err
		}
		want := min(int64(len(s.buffer.p)-s.fill), to-at)
		s.asked = readAhead(f, s.asked, at, to)
		n, err := f.ReadAt(s.buffer.p[s.fill:s.fill+int(want)], at)
		if err != nil && err != io.EOF {
			return at, err
		}
		if int64(n) < want {
			to = at + int64(n) // it shrank: the second look will say so
		}
		s.fill += n
		at += int64(n)
		s.rd.r.progress.Read.Add(uint64(n))
		s.chunks(at >= to)
	}
	return at, nil
}

// room makes sure that the buffer can take more data and a whole chunk.
func (s *segmenter) room(ctx context.Context) error {
	if s.rd.r.stopping() {
		return errInterrupted
	}
	if s.buffer != nil && s.cut < s.rd.r.frameSize {
		return nil
	}
	rest := s.rest()
	fresh, err := receive(ctx, s.rd.r.buffers)
	if err != nil {
		return err
	}
	if need := s.rd.r.frameSize + s.by.Max(); len(fresh.p) < need {
		fresh.p = make([]byte, need)
	}
	n := copy(fresh.p, rest)
	if err := s.flush(ctx); err != nil {
		s.rd.r.buffers <- fresh
		return err
	}
	s.buffer, s.cut, s.fill = fresh, 0, n
	return nil
}

func (s *segmenter) rest() []byte {
	if s.buffer == nil {
		return nil
	}
	return s.buffer.p[s.cut:s.fill]
}

// chunks cuts what the buffer holds, as far as cuts are certain.
func (s *segmenter) chunks(end bool) {
	for s.cut < s.fill && (end || s.fill-s.cut >= s.by.Max()) {
		rest := s.rest()
		if s.fixed > 0 { // FORMAT.md §6.4: counted from the start of the file
			rest = rest[:min(int64(len(rest)), s.fixed-s.at%s.fixed)]
		}
		n := s.by.Cut(rest)
		if s.zeros && isZero(rest[:n]) {
			s.hole(uint64(n))
			copy(s.buffer.p[s.cut:], s.buffer.p[s.cut+n:s.fill])
			s.fill -= n
			continue
		}
		s.extents = append(s.extents, archive.Extent{Len: uint64(n)})
		s.at += int64(n)
		s.cut += n
	}
}

func isZero(p []byte) bool { return len(bytes.TrimLeft(p, "\x00")) == 0 }

// flush sends what has been cut to the workers, and the future to the
// assembly.
func (s *segmenter) flush(ctx context.Context) error {
	if len(s.extents) == 0 {
		return nil
	}
	seg := &segment{extents: s.extents, done: make(chan struct{})}
	if s.buffer != nil {
		seg.buffer, seg.data = s.buffer, s.buffer.p[:s.cut]
	}
	s.buffer, s.extents, s.cut, s.fill = nil, nil, 0, 0
	if err := send(ctx, s.b.segments, seg); err != nil {
		return err
	}
	return send(ctx, s.rd.work, job{segment: seg})
}

// drop gives an unsent buffer back.
func (s *segmenter) drop() {
	if s.buffer != nil {
		s.rd.r.buffers <- s.buffer
	}
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return &storeError{context.Cause(ctx)}
	}
}

func receive[T any](ctx context.Context, from <-chan T) (T, error) {
	select {
	case v := <-from:
		return v, nil
	case <-ctx.Done():
		var zero T
		return zero, &storeError{context.Cause(ctx)}
	}
}
