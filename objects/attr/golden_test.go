package attr

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// form is one way of writing an attribute down: FORMAT.md §8.7, or what a
// system hands out. It reads p and returns what it means as text, the encoding
// of FORMAT.md §8.7, and p written again.
type form func(p []byte) (text string, portable, again []byte, err error)

func forms() map[string]form {
	return map[string]form{
		"posix":         own(DecodePosix),
		"nfs4":          own(DecodeNFS4),
		"macos":         own(DecodeMac),
		"flags":         own(DecodeFlags),
		"linux-acl":     system(PosixOfLinux, func(a PosixACL) ([]byte, error) { return a.Linux(), nil }),
		"freebsd-posix": system(PosixOfFreeBSD, PosixACL.FreeBSD),
		"freebsd-nfs4":  system(NFS4OfFreeBSD, NFS4ACL.FreeBSD),
		"macos-filesec": system(macOfFilesec, func(a MacACL) ([]byte, error) { return a.Filesec(), nil }),
	}
}

type value interface {
	fmt.Stringer
	Append([]byte) []byte
}

// own is the form of FORMAT.md.
func own[V value](decode func([]byte) (V, error)) form {
	return func(p []byte) (string, []byte, []byte, error) {
		v, err := decode(p)
		if err != nil {
			return "", nil, nil, err
		}
		return v.String(), nil, v.Append(nil), nil
	}
}

// system is the form of a system. Room that is not used is left out.
func system[V value](decode func([]byte) (V, error), encode func(V) ([]byte, error)) form {
	return func(p []byte) (string, []byte, []byte, error) {
		v, err := decode(p)
		if err != nil {
			return "", nil, nil, err
		}
		again, err := encode(v)
		return v.String(), v.Append(nil), again[:min(len(again), len(p))], err
	}
}

func macOfFilesec(p []byte) (MacACL, error) {
	a, ok, err := MacOfFilesec(p)
	if err == nil && !ok {
		err = errEmpty
	}
	return a, err
}

// vector is one value in testdata.
type vector struct {
	Form     string
	Name     string
	Bytes    string // hexadecimal
	Portable string `json:",omitempty"` // hexadecimal: what it is in FORMAT.md §8.7
	Text     string `json:",omitempty"` // quoted as in Go: names are bytes
	Error    string `json:",omitempty"` // why it is refused
}

const vectorFile = "testdata/attributes.json"

func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		writeVectors(t)
	}
	seen := map[string]bool{}
	for _, v := range readVectors(t) {
		p, err := hex.DecodeString(v.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		got := v.try(t, p)
		if got != v {
			t.Errorf("%s %s: got %+v, want %+v", v.Form, v.Name, got, v)
		}
		seen[fmt.Sprint(v.Form, v.Error == "")] = true
	}
	for name := range forms() {
		if !seen[name+"true"] || !seen[name+"false"] {
			t.Errorf("%s has no vectors to accept, or none to refuse", name)
		}
	}
}

