package pack

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cairn/objects"
	"cairn/objects/crypt"
)

var update = flag.Bool("update", false, "write testdata anew")

func sameHeader(a, b *Header) bool { return reflect.DeepEqual(a, b) }

// vector is an input that is rejected, and what is wrong with it.
type vector struct {
	name  string
	input []byte
}

// TestGoldenPack holds the bytes of a pack against those once written.
func TestGoldenPack(t *testing.T) {
	t.Parallel()
	k := testKeys(t, crypt.AES256GCM)
	p, made := smallPack(t, k)
	file := filepath.Join("testdata", "small.hex")
	if *update {
		writeFile(t, file, hex.Dump(made))
	}
	stored := readDump(t, file)
	if !bytes.Equal(made, stored) {
		t.Errorf("the builder makes other bytes than %s", file)
	}
	if want := "85be7842d6c1f8b69490ed9a93ca3fdf8bc4769bb39d63f17db0c0c87eb3e4d9"; p.ID.String() != want {
		t.Errorf("ID: got %s, want %s", p.ID, want)
	}
	h := mustOpenHeader(t, k, stored)
	if !sameHeader(h, p.Header) {
		t.Errorf("header: got %+v, want %+v", h, p.Header)
	}
	for i, want := range []string{"hello, world", string(text(300))} {
		raw, err := openFrame(k, stored, h, h.Frames[i])
		if err != nil || string(raw) != want {
			t.Errorf("frame %d: got %q, %v, want %q", i, raw, err, want)
		}
	}
}

func TestGoldenRejectedPreambles(t *testing.T) {
	t.Parallel()
	rejected(t, "rejected-preambles.txt", rejectedPreambles(), func(p []byte) error {
		_, err := ParsePreamble(p)
		return err
	})
}

func TestGoldenRejectedHeaders(t *testing.T) {
	t.Parallel()
	rejected(t, "rejected-headers.txt", rejectedHeaders(), func(p []byte) error {
		_, err := decodeHeader(p, headerPreamble())
		return err
	})
}

// rejected holds decode against a file of inputs that it must reject: lines of
// name, error and input in hexadecimal, separated by tabs.
func rejected(t *testing.T, name string, vectors []vector, decode func([]byte) error) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		var b strings.Builder
		for _, v := range vectors {
			fmt.Fprintf(&b, "%s\t%v\t%x\n", v.name, decode(v.input), v.input)
		}
		writeFile(t, file, b.String())
	}
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(p)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		input, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		got := decode(input)
		if got == nil || got.Error() != f[1] {
			t.Errorf("%s: got %v, want %s", f[0], got, f[1])
		}
		if !objects.IsCorrupt(got) && f[0] != "version 2" {
			t.Errorf("%s: got %T, want a CorruptError", f[0], got)
		}
		names = append(names, f[0])
	}
	for _, v := range vectors {
		if !slices.Contains(names, v.name) {
			t.Errorf("%s is not in %s: run the test with -update", v.name, file)
		}
	}
}

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readDump reads what hex.Dump wrote.
func readDump(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []byte
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "|")
		for _, b := range strings.Fields(line)[1:] {
			v, err := hex.DecodeString(b)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v...)
		}
	}
	return out
}
