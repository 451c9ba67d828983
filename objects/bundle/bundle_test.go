package bundle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"cairn/objects"
	"cairn/objects/wire"
)

var update = flag.Bool("update", false, "write testdata anew")

const golden = "testdata/bundles.txt"

func header(n int, fill byte) []byte { return bytes.Repeat([]byte{fill}, n) }

func id(p []byte) objects.ID { return blake3.Sum256(p) }

// good is a bundle of two headers, out of order here.
func good() []Entry {
	return []Entry{{objects.ID{7}, header(90, 0xb)}, {objects.ID{3}, header(MinHeader, 0xa)}}
}

// raw writes a bundle as it is told to, right or wrong.
func raw(name string, version uint16, count uint64, entries ...Entry) []byte {
	b := wire.AppendU16([]byte(name), version)
	b = wire.AppendUvarint(b, count)
	for _, e := range entries {
		b = wire.AppendBytes(append(b, e.Pack[:]...), e.Header)
	}
	return b
}

// vectors are inputs under their names: one that is accepted, first, and those
// that are rejected.
func vectors(t testing.TB) (names []string, inputs [][]byte) {
	t.Helper()
	_, accepted, err := Encode(good())
	if err != nil {
		t.Fatal(err)
	}
	one, two := good()[1], good()[0]
	add := func(name string, input []byte) { names, inputs = append(names, name), append(inputs, input) }
	add("two headers", accepted)
	add("nothing", nil)
	add("cut short", accepted[:len(accepted)-1])
	add("trailing byte", append(bytes.Clone(accepted), 0))
	add("another magic", raw("Cairnbdl", version, 1, one))
	add("version 0", raw(magic, 0, 1, one))
	add("version 2", raw(magic, 2, 1, one))
	add("no headers", raw(magic, version, 0))
	add("a count that is too high", raw(magic, version, 1<<40, one))
	add("order", raw(magic, version, 2, two, one))
	add("a pack twice", raw(magic, version, 2, one, one))
	add("a header that is too short", raw(magic, version, 2, one, Entry{objects.ID{9}, header(MinHeader-1, 1)}))
	return names, inputs
}

func result(entries []Entry, err error) string {
	switch {
	case errors.Is(err, objects.ErrNewer):
		return "newer"
	case err != nil:
		return err.Error()
	}
	var list []string
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%s %d", e.Pack.Short(), len(e.Header)))
	}
	return strings.Join(list, ", ")
}

// TestGolden holds encoder and decoder to what stands in testdata: lines of
// name, result and input in hexadecimal, separated by tabs.
func TestGolden(t *testing.T) {
	t.Parallel()
	names, inputs := vectors(t)
	var b strings.Builder
	for i, p := range inputs {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", names[i], result(Decode(id(p), p)), hex.EncodeToString(p))
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(want), "\n"), "\n") {
		fields := strings.Split(line, "\t")
		p, err := hex.DecodeString(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode(id(p), p)
		if (i == 0) != (err == nil) {
			t.Errorf("%s: got %v", fields[0], err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	name, stored, err := Encode(good())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(name, stored)
	if want := []Entry{good()[1], good()[0]}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for i := range stored {
		bad := bytes.Clone(stored)
		bad[i] ^= 0x80
		if _, err := Decode(name, bad); !objects.IsCorrupt(err) {
			t.Errorf("byte %d changed: got %v, want a CorruptError", i, err)
		}
	}
	if again, err := ParseKey(Key(name)); err != nil || again != name {
		t.Errorf("key %s: got %s, %v", Key(name), again, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	full := Entry{objects.ID{1}, make([]byte, MaxHeader)}
	for name, entries := range map[string][]Entry{
		"nothing":      nil,
		"a pack twice": {good()[0], good()[0]},
		"no room":      {full, {objects.ID{2}, full.Header}, good()[0]},
	} {
		if _, _, err := Encode(entries); err == nil {
			t.Errorf("%s: it was encoded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	_, inputs := vectors(f)
	for _, p := range inputs {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		entries, err := Decode(id(p), p)
		if err != nil {
			return
		}
		name, again, err := Encode(entries)
		if err != nil || name != id(p) || !bytes.Equal(again, p) {
			t.Errorf("encoded again: got %x, %v, want %x", again, err, p)
		}
	})
}
