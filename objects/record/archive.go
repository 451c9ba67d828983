package record

import (
	"errors"
	"math"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/wire"
)

// ArchiveKind says whether an archive is what its run set out to make.
type ArchiveKind uint8

const (
	Full       ArchiveKind = 1
	Checkpoint ArchiveKind = 2 // of a run that was still under way
)

// Root is one of the trees that an archive was made from.
type Root struct {
	Source string // where it was, in the words of its host
	Path   string // where it is in the archive
}

// Archive describes an archive (FORMAT.md §9.4). What it holds is in the tree
// of metadata chunks below Tree.
type Archive struct {
	Kind    ArchiveKind
	Name    string
	Host    string
	User    string
	Series  string
	Comment string
	Version string // of cairn
	Tags    []string
	Roots   []Root

	Start, End time.Time
	Zone       int32 // seconds east of UTC

	Tree  objects.ID // root node
	Level uint8      // of the root node

	Entries, Files, Dirs uint64
	Size                 uint64 // bytes
	NewData              uint64 // bytes of plaintext that the run added
	NewStored            uint64 // bytes that these took in the store
	Warnings             uint64
}

const (
	maxLevel       = 16 // FORMAT.md §8.5
	minArchiveSize = 60 // bytes, encoded: everything empty
)

var (
	errArchiveKind = errors.New("an archive's kind is not known")
	errZone        = errors.New("an archive's zone offset is out of range")
)

// ID returns the name of the archive, which all of its fields decide.
func (a *Archive) ID(h *crypt.Hasher) objects.ID {
	return archiveID(h, appendArchive(nil, a))
}

// archiveID returns the ID of the archive with that encoding.
func archiveID(h *crypt.Hasher, encoded []byte) objects.ID {
	return h.SumLabel("archive", encoded)
}

func appendArchive(b []byte, a *Archive) []byte {
	b = append(b, byte(a.Kind))
	for _, s := range []string{a.Name, a.Host, a.User, a.Series, a.Comment, a.Version} {
		b = wire.AppendBytes(b, s)
	}
	b = appendList(b, a.Tags, appendString)
	b = appendList(b, a.Roots, func(b []byte, r *Root) []byte {
		return wire.AppendBytes(wire.AppendBytes(b, r.Source), r.Path)
	})
	b = wire.AppendTime(b, a.Start)
	b = wire.AppendTime(b, a.End)
	b = wire.AppendSvarint(b, int64(a.Zone))
	b = append(b, a.Tree[:]...)
	for _, v := range []uint64{uint64(a.Level), a.Entries, a.Files, a.Dirs, a.Size, a.NewData, a.NewStored, a.Warnings} {
		b = wire.AppendUvarint(b, v)
	}
	return b
}

func decodeArchive(d *wire.Decoder, a *Archive) {
	a.Kind = ArchiveKind(d.U8())
	if a.Kind != Full && a.Kind != Checkpoint {
		d.Fail(errArchiveKind)
	}
	decodeStrings(d, &a.Name, &a.Host, &a.User, &a.Series, &a.Comment, &a.Version)
	a.Tags = decodeList(d, 1, decodeString)
	a.Roots = decodeList(d, 2, func(d *wire.Decoder, r *Root) { decodeStrings(d, &r.Source, &r.Path) })
	a.Start, a.End = d.Time(), d.Time()
	zone := d.Svarint()
	if zone < math.MinInt32 || zone > math.MaxInt32 {
		d.Fail(errZone)
	}
	a.Zone = int32(zone)
	d.Fill(a.Tree[:])
	a.Level = uint8(d.UvarintMax(maxLevel))
	for _, v := range []*uint64{&a.Entries, &a.Files, &a.Dirs, &a.Size, &a.NewData, &a.NewStored, &a.Warnings} {
		*v = d.Uvarint()
	}
}
