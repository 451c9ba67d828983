package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"cairn/objects/archive"
	"cairn/pipeline/walk"
)

// Stream is content that does not come from the walk: what a command prints, or
// standard input. It becomes a file.
type Stream struct {
	Path string // in the archive
	Mode uint16

	// Open begins the content. An error of it, of reading, or of Close after the
	// last byte means that the content is not whole, and ends the run.
	Open func() (io.ReadCloser, error)
}

// stream makes the slots of Options.Stream and of the directories above it.
func (s *scan) stream(ctx context.Context) error {
	st := s.r.o.Stream
	owner := s.r.names.owner(uint32(os.Geteuid()), uint32(os.Getegid()))
	now := archive.TimeOf(s.r.o.Now())
	for i := range len(st.Path) {
		if st.Path[i] != '/' {
			continue
		}
		dir := st.Path[:i]
		e := &archive.Entry{Path: dir, Type: archive.Dir, Mode: 0o700, Owner: owner, ModTime: now, ChangeTime: now}
		if err := s.emit(ctx, s.timeless(e, dir)); err != nil {
			return err
		}
	}
	e := &archive.Entry{Path: st.Path, Type: archive.File, Mode: st.Mode, Owner: owner, ModTime: now, ChangeTime: now}
	return s.unseen(ctx, e, source{stream: st})
}

// special makes the slot of a device or a fifo that is stored as a file. Its
// times say nothing about its content: it is always read.
func (s *scan) special(ctx context.Context, item *walk.Item, stat walk.Stat) error {
	file := *item
	file.Stat = stat
	file.Stat.Type, file.Stat.Size = walk.File, 0
	return s.unseen(ctx, s.entry(&file), source{item: *item, special: true})
}

// unseen makes the slot of a file that must be read to the end to know its
// length.
func (s *scan) unseen(ctx context.Context, e *archive.Entry, from source) error {
	s.r.progress.Entries.Add(1)
	sl := s.timeless(e, from.name())
	if !s.r.o.DryRun {
		if err := s.readAlone(ctx, sl, from); err != nil {
			return err
		}
	}
	return s.emit(ctx, sl)
}

// timeless makes the slot of something that has no times to go by.
func (s *scan) timeless(e *archive.Entry, name string) *slot {
	old := s.previous.at(e.Path)
	s.r.progress.differs(e, old)
	sl := &slot{entry: e, path: name, status: statusOf(old, false), timeless: true}
	if old != nil && s.r.o.SkipUnchanged {
		sl.old = old.Clone()
	}
	return sl
}

// name returns what people call the file.
func (f *source) name() string {
	if f.stream != nil {
		return f.stream.Path
	}
	return f.item.Source
}

// readStream reads a stream to its end. What goes wrong with it goes wrong with
// the run.
func (rd *reader) readStream(ctx context.Context, b *bigJob) error {
	content, err := b.file.stream.Open()
	if err != nil {
		return &storeError{err}
	}
	s := rd.segmenter(b)
	defer s.drop()
	size, err := s.sequence(ctx, content)
	closeErr := content.Close()
	switch {
	case rd.r.stopping():
		return errInterrupted
	case err != nil || closeErr != nil:
		return &storeError{errors.Join(err, closeErr)}
	}
	b.result.stat = walk.Stat{Type: walk.File, Mode: b.file.stream.Mode, Size: size}
	now := archive.TimeOf(rd.r.o.Now())
	b.result.stat.ModTime, b.result.stat.ChangeTime = walk.Time(now), walk.Time(now)
	return s.flush(ctx)
}

// readSpecial reads a device or a fifo.
func (rd *reader) readSpecial(ctx context.Context, b *bigJob) error {
	f, stat, err := b.file.item.OpenSpecial()
	if err != nil {
		return err
	}
	defer f.Close()
	s := rd.segmenter(b)
	defer s.drop()
	var size int64
	if stat.Type == walk.Fifo {
		if err := rd.writer(ctx, f); err != nil {
			return err
		}
		size, err = s.sequence(ctx, f)
	} else {
		s.zeros = true // a device has no holes, and much that was never written
		if size, err = f.Seek(0, io.SeekEnd); err == nil {
			size, err = s.data(ctx, f, 0, size)
		}
	}
	if err != nil {
		return err
	}
	b.result.stat = stat
	b.result.stat.Type, b.result.stat.Size = walk.File, size
	return s.flush(ctx)
}

// writerPoll is how often a reader that waits for a fifo's first byte looks
// whether it should go on waiting, milliseconds.
const writerPoll = 200

// writer returns when somebody writes to the fifo f, or did.
func (rd *reader) writer(ctx context.Context, f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	for {
		if rd.r.stopping() || ctx.Err() != nil {
			return errInterrupted
		}
		var n int
		var pollErr error
		err := conn.Control(func(fd uintptr) {
			n, pollErr = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, writerPoll)
		})
		switch {
		case err != nil:
			return err
		case pollErr != nil && !errors.Is(pollErr, unix.EINTR):
			return fmt.Errorf("wait for a writer: %w", pollErr)
		case n > 0:
			return nil
		}
	}
}

// sequence reads and cuts everything that r gives.
func (s *segmenter) sequence(ctx context.Context, r io.Reader) (int64, error) {
	total := int64(0)
	for end := false; !end || s.cut < s.fill; {
		if err := s.room(ctx); err != nil {
			return total, err
		}
		n := 0
		if !end {
			var err error
			n, err = r.Read(s.buffer.p[s.fill:])
			if end = errors.Is(err, io.EOF); err != nil && !end {
				return total, err
			}
		}
		s.fill += n
		total += int64(n)
		s.rd.r.progress.Read.Add(uint64(n))
		s.chunks(end)
	}
	return total, nil
}
