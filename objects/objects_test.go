package objects_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/objects"
)

func TestIDReadsWhatItWrites(t *testing.T) {
	t.Parallel()
	id := objects.ID{0: 0x0a, 3: 0xff, 31: 0x01}
	got, err := objects.ParseID(id.String())
	if err != nil || got != id {
		t.Errorf("ParseID(%q) = %v, %v, want the id itself", id, got, err)
	}
	if got, want := id.Short(), "0a0000ff"; got != want {
		t.Errorf("Short() = %q, want %q", got, want)
	}
	if id.IsZero() || !(objects.ID{}).IsZero() {
		t.Error("IsZero is wrong about zero or about another id")
	}
}

func TestParseIDRejects(t *testing.T) {
	t.Parallel()
	good := objects.ID{0xab}.String()
	for reason, s := range map[string]string{
		"empty":            "",
		"short":            good[1:],
		"long":             good + "0",
		"upper case":       strings.ToUpper(good),
		"not hexadecimal":  "g" + good[1:],
		"not one per byte": good[:62] + "ä",
	} {
		if id, err := objects.ParseID(s); err == nil {
			t.Errorf("%s: ParseID(%q) = %v, want an error", reason, s, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(objects.ID{1, 2, 3}.String())
	f.Add("AB")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := objects.ParseID(s); err == nil && id.String() != s {
			t.Errorf("ParseID(%q) = %v, which is written differently", s, id)
		}
	})
}

func TestKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[objects.Kind]string{objects.Data: "data", objects.Meta: "meta", 0: "kind 0", 3: "kind 3"} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is %q, want %q", uint8(kind), got, want)
		}
		if got, want := kind.Valid(), kind == 1 || kind == 2; got != want {
			t.Errorf("%v.Valid() = %v, want %v", kind, got, want)
		}
	}
}

func TestCorruptIsToldFromOtherErrors(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("restore a: %w", objects.Corrupt("pack 9f2c", "its hash is %d", 7))
	if !objects.IsCorrupt(err) {
		t.Error("a wrapped CorruptError is not told")
	}
	if got, want := err.Error(), "restore a: pack 9f2c is damaged: its hash is 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if objects.IsCorrupt(objects.ErrNewer) || objects.IsCorrupt(errors.New("no route to host")) {
		t.Error("another error is taken for damage")
	}
}

func TestOnceHealsFromEitherHalf(t *testing.T) {
	t.Parallel()
	want := []byte("body")
	ok := func(half []byte) bool { return bytes.Equal(half, want) }
	for _, c := range []struct {
		stored  string
		body    string
		damaged bool
	}{
		{"bodybody", "body", false},
		{"bodyBODY", "body", true},
		{"BODYbody", "body", true},
		{"BODYBODY", "", true},
		{"bodybody!", "body", true}, // something was appended
		{"bodybod", "", true},
		{"", "", true},
	} {
		body, damaged := objects.Once([]byte(c.stored), ok)
		if string(body) != c.body || damaged != c.damaged {
			t.Errorf("Once(%q) = %q, %v, want %q, %v", c.stored, body, damaged, c.body, c.damaged)
		}
	}
	if got := objects.Twice(want); string(got) != "bodybody" {
		t.Errorf("Twice = %q", got)
	}
}
