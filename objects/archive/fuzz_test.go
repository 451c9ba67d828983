package archive

import (
	"bytes"
	"errors"
	"iter"
	"testing"

	"cairn/objects"
)

// fuzz holds that what decodes encodes to the same bytes.
func fuzz(f *testing.F, kind string) {
	f.Helper()
	for _, verdict := range []string{"accept", "reject"} {
		for _, file := range goldenFiles(f, kind, verdict) {
			_, p := readHex(f, file)
			if len(p) < 1<<16 {
				f.Add(p)
			}
		}
	}
	decode := codecs()[kind]
	f.Fuzz(func(t *testing.T, plain []byte) {
		if _, again, err := decode(plain); err == nil && !bytes.Equal(again, plain) {
			t.Errorf("%x encodes to %x", plain, again)
		}
	})
}

func FuzzLeaf(f *testing.F)  { fuzz(f, "leaf") }
func FuzzInner(f *testing.F) { fuzz(f, "inner") }
func FuzzList0(f *testing.F) { fuzz(f, "list0") }
func FuzzList1(f *testing.F) { fuzz(f, "list1") }

// FuzzReader damages a node of a tree. Whatever is read is still in order, all
// errors say that something is damaged or lost, and reading ends.
func FuzzReader(f *testing.F) {
	entries := usr(2000)
	s := newStore()
	root := write(f, entries, s.put)
	var nodes []objects.ID
	for id, err := range NewReader(root, s.get).MetaIDs() {
		if err != nil {
			f.Fatal(err)
		}
		nodes = append(nodes, id)
	}
	f.Add(uint8(0), uint16(1), uint8(1), "usr/share")
	f.Add(uint8(1), uint16(1000), uint8(0x80), "usr")
	f.Fuzz(func(t *testing.T, node uint8, off uint16, flip uint8, path string) {
		id := nodes[int(node)%len(nodes)]
		r := NewReader(root, func(want objects.ID) ([]byte, error) {
			plain, err := s.get(want)
			if want == id && err == nil {
				plain = bytes.Clone(plain)
				plain[int(off)%len(plain)] ^= flip
			}
			return plain, err
		})
		for _, seq := range []iter.Seq2[*Entry, error]{r.All(), r.From(path), r.Children(path)} {
			checkDamaged(t, seq, len(entries))
		}
	})
}

func checkDamaged(t *testing.T, seq iter.Seq2[*Entry, error], limit int) {
	t.Helper()
	prev := ""
	for e, err := range seq {
		switch limit--; {
		case limit < -1:
			t.Fatal("reading does not end")
		case err != nil:
			if !objects.IsCorrupt(err) && !errors.Is(err, errLost) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNotDir) {
				t.Fatal(err)
			}
		case ComparePaths(prev, e.Path) >= 0:
			t.Fatalf("%q follows %q", e.Path, prev)
		default:
			prev = e.Path
		}
	}
}