// try returns what v should be.
func (v vector) try(t *testing.T, p []byte) vector {
	t.Helper()
	v.Portable, v.Error = "", ""
	text, portable, again, err := forms()[v.Form](p)
	switch {
	case err != nil:
		v.Error = err.Error()
	case !bytes.Equal(again, p):
		t.Errorf("%s %s: is written again as %x", v.Form, v.Name, again)
	default:
		v.Portable = hex.EncodeToString(portable)
	}
	v.Text = strings.Trim(strconv.QuoteToASCII(text), `"`)
	return v
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	p, err := os.ReadFile(filepath.FromSlash(vectorFile))
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(p, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func writeVectors(t *testing.T) {
	t.Helper()
	var list []vector
	for _, in := range inputs() {
		p := []byte(in.bytes)
		v := vector{Form: in.form, Name: in.name, Bytes: hex.EncodeToString(p)}
		list = append(list, v.try(t, p))
	}
	p, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.FromSlash(vectorFile), append(p, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

type input struct{ form, name, bytes string }

// inputs are the vectors, written down byte by byte from FORMAT.md §8.7 and
// from the headers of the systems: what the code writes is no witness.
func inputs() []input {
	const (
		minimal = "\x01\x06" + "\x04\x04" + "\x20\x00"
		nobody  = "\xff\xff\xff\xff"
		guid    = "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"
		user501 = "\xff\xff\xee\xee\xdd\xdd\xcc\xcc\xbb\xbb\xaa\xaa\x00\x00\x01\xf5"
		group12 = "\xab\xcd\xef\xab\xcd\xef\xab\xcd\xef\xab\xcd\xef\x00\x00\x00\x0c"
	)
	// The parts of a struct acl of FreeBSD.
	head := func(n byte) string {
		return "\xfe\x00\x00\x00" + string(n) + "\x00\x00\x00" + strings.Repeat("\x00", 16)
	}
	ace := func(kind, id, perm, typ string) string { return kind + "\x00\x00\x00" + id + perm + "\x00\x00" + typ }
	// The parts of a kauth_filesec of macOS.
	filesec := func(n string) string { return "\x6d\xc1\x2c\x01" + strings.Repeat("\x00", 32) + n + "\x00\x00\x01\x00" }
	return []input{
		{"posix", "minimal", "\x03" + minimal},
		{"posix", "named", "\x06" + "\x01\x07" + "\x02\x05\xe8\x07\x03ada" + "\x02\x00\xff\xff\xff\xff\x0f\x00" + "\x04\x05" +
			"\x10\x05" + "\x20\x00"},
		{"posix", "named group, name of odd bytes", "\x05" + "\x01\x07" + "\x04\x00" + "\x08\x04\x05\x03a\xff\x0a" + "\x10\x04" + "\x20\x00"},
		{"posix", "nothing", ""},
		{"posix", "no entries", "\x00"},
		{"posix", "kind", "\x04" + minimal + "\x40\x00"},
		{"posix", "permission", "\x03" + "\x01\x08" + "\x04\x04" + "\x20\x00"},
		{"posix", "order", "\x03" + "\x04\x04" + "\x01\x06" + "\x20\x00"},
		{"posix", "owner twice", "\x04" + "\x01\x06" + minimal},
		{"posix", "no mask", "\x04" + "\x01\x07" + "\x02\x05\x05\x00" + "\x04\x05" + "\x20\x00"},
		{"posix", "no other", "\x02" + "\x01\x07" + "\x04\x00"},
		{"posix", "number too large", "\x05" + "\x01\x07" + "\x02\x05\x80\x80\x80\x80\x10\x00" + "\x04\x05" + "\x10\x05" + "\x20\x00"},
		{"posix", "cut short", "\x03" + minimal[:5]},
		{"posix", "trailing", "\x03" + minimal + "\x00"},
		{"posix", "count", "\xff\xff\x03" + minimal},

		{"nfs4", "owner, group, everyone", "\x03" + "\x01\x01\x00\xbf\x83\x7c" + "\x02\x02\x00\x06" + "\x01\x03\x83\x01\x81\x81\x48"},
		{"nfs4", "named", "\x02" + "\x01\x04\x0b\x01\xe8\x07\x03ada" + "\x03\x05\x30\x20\x05\x00"},
		{"nfs4", "no entries", "\x00"},
		{"nfs4", "type", "\x01" + "\x05\x01\x00\x01"},
		{"nfs4", "kind", "\x01" + "\x01\x06\x00\x01"},
		{"nfs4", "flag", "\x01" + "\x01\x01\x40\x01"},
		{"nfs4", "permission", "\x01" + "\x01\x01\x00\x80\x04"},
		{"nfs4", "trailing", "\x01" + "\x01\x01\x00\x01\x00"},
		{"nfs4", "cut short", "\x01" + "\x01\x04\x00\x01\x05\x03ad"},

		{"macos", "empty", "\x00\x00"},
		{"macos", "entries", "\x80\x80\x04\x03" +
			group12 + "\x02" + "\x10" + "\x02\x0c\x08everyone" +
			user501 + "\x61" + "\x86\x01" + "\x01\xf5\x03\x00" +
			guid + "\x11" + "\xfe\xff\x40" + "\x00"},
		{"macos", "kind", "\x00\x01" + guid + "\x01\x02\x03"},
		{"macos", "cut short", "\x00\x01" + guid + "\x01\x02"},
		{"macos", "trailing", "\x00\x00\x00"},

		{"flags", "one", "\x01"},
		{"flags", "all", "\xff\xff\xff\x03"},
		{"flags", "of a later version", "\x82\x80\x80\x80\x10"},
		{"flags", "none", "\x00"},
		{"flags", "nothing", ""},
		{"flags", "longer than need be", "\x81\x00"},
		{"flags", "trailing", "\x01\x01"},

		// As setfacl made it: u::rwx,u:1000:r-x,g::r-x,m::r-x,o::---
		{"linux-acl", "named user", "\x02\x00\x00\x00" + "\x01\x00\x07\x00" + nobody + "\x02\x00\x05\x00\xe8\x03\x00\x00" +
			"\x04\x00\x05\x00" + nobody + "\x10\x00\x05\x00" + nobody + "\x20\x00\x00\x00" + nobody},
		{"linux-acl", "minimal", "\x02\x00\x00\x00" + "\x01\x00\x06\x00" + nobody + "\x04\x00\x04\x00" + nobody + "\x20\x00\x00\x00" + nobody},
		{"linux-acl", "nothing", ""},
		{"linux-acl", "version", "\x01\x00\x00\x00" + "\x01\x00\x07\x00" + nobody},
		{"linux-acl", "length", "\x02\x00\x00\x00" + "\x01\x00\x07\x00"},
		{"linux-acl", "kind", "\x02\x00\x00\x00" + "\x01\x01\x07\x00" + nobody},
		{"linux-acl", "only a version", "\x02\x00\x00\x00"},

		{"freebsd-posix", "named group", head(5) + ace("\x01", nobody, "\x07\x00", "\x00\x00\x00\x00") + ace("\x04", nobody, "\x05\x00", "\x00\x00\x00\x00") +
			ace("\x08", "\xe9\x03\x00\x00", "\x04\x00", "\x00\x00\x00\x00") + ace("\x10", nobody, "\x05\x00", "\x00\x00\x00\x00") +
			ace("\x20", nobody, "\x00\x00", "\x00\x00\x00\x00")},
		{"freebsd-posix", "kind", head(1) + ace("\x40", nobody, "\x07\x00", "\x00\x00\x00\x00")},
		{"freebsd-posix", "too many", head(255)},
		{"freebsd-posix", "cut short", head(1)},
		{"freebsd-nfs4", "as of mode 0640 and a user", head(4) +
			ace("\x02", "\xe8\x03\x00\x00", "\x09\x00", "\x00\x01\x03\x00") +
			ace("\x01", nobody, "\xf8\xf6", "\x00\x01\x00\x00") + ace("\x04", nobody, "\x48\x92", "\x00\x01\x00\x00") +
			ace("\x40", nobody, "\x40\x92", "\x00\x01\x80\x00")},
		{"freebsd-nfs4", "deny, audit, alarm", head(3) + ace("\x01", nobody, "\x30\x00", "\x00\x02\x00\x00") +
			ace("\x08", "\x05\x00\x00\x00", "\x08\x00", "\x00\x04\x10\x00") + ace("\x40", nobody, "\x01\x00", "\x00\x08\x20\x00")},
		{"freebsd-nfs4", "permission", head(1) + ace("\x01", nobody, "\x02\x00", "\x00\x01\x00\x00")},
		{"freebsd-nfs4", "type", head(1) + ace("\x01", nobody, "\x01\x00", "\x00\x00\x00\x00")},
		{"freebsd-nfs4", "no entries", head(0)},

		{"macos-filesec", "everyone may not delete", filesec("\x01\x00\x00\x00") + group12 + "\x02\x00\x00\x00" + "\x10\x00\x00\x00"},
		{"macos-filesec", "somebody of a directory service", filesec("\x01\x00\x00\x00") + guid + "\x61\x00\x00\x00" + "\x06\x00\x10\x00"},
		{"macos-filesec", "no entries", filesec("\x00\x00\x00\x00")},
		{"macos-filesec", "no ACL", filesec("\xff\xff\xff\xff")},
		{"macos-filesec", "magic", "\x00" + filesec("\x00\x00\x00\x00")[1:]},
		{"macos-filesec", "count", filesec("\x02\x00\x00\x00") + group12 + "\x02\x00\x00\x00" + "\x10\x00\x00\x00"},
		{"macos-filesec", "nothing", ""},
	}
}
