package tarball

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"cairn/objects/archive"
	"cairn/objects/attr"
	"cairn/pipeline/content"
)

// spilledMax is how long an extended attribute may be, bytes: no system takes
// longer ones.
const spilledMax = 1 << 20

// Export says what is written, and how.
type Export struct {
	// Select chooses among the entries; nil takes all.
	Select func(path string, is archive.Type) bool

	// Strip is how many leading components names lose. What has no more is left
	// out.
	Strip int

	Warn func(path string, err error) // what is not written as it was; may be nil
}

// Summary is what an Export has written.
type Summary struct {
	Members  uint64
	Bytes    uint64 // of content, holes included
	Warnings uint64
	Damaged  uint64 // members that the repository could not give whole: zeros stand in their place
}

var (
	errPartial = errors.New("was cut short by an interruption of the backup, and is left out")
	errSpilled = errors.New("is too large")
	errUnequal = errors.New("what could be read of it changed meanwhile")
)

// Write writes the entries, in their order, as a tar file to w. What cannot be
// written of one entry is told to Warn, and the rest goes on; an error says that
// the file is of no use. Lists reads lists of extents, in the goroutine that
// iterates the entries, and own in this one.
func (x Export) Write(ctx context.Context, w io.Writer, r *content.Reader, entries iter.Seq2[*archive.Entry, error], lists, own *archive.Reader) (Summary, error) {
	e := &exporter{x: x, r: r, lists: own, out: paxWriter{w: w}, links: map[archive.Link]string{}}
	for it, err := range r.Stream(ctx, e.chosen(entries), lists) {
		if err != nil && ctx.Err() == nil {
			var lost *archive.NodeError
			if errors.As(err, &lost) {
				e.damaged(lost.From, err)
				continue
			}
			var none *noPlace
			if errors.As(err, &none) {
				e.path = none.path
				e.warn(none)
				continue
			}
		}
		if err != nil {
			return e.sum, err
		}
		if it.Entry != nil {
			err = e.member(ctx, it.Entry)
		} else {
			err = e.data(it)
		}
		if err != nil {
			return e.sum, err
		}
	}
	return e.sum, e.out.finish()
}

// exporter is an Export under way.
type exporter struct {
	x     Export
	r     *content.Reader
	lists *archive.Reader
	out   paxWriter
	links map[archive.Link]string // the name of the first member of a set
	sum   Summary

	path   string // of the member
	sparse bool   // its holes are left out
	broken bool   // it was told that it is damaged
}

