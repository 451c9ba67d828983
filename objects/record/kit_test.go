package record

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// fixedRandom returns a source that yields the same bytes in every run.
func fixedRandom(name string) *rand.ChaCha8 {
	var seed [32]byte
	copy(seed[:], "cairn golden vectors: "+name)
	return rand.NewChaCha8(seed)
}

var (
	testRepo = objects.RepositoryID{0x5e, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	testTime = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
)

// testMaster counts up: family key from 0x20, repository key 1 from 0x40.
func testMaster() crypt.Master {
	m := crypt.Master{Epochs: []crypt.Epoch{{Number: 1}}}
	for i := range m.Family {
		m.Family[i], m.Epochs[0].Key[i] = 0x20+byte(i), 0x40+byte(i)
	}
	return m
}

func deriveKeys(t testing.TB, m crypt.Master, repo objects.RepositoryID) *crypt.Keys {
	t.Helper()
	k, err := crypt.Derive(m, repo, crypt.ChaCha20Poly1305)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testKeys(t testing.TB) *crypt.Keys { return deriveKeys(t, testMaster(), testRepo) }

// otherKeys are of another repository of the same family.
func otherKeys(t testing.TB) *crypt.Keys {
	return deriveKeys(t, testMaster(), objects.RepositoryID{0xff})
}

// rotatedKeys have a second epoch, which testKeys cannot open.
func rotatedKeys(t testing.TB) *crypt.Keys {
	m := testMaster()
	m.Epochs = append(m.Epochs, crypt.Epoch{Number: 2, Key: crypt.Secret{9}})
	return deriveKeys(t, m, testRepo)
}

// vector is one stored object in testdata.
type vector struct {
	Name    string
	ID      string `json:",omitempty"` // what names it; commit records only
	Stored  string // hexadecimal
	Decoded any    `json:",omitempty"`
	Error   string `json:",omitempty"` // the class of the refusal
}

// checkVectors compares what is generated with testdata/file, or writes it
// with -update, and then decodes what stands in the file.
func checkVectors(t *testing.T, file string, generated []vector, decode func(id objects.ID, stored []byte) (any, error)) {
	t.Helper()
	path := filepath.Join("testdata", file)
	p, err := json.MarshalIndent(generated, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	p = append(p, '\n')
	if *update {
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(p) {
		t.Errorf("%s: a stored byte changed; if that is meant, change FORMAT.md too and run with -update", path)
	}
	var vectors []vector
	if err := json.Unmarshal(want, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		v.check(t, decode)
	}
}

func (v vector) check(t *testing.T, decode func(id objects.ID, stored []byte) (any, error)) {
	t.Helper()
	stored, err := hex.DecodeString(v.Stored)
	if err != nil {
		t.Fatal(err)
	}
	var id objects.ID
	if v.ID != "" {
		if id, err = objects.ParseID(v.ID); err != nil {
			t.Fatal(err)
		}
	}
	got, err := decode(id, stored)
	if v.Error != "" {
		if class(err) != v.Error {
			t.Errorf("%s: %v, want it refused as %s", v.Name, err, v.Error)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v, want it accepted", v.Name, err)
		return
	}
	if got, want := toJSON(t, describe(reflect.ValueOf(got))), toJSON(t, v.Decoded); got != want {
		t.Errorf("%s: got %s\nwant %s", v.Name, got, want)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	p, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any // numbers and key order as they come out of a file
	if err := json.Unmarshal(p, &plain); err != nil {
		t.Fatal(err)
	}
	if p, err = json.Marshal(plain); err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// describe turns a decoded object into what JSON shows well: bytes in
// hexadecimal, and no empty fields.
func describe(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return describe(v.Elem())
	case reflect.Array, reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%x", v.Interface())
		}
		list := []any{}
		for i := range v.Len() {
			list = append(list, describe(v.Index(i)))
		}
		return list
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return at.Format(time.RFC3339Nano)
		}
		fields := map[string]any{}
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				fields[v.Type().Field(i).Name] = describe(f)
			}
		}
		return fields
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	if v.CanUint() {
		return v.Uint()
	}
	return v.Interface()
}

func class(err error) string {
	switch {
	case errors.Is(err, objects.ErrNewer):
		return "newer"
	case errors.Is(err, crypt.ErrNoEpoch):
		return "no epoch"
	case objects.IsCorrupt(err):
		return "damaged"
	}
	return fmt.Sprintf("unexpected: %v", err)
}

func flip(p []byte, bit int) []byte {
	q := append([]byte(nil), p...)
	q[bit/8] ^= 1 << (bit % 8)
	return q
}

func edit(p []byte, off int, with string) []byte {
	q := append([]byte(nil), p...)
	copy(q[off:], with)
	return q
}
