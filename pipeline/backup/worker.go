package backup

import (
	"context"
	"errors"
	"io"
	"os"

	"cairn/objects/archive"
	"cairn/pipeline/packer"
	"cairn/pipeline/walk"
)

// job is work for any worker: a segment, a batch, or a meeting of all.
type job struct {
	segment *segment
	batch   *batch
	meeting *meeting
}

// worker stores what jobs hold. Each runs in a goroutine of its own.
type worker struct {
	r      *run
	cut    cutter
	framer *packer.Framer
	room   []byte // for one small file
}

func (w *worker) run(ctx context.Context, work <-chan job) error {
	for {
		select {
		case j, more := <-work:
			if !more {
				return w.framer.Flush(ctx)
			}
			if err := w.do(ctx, j); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *worker) do(ctx context.Context, j job) error {
	switch {
	case j.segment != nil:
		return w.segment(ctx, j.segment)
	case j.meeting != nil:
		return w.meet(ctx, j.meeting)
	}
	for i, s := range j.batch.slots {
		err := w.small(ctx, s, &j.batch.files[i], &j.batch.opened[i])
		var store *storeError
		switch {
		case errors.As(err, &store):
			return err
		case err != nil:
			s.failed = true
			w.r.warn(s.path, err)
		}
	}
	close(j.batch.done)
	return nil
}

// segment names and stores the chunks of one segment.
func (w *worker) segment(ctx context.Context, seg *segment) error {
	at := uint64(0)
	for i := range seg.extents {
		x := &seg.extents[i]
		if x.Hole {
			continue
		}
		var err error
		if x.ID, err = w.framer.Put(ctx, seg.data[at:at+x.Len]); err != nil {
			return err
		}
		at += x.Len
	}
	if seg.buffer != nil {
		w.r.buffers <- seg.buffer
	}
	close(seg.done)
	return nil
}

// small reads a file that fits in the worker's buffer, and once more when it
// changed meanwhile.
func (w *worker) small(ctx context.Context, s *slot, src *source, o *opened) error {
	if o.file == nil && o.err == nil && !w.r.stopping() {
		o.file, o.stat, o.err = src.item.Open()
	}
	if o.err != nil {
		return o.err
	}
	if o.file != nil {
		defer o.file.Close()
	}
	if w.r.stopping() {
		s.failed = true
		return nil
	}
	f, before := o.file, o.stat
	if before.Size > smallFile {
		s.grown = true // since the scan: the assembly has it read as a big one
		return nil
	}
	for attempt := 0; ; attempt++ {
		data, err := w.whole(f, before.Size)
		if err != nil {
			return err
		}
		after, err := walk.StatFile(f)
		if err != nil {
			return err
		}
		same := sameContent(&before, &after) && int64(len(data)) == before.Size
		if !same && attempt == 0 {
			after.AccessTime = before.AccessTime // ours is no access
			before = after
			continue
		}
		data = data[:min(int64(len(data)), before.Size)]
		before.Size = int64(len(data))
		set, errs := walk.FileAttributes(f, &before, w.r.o.Labels)
		if hidesHoles(&before, set) && hasHole(f, before.Size) {
			s.grown = true // as it were
			return nil
		}
		xattrs, attrs, err := w.r.attributes(ctx, s.path, set, errs)
		if err != nil {
			return err
		}
		if !same {
			w.r.warn(s.path, errChanged)
		}
		result := readResult{stat: before, xattrs: xattrs, attrs: attrs, changed: !same}
		result.fill(s.entry)
		return w.content(ctx, s.entry, data)
	}
}

// whole reads at most size bytes, and one more if the file has grown.
func (w *worker) whole(f *os.File, size int64) ([]byte, error) {
	if need := int(min(size, smallFile)) + 1; len(w.room) < need {
		w.room = make([]byte, max(need, min(2*need, smallFile+1)))
	}
	room := w.room[:min(size, smallFile)+1]
	n := 0
	for n < len(room) {
		m, err := f.ReadAt(room[n:], int64(n))
		n += m
		if err == io.EOF || err == nil && m == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	w.r.progress.Read.Add(uint64(n))
	return room[:n], nil
}

// content stores data, already in memory, as the content of e.
func (w *worker) content(ctx context.Context, e *archive.Entry, data []byte) error {
	if len(data) <= archive.InlineMax {
		e.Content = archive.InlineContent(append([]byte(nil), data...))
		return nil
	}
	content, err := putBytes(ctx, w.framer, w.cut, data, nil)
	if err != nil {
		return &storeError{err}
	}
	e.Content = content
	return nil
}

// putBytes stores data that is in memory. Above smallFile bytes it may take put
// for the list of its chunks.
func putBytes(ctx context.Context, framer *packer.Framer, cut cutter, data []byte, put archive.Put) (archive.Content, error) {
	var extents []archive.Extent
	for len(data) > 0 {
		n := cut.Cut(data)
		id, err := framer.Put(ctx, data[:n])
		if err != nil {
			return archive.Content{}, err
		}
		extents = append(extents, archive.Extent{Len: uint64(n), ID: id})
		data = data[n:]
	}
	return archive.PutContent(extents, put)
}
