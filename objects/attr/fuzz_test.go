package attr

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// fuzz holds that what decodes is written again as it was, and as text.
func fuzz(f *testing.F, name string) {
	f.Helper()
	for _, v := range readVectors(f) {
		if p, err := hex.DecodeString(v.Bytes); err == nil && v.Form == name {
			f.Add(p)
		}
	}
	decode := forms()[name]
	f.Fuzz(func(t *testing.T, p []byte) {
		if _, portable, again, err := decode(p); err == nil && portable == nil && !bytes.Equal(again, p) {
			t.Errorf("%x is written again as %x", p, again)
		}
	})
}

func FuzzPosix(f *testing.F) { fuzz(f, "posix") }
func FuzzNFS4(f *testing.F)  { fuzz(f, "nfs4") }
func FuzzMac(f *testing.F)   { fuzz(f, "macos") }
func FuzzFlags(f *testing.F) { fuzz(f, "flags") }

func FuzzLinuxACL(f *testing.F)     { fuzz(f, "linux-acl") }
func FuzzFreeBSDPosix(f *testing.F) { fuzz(f, "freebsd-posix") }
func FuzzFreeBSDNFS4(f *testing.F)  { fuzz(f, "freebsd-nfs4") }
func FuzzFilesec(f *testing.F)      { fuzz(f, "macos-filesec") }
