package tarball

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"cairn/objects/archive"
	"cairn/objects/chunker"
	"cairn/objects/pack"
	"cairn/objects/record"
	"cairn/pipeline/packer"
	"cairn/pipeline/repository"
)

// Import says what is made of a tar file. Archive and Now are required.
type Import struct {
	Archive    record.Archive // name, host, user, series and what else people say of it; Start zero: now
	Now        func() time.Time
	PackTarget int                          // bytes; 0: 8 MiB
	Warn       func(path string, err error) // what is left out or not as it was; may be nil
	Progress   *Progress                    // counts as the run goes; may be nil
}

// Progress counts what an Import has read.
type Progress struct {
	Members, Bytes atomic.Uint64
	Current        atomic.Pointer[string] // the name of the member; nil: there was none yet
}

// Errors of tar files.
var (
	// ErrNotTar says that the input is no tar file.
	ErrNotTar = errors.New("is not a tar file")
	// ErrEmpty says that the input has no bytes, as that of a pipe has whose other
	// end failed.
	ErrEmpty = errors.New("is empty, which no tar file is")
	// ErrBroken says that the input is damaged, cut short, or could not be read.
	ErrBroken = errors.New("cannot be read to its end")
)

var (
	errShort    = errors.New("it ends too early")
	errAbsolute = errors.New("the slash in front of it, and of other names, is left away: restore --target / brings it back")
	errGlobal   = errors.New("what it says about all members is left out")
	errMore     = errors.New("the tar file ends here; there is more behind it, which is left out: perhaps another tar file, which can be imported by itself")
)

// uploads is how many packs are stored at the same time.
const uploads = 3

// Run makes an archive of the tar file that r gives, and commits it. Members
// that an archive cannot have are told to Warn and left out: names that lead out
// of the tar file, what is below something that is no directory, hard links to
// what is not there. Of members with one name the last one stays. Any other
// error, a tar file that is cut short among them, ends the run without an
// archive, and nothing that was committed before is touched.
//
// The content is read, cut and compressed by the calling goroutine. Memory: that
// of package packer, some MiB for what is being read, and some 32 MiB for members;
// where there are more, a temporary file without a name has the others.
func (x Import) Run(ctx context.Context, repo *repository.Repository, r io.Reader) (a record.Archive, err error) {
	begin := x.Now()
	if err := repo.Sync(ctx); err != nil {
		return a, err
	}
	w, run, err := repo.Begin(ctx, ctx)
	if err != nil {
		return a, err
	}
	defer func() {
		if err != nil { // what was claimed and not stored is not known
			repo.Index.Discard()
		}
		err = errors.Join(err, w.End(context.WithoutCancel(ctx)))
	}()
	if x.PackTarget == 0 {
		x.PackTarget = 8 << 20
	}
	if x.Progress == nil {
		x.Progress = new(Progress)
	}
	a, err = x.store(run, repo, w, r)
	if err != nil {
		return a, err
	}
	a.Start, a.End = begin, x.Now()
	if given := x.Archive.Start; !given.IsZero() {
		a.Start, a.End = given, given.Add(a.End.Sub(begin))
	}
	return a, w.Commit(run, &record.Commit{Made: x.Now(), Archives: []record.Archive{a}})
}

// store stores everything that the archive needs, and describes it.
func (x Import) store(ctx context.Context, repo *repository.Repository, w *repository.Writer, r io.Reader) (record.Archive, error) {
	p, ctx := packer.New(ctx, packer.Options{
		Keys: repo.Keys, Store: repo.Backend(), Index: repo.Index, FrameSize: int(repo.Config.FrameSize),
		Target: x.PackTarget, Uploads: uploads, Level: pack.Fastest, Size: repo.PackSize(),
		Entropy: func() []byte { return fmt.Appendf(nil, "%s %d %d", x.Archive.Host, os.Getpid(), x.Now().UnixNano()) },
		Before:  func(ctx context.Context) error { return w.Ensure(ctx, ctx) },
	})
	root, warnings, err := x.fill(ctx, repo, p, r)
	packs, closeErr := p.Close()
	if err := cmp.Or(closeErr, err); err != nil { // the first is the cause; the other what it did
		return record.Archive{}, err
	}
	w.Add(packs)
	a := x.Archive
	a.Kind = record.Full
	a.Tree, a.Level = root.ID, root.Level
	a.Entries, a.Files, a.Dirs, a.Size = root.Entries, root.Files, root.Dirs, root.Size
	a.NewData, a.NewStored, a.Warnings = p.Stats.Raw.Load(), p.Stats.Stored.Load(), warnings
	return a, nil
}

