package tarball

import (
	"errors"
	"strings"
	"testing"

	"cairn/objects/attr"
)

// testIDs knows ada, user and group 7, and counts how often it is asked.
func testIDs(asked *int) *ids {
	x := newIDs()
	x.lookup = func(_ kind, name string) (string, error) {
		*asked++
		if name == "ada" {
			return "7", nil
		}
		return "", errors.New("nobody")
	}
	return x
}

func TestParseACL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"short", "u::rw-,g::r--,o::---", "user::rw-,group::r--,other::---"},
		{"without the empty name", "user::rwx,group::r-x,mask:r-x,other:r--", "user::rwx,group::r-x,mask::r-x,other::r--"},
		{"lines of getfacl", "# file: a\nuser::rw-\nuser:ada:rwx\t#effective:r--\ngroup::r--\nmask::r--\nother::---\n",
			"user::rw-,user:ada:rwx,group::r--,mask::r--,other::---"},
		{"number behind the name", "user::rw-,user:bob:r--:42,group::r--,mask::r--,other::---",
			"user::rw-,user:bob:r--,group::r--,mask::r--,other::---"},
		{"number for a name", "user::rw-,user:42:r--,group::r--,group:43:rw-,mask::r--,other::---",
			"user::rw-,user:42:r--,group::r--,group:43:rw-,mask::r--,other::---"},
		{"any order", "other::---,mask::r--,group::r--,user:ada:r--,user::rw-",
			"user::rw-,user:ada:r--,group::r--,mask::r--,other::---"},
		{"any order of letters", "user::xwr,group::-,other::", "user::rwx,group::---,other::---"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			acl, err := parseACL(c.text, testIDs(new(int)))
			if err != nil {
				t.Fatal(err)
			}
			if got := acl.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestParseACLRefuses(t *testing.T) {
	t.Parallel()
	const rest = ",group::r--,mask::r--,other::---"
	for reason, text := range map[string]string{
		"nothing":                "",
		"owner missing":          "group::r--,other::---",
		"two owners":             "user::rw-,user::r--" + rest,
		"mask missing":           "user::rw-,user:ada:r--,group::r--,other::---",
		"nobody has the name":    "user::rw-,user:bob:r--" + rest,
		"kind not known":         "user::rw-,owner:ada:r--" + rest,
		"mask with a name":       "user::rw-,group::r--,mask:ada:r--,other::---",
		"letter not known":       "user::rws" + rest,
		"too many fields":        "user::rw-,user:ada:r--:7:8" + rest,
		"no fields":              "user" + rest,
		"NFSv4 and not of POSIX": "owner@:rw-p--aARWcCos:-------:allow",
	} {
		if acl, err := parseACL(text, testIDs(new(int))); err == nil {
			t.Errorf("%s: got %s, want an error", reason, acl)
		}
	}
}

// TestNamesAreLookedUpOnce holds that a directory service is not asked for every
// member.
func TestNamesAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	asked := 0
	x := testIDs(&asked)
	for range 3 {
		for _, name := range []string{"ada", "bob"} {
			_, _ = parseACL("user::rw-,user:"+name+":r--,group::r--,mask::r--,other::---", x)
		}
	}
	if asked != 2 {
		t.Errorf("the system was asked %d times for two names, want 2", asked)
	}
}

func FuzzParseACL(f *testing.F) {
	f.Add("user::rw-,user:ada:r--:7,group::r--,mask::r--,other::---")
	f.Add("u::rwx\ng::r-x\t#effective:r--\nm:r--\no:-\n")
	f.Fuzz(func(t *testing.T, text string) {
		acl, err := parseACL(text, testIDs(new(int)))
		if err != nil {
			return
		}
		if _, err := attr.DecodePosix(acl.Append(nil)); err != nil {
			t.Fatalf("%q gives an ACL that cannot be read: %v", text, err)
		}
		again, err := parseACL(aclText(acl), testIDs(new(int)))
		if err != nil || string(again.Append(nil)) != string(acl.Append(nil)) {
			t.Fatalf("%q: got %v, %v for its own text %q", text, again, err, aclText(acl))
		}
	})
}

func FuzzXattrName(f *testing.F) {
	f.Add("user.a=b%c")
	f.Add("user.%3D")
	f.Fuzz(func(t *testing.T, name string) {
		key := xattrKey(name)
		if strings.Contains(key, "=") {
			t.Fatalf("key %q of %q ends early", key, name)
		}
		if got, ok := xattrOf(key); name != "" && (got != name || !ok) {
			t.Fatalf("got %q, %v; want %q", got, ok, name)
		}
	})
}
