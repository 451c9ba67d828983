// Package attr encodes what FORMAT.md §8.7 says of ACLs and file flags, in a
// form that every system can read and list, whichever one it comes from.
//
// It also translates between that form and what Linux, FreeBSD and macOS keep
// or hand to a program. All of that is computed from bytes: any system can
// translate for any other.
package attr

import (
	"errors"
	"fmt"

	"cairn/objects/wire"
)

// Tag says what the value of an attribute is.
type Tag uint64

// Tags of FORMAT.md §8.7.
const (
	AccessACL    Tag = 1 // PosixACL
	DefaultACL   Tag = 2 // PosixACL; directories only
	NFS4         Tag = 3 // NFS4ACL
	Mac          Tag = 4 // MacACL
	FileFlags    Tag = 5 // Flags
	firstUnknown Tag = 6
)

// Known reports whether this version knows what the tag means.
func (t Tag) Known() bool { return t > 0 && t < firstUnknown }

// String returns the name that the attribute has in listings.
func (t Tag) String() string {
	switch t {
	case AccessACL:
		return "acl"
	case DefaultACL:
		return "default_acl"
	case NFS4:
		return "nfs4_acl"
	case Mac:
		return "macos_acl"
	case FileFlags:
		return "flags"
	}
	return fmt.Sprintf("attribute %d", uint64(t))
}

// ErrUnknown says that this version does not know the tag of an attribute.
var ErrUnknown = errors.New("this version does not know it")

// Text returns the value of an attribute as text of one line. Names in it are
// bytes, as in the archive.
func Text(tag Tag, value []byte) (string, error) {
	var text fmt.Stringer
	var err error
	switch tag {
	case AccessACL, DefaultACL:
		text, err = DecodePosix(value)
	case NFS4:
		text, err = DecodeNFS4(value)
	case Mac:
		text, err = DecodeMac(value)
	case FileFlags:
		text, err = DecodeFlags(value)
	default:
		err = ErrUnknown
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", tag, err)
	}
	return text.String(), nil
}

// Errors of decoders.
var (
	errEmpty = errors.New("it is empty")
	errKind  = errors.New("an entry is of no known kind")
	errBits  = errors.New("an entry has bits that are not known")
	errOrder = errors.New("its entries are not in order")
	errSet   = errors.New("an entry that must be there is missing, or there twice")
	errSize  = errors.New("its length is wrong")
)

// ACL is what all kinds of ACL have in common.
type ACL interface {
	// Append appends the encoding.
	Append(b []byte) []byte

	// Named calls user or group for everybody whom an entry names, to give him
	// a name, or another number.
	Named(user, group func(*Who))
}

// Who is a user or a group.
type Who struct {
	ID   uint32
	Name string // empty: none
}

func (w Who) append(b []byte) []byte {
	return wire.AppendBytes(wire.AppendUvarint(b, uint64(w.ID)), w.Name)
}

func readWho(d *wire.Decoder) Who {
	return Who{ID: uint32(d.UvarintMax(1<<32 - 1)), Name: string(d.Bytes())}
}

// readList reads how many entries there are, and then the entries, of at least so
// many bytes each.
func readList[E any](d *wire.Decoder, least int, read func() E) []E {
	list := make([]E, 0, min(d.Len()/least, 32))
	for range d.Count(least) {
		list = append(list, read())
	}
	return list
}

// String returns the name, or else the number.
func (w Who) String() string {
	if w.Name == "" {
		return fmt.Sprint(w.ID)
	}
	return w.Name
}

// letters returns one letter of set for every bit of v, from bit 0 on, and '-'
// for those that are not set.
func letters(v uint32, bits []uint32, set string) string {
	text := make([]byte, len(set))
	for i, bit := range bits {
		if text[i] = '-'; v&bit != 0 {
			text[i] = set[i]
		}
	}
	return string(text)
}