// chosen leaves out the entries that are not wanted, and the content of those
// that need none: of a set of hard links only the first has it.
func (e *exporter) chosen(entries iter.Seq2[*archive.Entry, error]) iter.Seq2[*archive.Entry, error] {
	seen := map[archive.Link]bool{}
	place := places{strip: e.x.Strip, tops: map[string]string{}}
	return func(yield func(*archive.Entry, error) bool) {
		for entry, err := range entries {
			if err == nil {
				if e.x.Select != nil && !e.x.Select(entry.Path, entry.Type) || strip(entry.Path, e.x.Strip) == "" {
					continue
				}
				if ok, err := place.take(entry.Path, entry.Type); err != nil && !yield(nil, err) {
					return
				} else if !ok {
					continue
				}
				if entry.HasLink && seen[entry.Link] {
					entry.Content, entry.Size = archive.Content{}, 0
				}
				if entry.HasLink && !entry.Partial {
					seen[entry.Link] = true
				}
				if entry.Partial {
					entry.Content = archive.Content{} // it is only told about
				}
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// strip returns path without its first n components, or nothing.
func strip(path string, n int) string {
	for ; n > 0; n-- {
		_, rest, ok := strings.Cut(path, "/")
		if !ok {
			return ""
		}
		path = rest
	}
	return path
}

// member begins the member of an entry.
func (e *exporter) member(ctx context.Context, entry *archive.Entry) error {
	e.path, e.sparse, e.broken = entry.Path, false, false
	if entry.Partial {
		e.warn(errPartial)
		return nil
	}
	h := &header{
		name: strip(entry.Path, e.x.Strip), mode: entry.Mode, owner: entry.Owner, mtime: entry.ModTime,
		major: entry.Major, minor: entry.Minor, target: entry.Target, kind: kinds(entry.Type),
	}
	if first, again := e.links[entry.Link]; entry.HasLink && again {
		h.kind, h.target, h.major, h.minor = typeHardLink, first, 0, 0
		return e.begin(h)
	} else if entry.HasLink {
		e.links[entry.Link] = h.name
	}
	if entry.Type == archive.Dir {
		h.name += "/"
	}
	e.attributes(ctx, h, entry)
	if entry.Type != archive.File {
		return e.begin(h)
	}
	return e.file(h, entry)
}

func kinds(t archive.Type) byte {
	switch t {
	case archive.Dir:
		return typeDir
	case archive.Symlink:
		return typeSymlink
	case archive.CharDevice:
		return typeChar
	case archive.BlockDevice:
		return typeBlock
	case archive.Fifo:
		return typeFifo
	}
	return typeFile
}

func (e *exporter) begin(h *header) error {
	err := e.out.begin(h)
	if errors.Is(err, errDevice) {
		e.warn(err)
		return nil
	}
	if err == nil {
		e.sum.Members++
	}
	return err
}

// file begins the member of a file, with the map of its data if it has holes.
func (e *exporter) file(h *header, entry *archive.Entry) error {
	h.size = entry.Size
	m := e.holes(entry)
	if !m.sparse {
		return e.begin(h)
	}
	e.sparse = true
	name := h.name
	h.name = strings.TrimPrefix(parent(name)+"/GNUSparseFile.0/"+lastName(name), "/")
	h.size = m.length() + m.data
	h.records = append([]paxRecord{
		{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", name},
		{"GNU.sparse.realsize", fmt.Sprint(entry.Size)},
	}, h.records...)
	if err := e.begin(h); err != nil {
		return err
	}
	return e.writeMap(m, entry)
}

// data writes more of a member's content.
func (e *exporter) data(it content.Item) error {
	if it.Err != nil && !e.broken {
		e.broken = true
		e.damaged(e.path, fmt.Errorf("zeros stand in the place of what is lost: %w", it.Err))
	}
	e.sum.Bytes += uint64(len(it.Data)) + it.Hole + it.Lost
	if _, err := e.out.Write(it.Data); err != nil {
		return fmt.Errorf("%s: %w", e.path, err)
	}
	zeros := it.Lost
	if !e.sparse {
		zeros += it.Hole
	}
	return content.WriteZeros(&e.out, zeros)
}

// attributes adds the records of what the header has no field for.
func (e *exporter) attributes(ctx context.Context, h *header, entry *archive.Entry) {
	if entry.HasAccessTime {
		h.records = append(h.records, paxRecord{"atime", decimal(entry.AccessTime)})
	}
	for _, a := range entry.Attrs {
		tag := attr.Tag(a.Tag)
		if aclKey(tag) == "" {
			if tag != attr.FileFlags { // no tar keeps them, and nobody misses them there
				e.warn(fmt.Errorf("%s is left out: a tar file cannot hold it", tag))
			}
			continue
		}
		acl, err := attr.DecodePosix(a.Value)
		e.acl(h, tag, acl, err)
	}
	for i := range entry.Xattrs {
		xattr := &entry.Xattrs[i]
		value, err := e.value(ctx, xattr)
		tag := aclOf(xattr.Name)
		switch {
		case err != nil:
			e.damaged(entry.Path, fmt.Errorf("extended attribute %q is left out: %w", xattr.Name, err))
		case tag != 0:
			acl, err := attr.PosixOfLinux(value)
			e.acl(h, tag, acl, err)
		default:
			h.records = append(h.records, paxRecord{xattrKey(xattr.Name), string(value)})
		}
	}
}

func (e *exporter) acl(h *header, tag attr.Tag, acl attr.PosixACL, err error) {
	if err != nil {
		e.warn(fmt.Errorf("%s is left out: %w", tag, err))
		return
	}
	h.records = append(h.records, paxRecord{aclKey(tag), aclText(acl)})
}

// value returns the value of an extended attribute.
func (e *exporter) value(ctx context.Context, x *archive.Xattr) ([]byte, error) {
	if x.Spilled == nil {
		return x.Value, nil
	}
	size := x.Spilled.Size()
	if size > spilledMax {
		return nil, errSpilled
	}
	var b bytes.Buffer
	b.Grow(int(size))
	err := e.r.WriteTo(ctx, &b, &archive.Entry{Type: archive.File, Size: size, Content: *x.Spilled}, e.lists)
	return b.Bytes(), err
}

func (e *exporter) warn(err error) {
	e.sum.Warnings++
	if e.x.Warn != nil {
		e.x.Warn(e.path, err)
	}
}

// damaged tells what the repository could not give.
func (e *exporter) damaged(path string, err error) {
	e.sum.Damaged++
	e.sum.Warnings++
	if e.x.Warn != nil {
		e.x.Warn(path, err)
	}
}

func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}
