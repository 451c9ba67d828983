package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cairn/objects"
	"cairn/objects/archive"
	"cairn/objects/crypt"
)

var errMismatch = errors.New("does not read as it was written: the disk or its cache may be failing")

// verify reads back what was restored. What is not right, as files may be that
// were there already, is restored once more and read again.
func (r *run) verify(ctx context.Context, root archive.Root) error {
	bad, err := r.readBack(ctx, root, nil)
	if err != nil || len(bad) == 0 {
		return err
	}
	if err := r.repair(ctx, root, bad); err != nil {
		return err
	}
	bad, err = r.readBack(ctx, root, bad)
	for path := range bad {
		r.progress.Mismatched.Add(1)
		r.warn(targetPath(path, r.o.Strip), errMismatch)
	}
	return err
}

// repair restores the files with these paths, whatever is there.
func (r *run) repair(ctx context.Context, root archive.Root, bad map[string]bool) error {
	var again Progress
	once := &run{
		source: r.source, o: r.o, tree: r.tree, progress: &again, owners: r.owners, protected: r.protected,
		unfinished: make(map[*file]struct{}), absent: make(map[string]bool), lacks: make(map[lackKey]*Lack), free: make(chan *window, windows),
	}
	for range windows {
		once.free <- newWindow()
	}
	once.o.Overwrite, once.o.Delete, once.o.List = Always, nil, nil
	once.o.Select = func(path string, _ archive.Type) Choice { return among(bad, path) }
	err := once.restore(ctx, root)
	if err != nil {
		once.cleanUp()
	} else {
		err = r.tree.sync()
	}
	r.progress.Failed.Add(again.Failed.Load())
	r.progress.Damaged.Add(again.Damaged.Load())
	r.progress.Warnings.Add(again.Warnings.Load())
	return err
}

// among says which entries lead to, or are, those that are wanted.
func among(wanted map[string]bool, path string) Choice {
	if wanted[path] {
		return Take
	}
	for w := range wanted {
		if within(w, path) {
			return Look
		}
	}
	return Skip
}

// notThere notes that a path of the target need not be as the archive has it.
func (r *run) notThere(path string) {
	if !r.o.Verify {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.absent[path] = true
}

// readBack compares what is on the disk with the archive, and returns the paths
// in the archive of the files that differ. With only, it looks at no others.
func (r *run) readBack(ctx context.Context, root archive.Root, only map[string]bool) (bad map[string]bool, err error) {
	v := verifier{r: r, only: only, reader: archive.NewReader(root, r.source.Meta), bad: make(map[string]bool), at: []*dir{r.tree.root}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.o.Workers)
	skipped, stripper := "", newStripper(r.o.Strip)
	for e, err := range v.reader.All() {
		switch {
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), group.Wait())
		case err != nil && fatal(err):
			return nil, errors.Join(err, group.Wait())
		case err != nil: // damage, of which the restore has told
		case skipped != "" && within(e.Path, skipped):
		default:
			choice := r.chosen(e)
			if choice != Skip {
				if ok, _ := stripper.place(e); !ok {
					choice = Skip
				}
			}
			if choice == Skip {
				skipped = strings.Clone(e.Path)
			} else if e.Type == archive.File && choice == Take {
				v.file(ctx, group, e)
			}
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return v.bad, nil
}

func (r *run) chosen(e *archive.Entry) Choice {
	if r.o.Select == nil {
		return Take
	}
	return r.o.Select(e.Path, e.Type)
}

// verifier reads files back, in the order of the archive.
type verifier struct {
	r      *run
	only   map[string]bool
	reader *archive.Reader
	at     []*dir // from the target to the directory of the last file

	mu  sync.Mutex
	bad map[string]bool // guarded by mu
}

// file compares one file, in the group unless its content is so long that it
// is listed elsewhere.
func (v *verifier) file(ctx context.Context, group *errgroup.Group, e *archive.Entry) {
	path := targetPath(e.Path, v.r.o.Strip)
	if e.Partial {
		path += partialSuffix
	}
	if v.only != nil && !v.only[e.Path] || e.Partial && !v.r.o.Partial || v.r.absent[path] {
		return
	}
	d := v.enter(path)
	name, archived := strings.Clone(lastName(path)), strings.Clone(e.Path)
	compare := func(c *archive.Content, extents iter.Seq2[archive.Extent, error]) {
		if !v.r.readsAs(ctx, d, name, c, extents) && ctx.Err() == nil {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.bad[archived] = true
		}
	}
	if e.Content.Level > 0 {
		compare(&e.Content, v.reader.Extents(&e.Content))
		return
	}
	c := e.Content.Clone()
	group.Go(func() error {
		compare(&c, listed(c.Extents))
		return nil
	})
}

func listed(list []archive.Extent) iter.Seq2[archive.Extent, error] {
	return func(yield func(archive.Extent, error) bool) {
		for _, x := range list {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// enter returns the directory that path lies in.
func (v *verifier) enter(path string) *dir {
	depth := 0
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			break
		}
		depth++
		if depth >= len(v.at) || v.at[depth].name != name {
			up := v.at[depth-1]
			v.at = append(v.at[:depth], &dir{tree: v.r.tree, parent: up, name: strings.Clone(name), h: handle{fd: -1}})
		}
		path = rest
	}
	return v.at[depth]
}

// readsAs reports whether the file called name in d has the content.
func (r *run) readsAs(ctx context.Context, d *dir, name string, c *archive.Content, extents iter.Seq2[archive.Extent, error]) bool {
	dir, err := d.acquire()
	if err != nil {
		return false
	}
	defer d.release()
	var fd int
	err = retry(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	dropCache(fd)
	if c.Form == archive.Inline {
		got, err := io.ReadAll(io.LimitReader(f, int64(len(c.Inline))+1))
		return err == nil && bytes.Equal(got, c.Inline)
	}
	return comparison{f: f, hasher: r.source.Keys.NewHasher()}.run(ctx, extents) == nil
}

// comparison reads one file.
type comparison struct {
	f      *os.File
	hasher *crypt.Hasher
}

var errDiffers = errors.New("differs")

func (c comparison) run(ctx context.Context, extents iter.Seq2[archive.Extent, error]) error {
	var room []byte
	for x, err := range extents {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if x.Hole {
			if _, err := io.CopyN(zeroChecker{}, c.f, int64(x.Len)); err != nil {
				return err
			}
			continue
		}
		if uint64(cap(room)) < x.Len {
			room = make([]byte, x.Len)
		}
		if _, err := io.ReadFull(c.f, room[:x.Len]); err != nil {
			return err
		}
		if c.hasher.Sum(objects.Data, room[:x.Len]) != x.ID {
			return errDiffers
		}
	}
	if n, err := c.f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return errDiffers // it goes on
	}
	return nil
}

// zeroChecker takes nothing but zeros.
type zeroChecker struct{}

func (zeroChecker) Write(p []byte) (int, error) {
	if len(bytes.TrimLeft(p, "\x00")) > 0 {
		return 0, fmt.Errorf("a hole %w", errDiffers)
	}
	return len(p), nil
}
