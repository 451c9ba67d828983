package tarball

import (
	"cmp"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"cairn/objects/attr"
)

// parseACL reads the text form of an ACL, long or short, with commas or lines,
// with or without numbers behind the names.
func parseACL(text string, ids *ids) (attr.PosixACL, error) {
	var acl attr.PosixACL
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		line, _, _ = strings.Cut(line, "#") // what getfacl remarks
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		e, err := parseEntry(strings.Split(line, ":"), ids)
		if err != nil {
			return nil, fmt.Errorf("entry %q of the ACL: %w", line, err)
		}
		acl = append(acl, e)
	}
	slices.SortStableFunc(acl, func(a, b attr.PosixEntry) int { return cmp.Compare(a.Kind, b.Kind) })
	return attr.DecodePosix(acl.Append(nil)) // checks it
}

var errACL = errors.New("it is not one of an ACL")

// parseEntry reads kind, name, permissions and perhaps a number.
func parseEntry(fields []string, ids *ids) (e attr.PosixEntry, err error) {
	if len(fields) == 2 { // mask and other may do without the empty name
		fields = []string{fields[0], "", fields[1]}
	}
	if len(fields) < 3 || len(fields) > 4 {
		return e, errACL
	}
	if e.Perm, err = parsePermissions(fields[2]); err != nil {
		return e, err
	}
	named := fields[1] != ""
	switch kind := fields[0]; {
	case (kind == "user" || kind == "u") && named:
		e.Kind = attr.User
		e.Who, err = ids.who(fields[1], fields[3:], users)
	case kind == "user" || kind == "u":
		e.Kind = attr.UserObj
	case (kind == "group" || kind == "g") && named:
		e.Kind = attr.Group
		e.Who, err = ids.who(fields[1], fields[3:], groups)
	case kind == "group" || kind == "g":
		e.Kind = attr.GroupObj
	case (kind == "mask" || kind == "m") && !named:
		e.Kind = attr.Mask
	case (kind == "other" || kind == "o") && !named:
		e.Kind = attr.Other
	default:
		return e, errACL
	}
	return e, err
}

// parsePermissions reads letters like r-x, in any order.
func parsePermissions(text string) (perm uint8, err error) {
	for _, c := range text {
		switch c {
		case 'r':
			perm |= 4
		case 'w':
			perm |= 2
		case 'x':
			perm |= 1
		case '-':
		default:
			return 0, errACL
		}
	}
	return perm, nil
}

// kind says whose names they are.
type kind uint8

const (
	users kind = iota
	groups
)

// nameOf is somebody who has a name.
type nameOf struct {
	kind kind
	name string
}

// ids finds the numbers of users and groups that only have a name. It asks for
// each name once.
type ids struct {
	lookup func(kind kind, name string) (id string, err error)
	known  map[nameOf]found
}

type found struct {
	id uint32
	ok bool
}

func newIDs() *ids { return &ids{lookup: lookup, known: map[nameOf]found{}} }

// lookup asks the system.
func lookup(kind kind, name string) (string, error) {
	if kind == groups {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

var errName = errors.New("nobody here has that name, and the tar file does not say the number")

// who returns whoever has a name, which may be a number, or a number behind it.
func (x *ids) who(name string, number []string, kind kind) (attr.Who, error) {
	for _, text := range number {
		if id, err := strconv.ParseUint(text, 10, 32); err == nil {
			return attr.Who{ID: uint32(id), Name: name}, nil
		}
	}
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return attr.Who{ID: uint32(id)}, nil
	}
	f, asked := x.known[nameOf{kind, name}]
	if !asked {
		if text, err := x.lookup(kind, name); err == nil {
			id, err := strconv.ParseUint(text, 10, 32)
			f = found{uint32(id), err == nil}
		}
		x.known[nameOf{kind, name}] = f
	}
	if !f.ok {
		return attr.Who{}, errName
	}
	return attr.Who{ID: f.id, Name: name}, nil
}
