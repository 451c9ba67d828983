package backup

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"cairn/pipeline/walk"
)

// opened is a file of a batch that was opened before its turn.
type opened struct {
	file *os.File // nil: not yet
	stat walk.Stat
	err  error
}

// openAhead opens the files of batches and asks the kernel to read them,
// while the workers are still busy with the batches before: from a disk, many
// small files come several times faster when many are asked for at once.
func (r *run) openAhead(ctx context.Context, batches <-chan *batch, work chan<- job) error {
	for b := range batches {
		b.opened = make([]opened, len(b.files))
		for i := range b.files {
			if r.stopping() {
				break
			}
			o := &b.opened[i]
			o.file, o.stat, o.err = b.files[i].item.Open()
			if errors.Is(o.err, unix.EMFILE) || errors.Is(o.err, unix.ENFILE) {
				*o = opened{} // the worker opens it when others are closed
				break
			}
			if o.err == nil {
				willNeed(o.file, 0, o.stat.Size)
			}
		}
		if err := send(ctx, work, job{batch: b}); err != nil {
			return err
		}
	}
	return nil
}

// window is how far the kernel is asked to read ahead in a big file, bytes;
// step is how much of that at a time: it takes no larger requests.
const (
	window = 8 << 20
	step   = 1 << 20
)

// readAhead keeps the kernel a window ahead of at, which is about to be read,
// and returns how far it was asked to read. The data ends at end.
func readAhead(f *os.File, asked, at, end int64) int64 {
	for asked = max(asked, at); asked < min(at+window, end); asked += step {
		willNeed(f, asked, step)
	}
	return asked
}