// fill reads the tar file and hands everything to the Packer.
func (x Import) fill(ctx context.Context, repo *repository.Repository, p *packer.Packer, r io.Reader) (root archive.Root, warnings uint64, err error) {
	cut, err := chunker.New(repo.Keys.ChunkerKey(), chunker.Params{Unit: repo.Config.ChunkUnit})
	if err != nil {
		return root, 0, fmt.Errorf("read config: %w", err)
	}
	s, err := newStore(ctx, p, cut)
	if err != nil {
		return root, 0, err
	}
	i := &importer{x: x, store: s, ids: newIDs(), names: map[string]string{}}
	defer func() { err = errors.Join(err, i.members.close()) }()
	if err := i.read(ctx, r); err != nil {
		return root, 0, err
	}
	tree := archive.NewWriter(repo.Keys.TreeSeed(), s.put(ctx))
	if err := i.members.tree(tree.Add, i.warn); err != nil {
		return root, 0, err
	}
	if root, err = tree.Finish(); err != nil {
		return root, 0, fmt.Errorf("finish archive: %w", err)
	}
	return root, i.warnings, s.flush(ctx)
}

// importer is an Import under way.
type importer struct {
	x        Import
	store    *store
	ids      *ids
	names    map[string]string // of owners
	members  members
	name     string // of the member
	absolute bool   // that names are not was told
	warnings uint64
}

// read reads the whole of r.
func (i *importer) read(ctx context.Context, r io.Reader) error {
	b := bufio.NewReaderSize(r, readUnit)
	switch _, err := b.Peek(1); {
	case err == io.EOF:
		return ErrEmpty
	case err != nil:
		return i.broken(err)
	}
	plain, done, err := decompress(b)
	defer done()
	if errors.Is(err, ErrCompression) {
		return err
	} else if err != nil {
		return i.broken(err)
	}
	t := tar.NewReader(plain)
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return i.rest(plain)
		case errors.Is(err, tar.ErrHeader) && i.name == "":
			return ErrNotTar
		case err != nil:
			return i.broken(err)
		}
		if i.name, err = h.Name, context.Cause(ctx); err != nil {
			return err
		}
		i.x.Progress.Members.Add(1)
		i.x.Progress.Current.Store(&h.Name)
		if err := i.member(ctx, h, t); err != nil {
			return err
		}
	}
}

// broken returns the error of a tar file that cannot be read on.
func (i *importer) broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errShort
	}
	if i.name == "" {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return fmt.Errorf("%w: at or behind %q: %w", ErrBroken, i.name, err)
}

// rest reads what is behind the end of the tar file: so checksums of compressed
// files are looked at, and who writes to a pipe is not cut off.
func (i *importer) rest(r io.Reader) error {
	p := make([]byte, readUnit)
	more := false
	for {
		n, err := r.Read(p)
		more = more || bytes.Count(p[:n], []byte{0}) < n
		switch {
		case err == io.EOF && more:
			i.warn(i.name, errMore)
			return nil
		case err == io.EOF:
			return nil
		case err != nil:
			return i.broken(err)
		}
	}
}

// member takes one member.
func (i *importer) member(ctx context.Context, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case typeLabel:
		return nil
	case tar.TypeXGlobalHeader:
		delete(h.PAXRecords, "comment")
		if len(h.PAXRecords) > 0 {
			i.warn(i.name, errGlobal)
		}
		return nil
	}
	path, err := cleanName(h.Name)
	if err != nil {
		i.warn(i.name, err)
		return nil
	}
	if path == "" {
		return nil // the top: archives have no entry for it
	}
	if h.Name[0] == '/' && !i.absolute {
		i.absolute = true
		i.warn(i.name, errAbsolute)
	}
	if h.Typeflag == tar.TypeLink {
		refused, err := i.members.link(path, h.Linkname)
		if refused != nil {
			i.warn(i.name, refused)
		}
		return err
	}
	t, err := typeOf(h)
	if err != nil {
		i.warn(i.name, err)
		return nil
	}
	e := i.entry(path, t, h)
	if err := i.attributes(ctx, e, h); err != nil {
		return err
	}
	if t == archive.File {
		if err := i.content(ctx, e, h, r); err != nil {
			return err
		}
	}
	return i.members.put(e)
}

// content stores the content of a file.
func (i *importer) content(ctx context.Context, e *archive.Entry, h *tar.Header, r io.Reader) (err error) {
	how := solid
	if isSparse(h) {
		how = sparse
	}
	in := &source{r: r, count: &i.x.Progress.Bytes}
	if how == solid && h.Size <= archive.InlineMax {
		e.Content, err = small(in, h.Size)
	} else {
		e.Content, err = i.store.content(ctx, in, how)
	}
	if in.err != nil {
		return i.broken(in.err)
	}
	e.Size = e.Content.Size()
	return err
}

// source counts what is read, and keeps the error of it.
type source struct {
	r     io.Reader
	count *atomic.Uint64
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.count.Add(uint64(n))
	if err != io.EOF {
		s.err = err
	}
	return n, err
}

func (i *importer) warn(path string, err error) {
	i.warnings++
	if i.x.Warn != nil {
		i.x.Warn(path, err)
	}
}
