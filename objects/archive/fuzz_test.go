package archive

import (
	"bytes"
	"testing"
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
