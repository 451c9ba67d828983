package restore

import (
	"context"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
)

// rawKept is how large a worker's buffer for opened frames may stay, bytes:
// writers make frames of about 1 MiB, though 32 MiB are allowed.
const rawKept = 4 << 20

// worker carries out jobs, one after another.
type worker struct {
	r      *run
	hasher *crypt.Hasher
	raw    []byte
}

// work carries out jobs until there are no more.
func (r *run) work(ctx context.Context, jobs <-chan job) error {
	w := worker{r: r, hasher: r.source.Keys.NewHasher()}
	for j := range jobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.do(ctx, j); err != nil {
			return err
		}
		r.jobDone(j.window)
	}
	return nil
}

func (w *worker) do(ctx context.Context, j job) error {
	for _, f := range j.ready {
		if err := w.r.putReady(f); err != nil {
			return err
		}
	}
	if len(j.frames) == 0 {
		return nil
	}
	return w.fetch(ctx, j.window, j.frames)
}

// putReady restores a file that needs no chunks.
func (r *run) putReady(f *file) error {
	switch {
	case f.keep:
		return r.putKept(f)
	case f.joins != nil && f.link != nil:
		return r.linked(f)
	}
	var err error
	if f.is == archive.File {
		r.progress.Bytes.Add(f.size)
		err = r.putWhole(f, f.inline)
	} else {
		err = r.putNode(f)
	}
	if err != nil {
		if err := r.fail(f, err); err != nil {
			return err
		}
	}
	return r.over(f)
}

// fetch reads frames that lie near each other and writes what is wanted of
// them.
func (w *worker) fetch(ctx context.Context, win *window, frames []*frame) error {
	off := frames[0].off()
	length := frames[len(frames)-1].end() - off
	sealed, err := w.r.source.Chunks.Read(ctx, win.packs[frames[0].pack], off, length)
	switch {
	case err == nil:
	case fatal(err) || ctx.Err() != nil:
		return err
	case len(frames) > 1:
		// What cannot be read may be only a part.
		for i := range frames {
			if err := w.fetch(ctx, win, frames[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	default:
		return w.elsewhere(ctx, win, frames[0], err)
	}
	w.r.progress.Reads.Add(1)
	w.r.progress.Fetched.Add(uint64(length))
	for _, f := range frames {
		if err := w.frame(win, f, sealed[f.off()-off:f.end()-off]); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere fetches the pieces of a frame that could not be read from wherever
// they are now.
func (w *worker) elsewhere(ctx context.Context, win *window, f *frame, cause error) error {
	from := chunkReader{source: &w.r.source, hasher: w.hasher}
	gone := win.packs[f.pack]
	for _, p := range f.pieces {
		place, err := w.r.source.Chunks.Elsewhere(ctx, p.id, gone, cause)
		var chunk []byte
		if err == nil {
			chunk, err = from.read(ctx, p.id, place)
		}
		if err == nil && uint32(len(chunk)) != p.n {
			err = objects.Corrupt("chunk "+p.id.String(), "it has %d bytes where the archive has %d", len(chunk), p.n)
		}
		switch {
		case err == nil:
			p.from = 0
			err = w.put([]piece{p}, chunk)
		case fatal(err) || ctx.Err() != nil:
		default:
			err = w.lose([]piece{p}, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frame opens one frame and writes what is wanted of it.
func (w *worker) frame(win *window, f *frame, sealed []byte) error {
	raw, err := w.r.source.Chunks.OpenFrame(w.raw, objects.Data, win.keys[f.key], f.frame, sealed)
	if err != nil {
		return w.lose(f.pieces, win.errPiece(f, err))
	}
	if cap(raw) <= rawKept {
		w.raw = raw[:0]
	}
	good, err := w.verify(win, f, raw)
	for err == nil && len(good) > 0 {
		n := 1
		for n < len(good) && good[n].continues(&good[n-1]) {
			n++
		}
		err = w.put(good[:n], raw)
		good = good[n:]
	}
	return err
}

// verify compares the IDs of the pieces, each chunk's once, gives up the files
// that want a damaged one, and returns the other pieces, in the place of f's.
func (w *worker) verify(win *window, f *frame, raw []byte) (good []piece, err error) {
	good = f.pieces[:0]
	var before piece
	var verdict error
	for _, p := range f.pieces {
		if p.from != before.from || p.n != before.n || p.id != before.id {
			verdict = w.check(&p, raw)
		}
		before = p
		if verdict == nil {
			good = append(good, p)
		} else if err := w.lose([]piece{p}, win.errPiece(f, verdict)); err != nil {
			return nil, err
		}
	}
	return good, nil
}

func (p *piece) continues(before *piece) bool {
	return p.file == before.file && p.from == before.from+before.n && p.to == before.to+uint64(before.n)
}

func (w *worker) check(p *piece, raw []byte) error {
	if uint64(p.from)+uint64(p.n) > uint64(len(raw)) {
		return objects.Corrupt("chunk "+p.id.String(), "its frame ends too early")
	}
	if got := w.hasher.Sum(objects.Data, raw[p.from:p.from+p.n]); got != p.id {
		return objects.Corrupt("chunk "+p.id.String(), "its content has the ID %s", got)
	}
	return nil
}

// put writes verified pieces of one file that lie one behind another.
func (w *worker) put(pieces []piece, raw []byte) error {
	f := pieces[0].file
	last := &pieces[len(pieces)-1]
	p := raw[pieces[0].from : last.from+last.n]
	w.r.progress.Bytes.Add(uint64(len(p)))
	if uint64(len(p)) == f.size {
		return w.r.putAll(f, p)
	}
	if f.failed.Load() {
		return w.r.resolved(f, int64(len(pieces)))
	}
	if err := w.r.write(f, p, pieces[0].to); err != nil {
		if err := w.r.fail(f, err); err != nil {
			return err
		}
	}
	f.written.Add(uint64(len(p)))
	return w.r.resolved(f, int64(len(pieces)))
}

// putAll restores a file whose whole content is p.
func (r *run) putAll(f *file, p []byte) error {
	if err := r.putWhole(f, p); err != nil {
		if err := r.fail(f, err); err != nil {
			return err
		}
	}
	r.ended(f)
	return r.over(f)
}

// lose gives up the files that want these pieces.
func (w *worker) lose(pieces []piece, err error) error {
	for i := range pieces {
		f := pieces[i].file
		if err := w.r.lost(f, err); err != nil {
			return err
		}
		if err := w.r.resolved(f, 1); err != nil {
			return err
		}
	}
	return nil
}
