package chunker

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"
)

// golden is testdata/cuts.json, whose comment says how the data is made.
type golden struct {
	Comment  []string
	Accepted []struct {
		Name   string
		Key    string // hexadecimal
		Unit   uint32
		Gear   map[string]string // hexadecimal, by byte
		Seed   uint64
		And    byte
		Length int
		Chunks []int
	}
	Rejected []struct {
		Unit   uint32
		Reason string
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/cuts.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// splitMix returns n bytes of SplitMix64 from the state seed, each ANDed with
// and.
func splitMix(seed uint64, and byte, n int) []byte {
	var data []byte
	for len(data) < n {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		data = binary.LittleEndian.AppendUint64(data, z^z>>31)
	}
	for i := range data {
		data[i] &= and
	}
	return data[:n]
}

func TestGoldenAccepted(t *testing.T) {
	t.Parallel()
	for _, v := range readGolden(t).Accepted {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			var key [32]byte
			if n, err := hex.Decode(key[:], []byte(v.Key)); n != len(key) || err != nil {
				t.Fatalf("key: %d bytes, %v", n, err)
			}
			checkGoldenGear(t, key, v.Gear)
			data := splitMix(v.Seed, v.And, v.Length)
			for _, f := range finders() {
				got := lengths(t, testChunker(t, key, Params{Unit: v.Unit}, f.find), data)
				if !slices.Equal(got, v.Chunks) {
					t.Errorf("%s: got %d, want %d", f.name, got, v.Chunks)
				}
			}
		})
	}
}

func checkGoldenGear(t *testing.T, key [32]byte, want map[string]string) {
	t.Helper()
	g := testGear(t, key)
	for at, entry := range want {
		b, err := strconv.ParseUint(at, 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		w, err := strconv.ParseUint(entry, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if g.table[b] != w {
			t.Errorf("G[%d]: got %#x, want %#x", b, g.table[b], w)
		}
	}
}

func TestGoldenRejected(t *testing.T) {
	t.Parallel()
	for _, v := range readGolden(t).Rejected {
		if err := (Params{Unit: v.Unit}).Validate(); err == nil {
			t.Errorf("unit %d: got no error, want one: %s", v.Unit, v.Reason)
		}
	}
}
