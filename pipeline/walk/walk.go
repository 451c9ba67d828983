package walk

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Options say how to walk. The zero value walks over everything.
type Options struct {
	Rules Rules // what to leave out, at the top; nil: nothing

	// OneFileSystem leaves out what lies in another file system than the
	// directory that holds it. The directories where those are mounted are
	// delivered, without what is in them. A root is where its file system begins.
	OneFileSystem bool

	// Skip names files and directories that are never delivered nor entered:
	// cairn's own. Each is reported once, by an item with ErrSkipped.
	Skip []FileID

	Workers   int // goroutines that read ahead; 0: one per CPU and at least two
	LookAhead int // bytes; 0: 8 MiB
	OpenDirs  int // descriptors kept open; 0: 256, or a quarter of what the process may have
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = max(2, runtime.GOMAXPROCS(0))
	}
	if o.LookAhead <= 0 {
		o.LookAhead = 8 << 20
	}
	if o.OpenDirs <= 0 {
		o.OpenDirs = 256
		var limit unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Cur/4 < 256 {
			o.OpenDirs = max(int(limit.Cur/4), 1)
		}
	}
	return o
}

// Walk delivers what lies at and below roots, which come from Plan, in archive
// order, each path once. Items for the directories above a root's archive path
// precede it. What goes wrong with an entry is in its item, and the walk goes
// on. The error of the sequence is that of ctx; it comes last, and nothing is
// delivered once ctx is done. When the loop over the sequence is left, no
// goroutine of the walk remains.
func Walk(ctx context.Context, roots []Root, options Options) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		newWalk(options.withDefaults()).run(ctx, roots, yield)
	}
}

func (w *walk) run(ctx context.Context, roots []Root, yield func(*Item, error) bool) {
	defer w.descriptors.close()
	var group sync.WaitGroup
	defer group.Wait()
	defer w.ahead.stop()
	defer context.AfterFunc(ctx, w.ahead.stop)()
	for range w.options.Workers {
		group.Go(w.work)
	}
	w.yield = yield
	if w.visit(ctx, top(roots, w.descriptors, w.skip, w.options.Rules)) == cancelled {
		yield(nil, ctx.Err())
	}
}

type walk struct {
	options     Options
	descriptors *descriptors
	ahead       *ahead
	skip        map[FileID]bool

	// The consumer's own.
	yield func(*Item, error) bool
	told  map[FileID]bool // what of skip was reported
	path  []frame
}

// frame is where the consumer is in one directory.
type frame struct {
	block *block
	item  int
	sub   int
}

// outcome says why a part of the walk ended.
type outcome uint8

const (
	completed outcome = iota
	left              // the loop's body had enough
	cancelled
)

func newWalk(options Options) *walk {
	w := &walk{
		options:     options,
		descriptors: newDescriptors(options.OpenDirs),
		ahead:       newAhead(options.LookAhead),
		skip:        make(map[FileID]bool),
		told:        make(map[FileID]bool),
	}
	for _, id := range options.Skip {
		w.skip[id] = true
	}
	return w
}

func (w *walk) reader() *reader {
	return &reader{options: &w.options, ahead: w.ahead, skip: w.skip, buf: make([]byte, bufferSize)}
}

// work reads ahead until the walk stops.
func (w *walk) work() {
	r := w.reader()
	for b := w.ahead.take(); b != nil; b = w.ahead.take() {
		r.read(b)
	}
}

// visit delivers top and all below it.
func (w *walk) visit(ctx context.Context, top *block) outcome {
	r := w.reader()
	w.ahead.finish(top)
	if !w.enter(top, r) {
		return cancelled
	}
	for len(w.path) > 0 {
		if ctx.Err() != nil {
			return cancelled // without waiting for stop: nothing more is delivered
		}
		item, below := w.path[len(w.path)-1].step()
		switch {
		case item == nil:
			next := w.path[len(w.path)-1].block.next
			w.path = w.path[:len(w.path)-1]
			if next != nil && !w.enter(next, r) {
				return cancelled
			}
			continue
		case below != nil && !w.open(item, below, r):
			return cancelled
		}
		if !w.deliver(item) {
			return left
		}
	}
	return completed
}

// step returns the next item, or nil at the end of the block, and what is below
// it if it is a directory.
func (f *frame) step() (*Item, *node) {
	if f.item == len(f.block.items) {
		return nil, nil
	}
	item := &f.block.items[f.item]
	var below *node
	if f.sub < len(f.block.subs) && f.block.subs[f.sub].item == f.item {
		// Taken out, so that the block does not keep what was visited.
		below, f.block.subs[f.sub].node = f.block.subs[f.sub].node, nil
		f.sub++
	}
	f.item++
	return item, below
}

// open waits until the directory at item was listed, completes item and
// descends. It reports false if the walk was stopped.
func (w *walk) open(item *Item, below *node, r *reader) bool {
	if !w.enter(below.first, r) {
		return false
	}
	below.first = nil
	item.Stat, item.Err = below.stat, below.err
	return true
}

// enter makes b, once it was read, what comes next.
func (w *walk) enter(b *block, r *reader) bool {
	if !w.ahead.need(b, r) {
		return false
	}
	w.ahead.enter(b)
	w.path = append(w.path, frame{block: b})
	return true
}

// deliver hands the item to the loop's body and reports whether to go on.
func (w *walk) deliver(item *Item) bool {
	if item.Path == "" && item.Err == nil || item.Err == errOmitted {
		return true // a root without an entry of its own, or left out
	}
	if errors.Is(item.Err, ErrSkipped) {
		if w.told[item.Stat.ID] {
			return true
		}
		w.told[item.Stat.ID] = true
	}
	return w.yield(item, nil)
}
